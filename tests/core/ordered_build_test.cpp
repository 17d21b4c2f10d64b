// SPDX-License-Identifier: Apache-2.0
// Goal: what an operator had built ahead is built once, on a node that has time for it.
#include "tests/support/core_fixture.hpp"

namespace consort::core::testing {

namespace {

/// Nodes that compile, with an NPU each; the engine that `a` built ahead is there.
void built_ahead_on_a(core_fixture& t) {
  for (const char* node : {"a", "b"}) {
    t.join(node, node[0] == 'a' ? 11 : 22, {refnpu_profile()});
    t.advertise(npu_spec(node, 0));
  }
  t.declare(story_spec());
  t.feed(compile_requested{model_name{"storyteller"}, "npu"});
  const auto order = t.expect<start_compile>();
  EXPECT_EQ(order.node.value, "a");
  t.compiled(order);
  t.drop_all();
}

/// Its agent begins anew, and says hello.
void restart_a(core_fixture& t) {
  t.join("a", 12, {refnpu_profile()});
}

std::size_t builds(core_fixture& t) {
  return t.take_all<start_compile>().size();
}

TEST(OrderedBuild, IsNotBuiltAgainWhenItsNodeBeginsAnew) {
  core_fixture t;
  built_ahead_on_a(t);
  restart_a(t);
  EXPECT_EQ(builds(t), 0U) << "it will tell what it holds";
  t.feed(artifact_found{artifact_on("a", engine_key()), t.life_of("a")});
  t.advertise(npu_spec("a", 0));
  t.pass_time_renewing(2 * limits::rejoin_grace_us, {"a", "b"});
  EXPECT_EQ(builds(t), 0U);
  t.drop_all();
}

TEST(OrderedBuild, IsBuiltElsewhereWhenItsNodeStaysAway) {
  core_fixture t;
  built_ahead_on_a(t);
  t.feed(node_lost{node_id{"a"}, t.life_of("a"), true, "killed"});
  t.pass_time_renewing(limits::rejoin_grace_us - 2 * second, {"b"});
  EXPECT_EQ(builds(t), 0U);
  t.pass_time_renewing(30 * second, {"b"});
  const auto orders = t.take_all<start_compile>();
  ASSERT_EQ(orders.size(), 1U);
  EXPECT_EQ(orders[0].node.value, "b");
  t.drop_all();
}

TEST(OrderedBuild, IsBuiltElsewhereAtOnceForWhoWaits) {
  core_fixture t;
  built_ahead_on_a(t);
  t.feed(node_lost{node_id{"a"}, t.life_of("a"), true, "killed"});
  EXPECT_EQ(builds(t), 0U);
  t.submit("npu");
  EXPECT_EQ(builds(t), 1U);
  t.drop_all();
}

TEST(OrderedBuild, GoesToANodeThatHasTime) {
  core_fixture t;
  for (const char* node : {"a", "b"}) {
    t.join(node, node[0] == 'a' ? 11 : 22, {refnpu_profile()});
    t.advertise(npu_spec(node, 0));
  }
  t.declare(story_spec("first"));
  t.declare(story_spec("second"));
  t.feed(compile_requested{model_name{"first"}, "npu"});
  t.feed(compile_requested{model_name{"second"}, "npu"});
  const auto orders = t.take_all<start_compile>();
  ASSERT_EQ(orders.size(), 2U);
  EXPECT_EQ(orders[0].node.value, "a");
  EXPECT_EQ(orders[1].node.value, "b") << "the other builds already";
}

TEST(OrderedBuild, LeavesANodeAloneThatServes) {
  core_fixture t;
  for (const char* node : {"a", "b"})
    t.join(node, node[0] == 'a' ? 11 : 22, {refnpu_profile()});
  t.advertise(cpu_spec("a"));
  t.advertise(npu_spec("a", 0));
  t.declare(story_spec());
  t.submit("cpu");
  t.take_all<queue_notice>();
  t.finish_load();
  t.start(t.expect<grant_ticket>());
  t.drop_all();
  t.feed(compile_requested{model_name{"storyteller"}, "npu"});
  EXPECT_EQ(t.expect<start_compile>().node.value, "b") << "although the engine is for a";
}

} // namespace

} // namespace consort::core::testing
