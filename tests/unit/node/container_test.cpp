// SPDX-License-Identifier: Apache-2.0
// The command line of a container, and what its engine's answers mean. That none is left is shown
// with a fake engine in tests/system/containers.test.mjs.
#include "node/runtimes/container.hpp"
#include "tests/unit/node/temp_folder.hpp"

#include <gmock/gmock.h>

#include <iterator>

namespace consort::node {
namespace {

using test::temp_folder;
using ::testing::ContainsRegex;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

container_order order() {
  container_order wanted;
  wanted.name = "consort-o-7-1";
  wanted.instance = instance_id{7};
  wanted.plugin = "boxed";
  wanted.port = 4242;
  wanted.command = {"serve", "--model", "/m"};
  return wanted;
}

container_rule rule() {
  container_rule made;
  made.image = "image:1";
  made.owner = "o";
  return made;
}

TEST(Container, CommandHoldsWhatThePluginSaysAndNoMore) {
  auto wanted = order();
  wanted.mounts = {"/m"};
  wanted.settings = {"GPUS"};
  wanted.memory_bytes = 1'024;
  const auto words = run_command(rule(), {"--gpus", "device=GPU-1"}, wanted);
  ASSERT_TRUE(words.ok());
  EXPECT_THAT(*words,
              ElementsAre("run", "--rm", "--pull=never", "--name", "consort-o-7-1", "--label",
                          "consort.owner=o", "--label", "consort.plugin=boxed", "--label",
                          "consort.instance=7", "--network", "host", "--memory", "1024", "--env",
                          "GPUS", "--mount", "type=bind,source=/m,target=/m,readonly", "--gpus",
                          "device=GPU-1", "image:1", "serve", "--model", "/m"));
}

TEST(Container, PublishesItsPortOnTheLoopbackAlone) {
  auto published = rule();
  published.publish = true;
  const auto words = run_command(published, {}, order());
  ASSERT_TRUE(words.ok());
  EXPECT_THAT(*words, ::testing::IsSupersetOf({"--publish", "127.0.0.1:4242:4242"}));
  EXPECT_THAT(*words, ::testing::Not(::testing::Contains("--network")));
}

TEST(Container, RefusesPathsThatItsEngineWouldReadOtherwise) {
  auto wanted = order();
  wanted.mounts = {"/m,target=/etc"};
  EXPECT_EQ(run_command(rule(), {}, wanted).failure().code, "container_path");
}

TEST(Container, OwnersAreThoseOfOneAgentOnOneHost) {
  const auto mine = container_owner(node_id{"a"}, "/data");
  EXPECT_EQ(mine.size(), 16U);
  EXPECT_EQ(container_owner(node_id{"a"}, "/data"), mine);
  EXPECT_NE(container_owner(node_id{"b"}, "/data"), mine);
  EXPECT_NE(container_owner(node_id{"a"}, "/other"), mine);
}

TEST(Container, AnImageIsThereOrMissingOrNobodyKnows) {
  child_exit answer;
  EXPECT_EQ(judge_image(answer), image_state::there);
  answer.code = 1;
  for (const auto* words :
       {"Error: No such image: x", "Error response from daemon: No such image: x:latest",
        "Error: inspecting object: x: image not known", "Error: no such object: \"x\""}) {
    answer.err.text = words;
    EXPECT_EQ(judge_image(answer), image_state::missing) << words;
  }
  answer.err.text = "Cannot connect to the Docker daemon at unix:///var/run/docker.sock.";
  EXPECT_EQ(judge_image(answer), image_state::unknown);
}

/// An engine that notes what it is called with, and says what `body` makes it say.
class FakeEngine : public ::testing::Test {
protected:
  void says(const std::string& body) {
    folder_.script("docker", "cd \"$(dirname \"$0\")\"; echo \"$*\" >> calls\n" + body);
  }
  std::string calls() { return test::read_file(folder_ / "calls"); }
  temp_folder folder_;
};

TEST_F(FakeEngine, IsAskedForOrphansByTheirLabel) {
  says("[ $1 = ps ] && echo 1a 2b; true");
  const auto removed = remove_orphans("docker", folder_.path(), "me");
  ASSERT_TRUE(removed.ok()) << removed.failure().message;
  EXPECT_EQ(*removed, 2U);
  EXPECT_THAT(calls(), HasSubstr("ps --all --quiet --filter label=consort.owner=me"));
  EXPECT_THAT(calls(), HasSubstr("rm --force 1a 2b"));
  says("echo 'no daemon' >&2; exit 1");
  EXPECT_THAT(remove_orphans("docker", folder_.path(), "me").failure().message,
              HasSubstr("exited with 1: no daemon"));
  EXPECT_EQ(remove_orphans("none-such", folder_.path(), "me").failure().code, "tool_missing");
}

TEST_F(FakeEngine, IsAskedUntilTwoLooksFindNone) {
  // The second look finds one that was still being made; the removal of the first fails once.
  says("n=$(cat n 2>/dev/null || echo 0)\n"
       "if [ $1 = ps ]; then n=$((n + 1)); echo $n > n; [ $n = 2 ] || [ $n = 3 ] && echo 1a; true\n"
       "elif [ $n = 2 ]; then echo 'in progress' >&2; exit 1; fi");
  ASSERT_TRUE(remove_until_gone("docker", folder_.path(), "me", 20 * limits::second_us).ok());
  EXPECT_EQ(test::read_file(folder_ / "n"), "5\n");
  EXPECT_TRUE(remove_until_gone("none-such", folder_.path(), "me", 0).ok());
}

TEST_F(FakeEngine, ThatCannotSaySoIsGivenUpWithWhatIsToDo) {
  says("echo 'no daemon' >&2; exit 1");
  const auto gone = remove_until_gone("docker", folder_.path(), "me", 0);
  ASSERT_FALSE(gone.ok());
  EXPECT_EQ(gone.failure().code, "container_left");
  EXPECT_THAT(gone.failure().message, HasSubstr("no daemon"));
  EXPECT_THAT(gone.failure().message,
              HasSubstr("docker rm --force $(docker ps -aq --filter label=consort.owner=me)"));
}

TEST_F(FakeEngine, IsToldToRemoveWhatIsLeftBeforeTheKeeperGoes) {
  says("true");
  std::string first, second;
  {
    container_keeper keeper(rule(), folder_.path());
    first = keeper.keep(instance_id{7});
    second = keeper.keep(instance_id{7});
    EXPECT_EQ(first, "consort-o-7-1");
    EXPECT_NE(first, second) << "a name is never given twice";
    keeper.remove(first);
    keeper.remove(first); // Once is enough.
    keeper.finish();
    EXPECT_THAT(calls(), ContainsRegex("rm --force .*" + first));
    EXPECT_THAT(calls(), ContainsRegex("rm --force .*" + second));
    const auto all = calls();
    keeper.remove(second);
    static_cast<void>(keeper.keep(instance_id{8}));
    EXPECT_EQ(calls(), all) << "nothing after the end";
  }
}

} // namespace
} // namespace consort::node
