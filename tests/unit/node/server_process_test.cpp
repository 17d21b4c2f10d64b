// SPDX-License-Identifier: Apache-2.0
// Goal: a server that is started says why it ended or is not ready, and no process is left.
#include "tests/unit/node/server_fixture.hpp"
#include "tests/unit/node/temp_folder.hpp"

#include <gmock/gmock.h>

namespace consort::node::test {
namespace {

using ::testing::HasSubstr;

TEST_F(ServerRuntime, OneThatIsNeverReadyIsEnded) {
  spec.command = {"sh", "-c", "echo loading shards; exec sleep 600"};
  spec.start_timeout_us = limits::second_us / 5;
  const auto failed = open();
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.failure().code, "runtime_start_timeout");
  EXPECT_THAT(failed.failure().message, HasSubstr("nothing listens on the port"));
  EXPECT_THAT(failed.failure().message, HasSubstr("loading shards"));
}

TEST_F(ServerRuntime, OneThatIsMissingOrNoExecutableIsNamed) {
  const temp_folder folder;
  spec.work_path = folder.path();
  folder.write("fake-serve", "#!/bin/sh\n");
  for (const auto& [program, words] : {std::pair{"no-such-server", "no program no-such-server"},
                                       std::pair{"fake-serve", "is no executable: chmod +x"}}) {
    spec.command = {program, "--port", "{port}"};
    const auto failed = open();
    ASSERT_FALSE(failed) << program;
    EXPECT_EQ(failed.failure().code, "tool_missing");
    EXPECT_EQ(failed.failure().action, recovery::retry_elsewhere);
    EXPECT_THAT(failed.failure().message, HasSubstr(words));
  }
}

TEST_F(ServerRuntime, OneThatFloodsItsOutputIsReadToItsEnd) {
  spec.start_timeout_us = 600 * limits::second_us; // It ends by itself, on a busy machine late.
  spec.command
      = {"sh", "-c", "head -c 100000000 /dev/zero | tr '\\0' x; echo; echo out of tiles; exit 7"};
  const auto failed = open();
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.failure().code, "runtime_died");
  EXPECT_THAT(failed.failure().message, HasSubstr("out of tiles"));
  EXPECT_LT(failed.failure().message.size(), 10'000U);
}

TEST_F(ServerRuntime, OneThatExitsIsNamedWithItsLastWords) {
  spec.command = {"sh", "-c", "echo no license for {name} on {index}; exit 7"};
  const auto failed = open();
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.failure().code, "runtime_died");
  EXPECT_THAT(failed.failure().message, HasSubstr("exited with 7"));
  EXPECT_THAT(failed.failure().message, HasSubstr("no license for tale on 0"));
}

TEST_F(ServerRuntime, ItsPluginSaysWhatItsEndMeans) {
  spec.failures = {{std::nullopt, "compiled with newer", start_failure::rebuild},
                   {4, "", start_failure::elsewhere},
                   {5, "license", start_failure::refuse}};
  const auto end = [&](const char* script) {
    spec.command = {"sh", "-c", script};
    return open().failure();
  };
  const auto stale = end("echo 'model was compiled with newer version of optimum-rbln'; exit 1");
  EXPECT_EQ(stale.code, "artifact_unfit");
  EXPECT_EQ(stale.action, recovery::retry_later);
  EXPECT_EQ(end("exit 4").action, recovery::retry_elsewhere);
  EXPECT_EQ(end("echo no license; exit 5").action, recovery::refuse);
  EXPECT_EQ(end("exit 5").action, recovery::retry_elsewhere) << "both, or neither";
  EXPECT_EQ(end("exit 5").code, "runtime_died");
  spec.start_timeout_us = limits::second_us / 5;
  const auto hanging = end("echo compiled with newer; exec sleep 600");
  EXPECT_EQ(hanging.code, "artifact_unfit") << "said, and not ready in time";
}

TEST_F(ServerRuntime, FolderArtifactIsGivenAsItsPath) {
  const temp_folder folder;
  folder.write("tree/prefill.rbln", "the engine");
  wanted.path = folder / "tree";
  wanted.variant.source = "/models/weights";
  wanted.device.attributes["partition"] = ":0-3";
  spec.command = {"sh",         "-c",        "echo $0 of $1 on $2; cat $0/prefill.rbln; exit 3",
                  "{artifact}", "{weights}", "npu:{index}{partition}"};
  const auto ended = open();
  ASSERT_FALSE(ended);
  EXPECT_THAT(ended.failure().message, HasSubstr("the engine"));
  EXPECT_THAT(ended.failure().message, HasSubstr("tree of /models/weights on npu:0:0-3"));
}

TEST_F(ServerRuntime, LoadIsGivenUpWhenNobodyWantsIt) {
  spec.command = {"sleep", "600"};
  spec.start_timeout_us = 600 * limits::second_us;
  auto answer = begin();
  runtime->abandon(instance_id{8});
  runtime->abandon(wanted.instance);
  ASSERT_EQ(answer.wait_for(patience), std::future_status::ready);
  EXPECT_EQ(answer.get().failure().code, "unloaded");
}

TEST_F(ServerRuntime, NamesBecomeNoOptions) {
  spec.command = {"sleep", "{name}"};
  for (const auto* name : {"--help", "a b", "", "x;y", "\x1b[31m"}) {
    wanted.model = model_name(name);
    EXPECT_EQ(open().failure().code, "bad_name") << name;
  }
  wanted.model = model_name("tale");
  wanted.path = "-rf"; // Of `server:-rf`.
  EXPECT_EQ(open().failure().code, "bad_name");
  wanted.path = "/models/any";
  spec.command = {"consort-no-such-tool"};
  EXPECT_EQ(open().failure().code, "tool_missing");
}

} // namespace
} // namespace consort::node::test
