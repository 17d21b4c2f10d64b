// SPDX-License-Identifier: Apache-2.0
// A plan says what would be done, and nothing is done.
#include "scheduler/weights.hpp"
#include "tests/support/core_fixture.hpp"

namespace consort::core::testing {

namespace {

std::vector<std::string> steps_of(core_fixture& t, const plan_wish& wish) {
  std::vector<std::string> steps;
  const auto planned = t.tested().plan(wish, t.now());
  EXPECT_TRUE(planned);
  for (const auto& one : planned->decisions)
    steps.push_back(one.outcome + " " + one.winner.value);
  return steps;
}

plan_wish asked(const std::string& selector = "auto") {
  return {model_name{"storyteller"}, selector, {}};
}

TEST(Plan, SaysWhatARequestWouldSetGoing) {
  core_fixture t;
  t.example();
  const auto before = t.tested().digest();
  const auto steps = steps_of(t, asked());
  EXPECT_EQ(steps.at(0), "load local/cpu0");
  EXPECT_NE(std::find(steps.begin(), steps.end(), "build local"), steps.end());
  EXPECT_EQ(steps.back(), "wait ");
  EXPECT_EQ(t.tested().digest(), before) << "nothing was done";
  t.expect_empty();
  // And it is what is done then.
  t.submit();
  EXPECT_EQ(t.expect<reserve_allocation>().grant.shares.at(0).device.value, "local/cpu0");
  EXPECT_EQ(t.take_all<start_compile>().size(), 1U);
  t.drop_all();
}

TEST(Plan, WeightsAreFetchedNotBuilt) {
  core_fixture t;
  t.join("a", 11, {weights_profile()});
  t.advertise(cpu_spec("a"));
  t.declare(hub_spec());
  const auto planned = t.tested().plan(asked(), t.now());
  ASSERT_TRUE(planned);
  ASSERT_FALSE(planned->decisions.empty());
  EXPECT_EQ(planned->decisions[0].outcome, "fetch");
  EXPECT_EQ(planned->decisions[0].winner.value, "a");
  EXPECT_EQ(planned->decisions[0].reason, "the weights of storyteller");
}

TEST(Plan, SaysWhoMakesRoomAndWhatIsLoadedThen) {
  core_fixture t;
  t.join("local");
  auto small = cpu_spec();
  small.memory_bytes = 12U << 20U;
  t.advertise(small);
  auto other = story_spec("other");
  other.replicas_max = 1;
  t.declare(other);
  t.declare(story_spec());
  auto meta = t.request();
  meta.model = other.name;
  t.submit(meta);
  t.take_all<queue_notice>();
  t.finish_load();
  t.finish(t.expect<grant_ticket>());
  t.take_all<record_request>();
  const auto planned = t.tested().plan(asked(), t.now());
  ASSERT_TRUE(planned);
  ASSERT_EQ(planned->decisions.size(), 3U);
  EXPECT_EQ(planned->decisions[0].outcome, "unload");
  EXPECT_EQ(planned->decisions[0].winner.value, "local/cpu0");
  EXPECT_EQ(planned->decisions[0].reason, "other: makes room for storyteller");
  EXPECT_EQ(planned->decisions[1].outcome, "load");
  EXPECT_EQ(planned->decisions[1].winner.value, "local/cpu0");
  EXPECT_EQ(planned->decisions[2].outcome, "wait");
  EXPECT_EQ(planned->decisions[2].reason.rfind("loading for local/cpu0", 0), 0U)
      << planned->decisions[2].reason;
  t.expect_empty();
}

TEST(Plan, SaysWhoServesAtOnceAndWhatIsImpossible) {
  core_fixture t;
  t.two_ready_nodes();
  EXPECT_EQ(steps_of(t, asked()), (std::vector<std::string>{"serve a/cpu0"}));
  EXPECT_EQ(steps_of(t, asked("gpu")), (std::vector<std::string>{"refuse "}));
  EXPECT_EQ(steps_of(t, {model_name{"storytelle"}, "", {}}), (std::vector<std::string>{"refuse "}));
}

TEST(Plan, OfADrainSaysWhereItsWorkGoes) {
  core_fixture t;
  t.two_ready_nodes();
  t.submit("a/cpu0|b/cpu0");
  t.start(t.expect<grant_ticket>());
  const auto steps = steps_of(t, {{}, {}, "a"});
  EXPECT_EQ(steps, (std::vector<std::string>{"stop a/cpu0", "unload a/cpu0", "serve b/cpu0"}));
  EXPECT_FALSE(t.view().nodes.at(0).draining);
}

TEST(Plan, OfADrainThatLeavesNobodyDoesNotSayThatADeviceFailed) {
  core_fixture t;
  t.join("local");
  t.advertise(cpu_spec());
  t.declare(story_spec());
  t.submit();
  t.take_all<queue_notice>();
  t.finish_load();
  t.start(t.expect<grant_ticket>());
  const auto planned = t.tested().plan({{}, {}, "local/cpu0"}, t.now());
  ASSERT_TRUE(planned);
  std::string refused;
  for (const auto& step : planned->decisions)
    refused += step.outcome == "refuse" ? step.reason : "";
  EXPECT_EQ(refused, "local/cpu0 takes no more work and no other could take over: local/cpu0 was "
                     "drained");
}

TEST(Plan, OfADrainThatNamesNobodyIsAnError) {
  core_fixture t;
  t.two_ready_nodes();
  const auto planned = t.tested().plan({{}, {}, "a/cpu1"}, t.now());
  ASSERT_FALSE(planned);
  EXPECT_EQ(planned.failure().code, "unknown_target");
  EXPECT_NE(planned.failure().message.find("did you mean a/cpu0"), std::string::npos)
      << planned.failure().message;
  EXPECT_TRUE(t.tested().plan({{}, {}, "a/cpu0"}, t.now()));
}

} // namespace

} // namespace consort::core::testing
