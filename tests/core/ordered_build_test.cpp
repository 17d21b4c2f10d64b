// SPDX-License-Identifier: Apache-2.0
// Goal: what an operator had built ahead is built once, on a node that has time for it.
#include "scheduler/compile_plan.hpp"
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

// --- compilers that need a device of their own ---

build_profile held_profile(const std::string& version) {
  auto made = refnpu_profile();
  made.compiler_version = version;
  made.needs_device = true;
  return made;
}

/// A node's NPU after its plugin was read again, with that compiler's version.
void advertise_held(core_fixture& t, const std::string& version, const std::string& node = "a") {
  auto board = npu_spec(node, 0);
  board.capability.build_profiles = {{held_profile(version), {}}};
  t.advertise(board);
}

/// The only NPU of `a` serves with what version 1 built; then the compiler is version 2.
void newer_compiler_where_all_serve(core_fixture& t) {
  t.join("a", 11, {held_profile("1")});
  t.feed(artifact_found{artifact_on("a", engine_key(held_profile("1"))), t.life_of("a")});
  auto model = story_spec();
  model.replicas_min = 1;
  t.declare(model);
  advertise_held(t, "1");
  t.finish_load();
  t.join("a", 11, {held_profile("2")});
  advertise_held(t, "2");
}

const std::string waits_for_it = "its build waits for a device that is free, which refnpu-cc "
                                 "needs: a/npu0 serves storyteller; ";
const std::string unasked
    = "drain one (consort drain), ask for the build (consort compile), then undrain it";
const std::string begins_once_drained
    = "it begins once one is drained (consort drain), then undrain it";

/// What `consort artifacts` has under LAST ERROR of the newer engine.
std::string told_of_newer(core_fixture& t) {
  for (const auto& one : t.view().artifacts)
    if (one.key.profile.compiler_version == "2") {
      EXPECT_EQ(one.state, artifact_state::absent);
      return one.last_error;
    }
  return "no such artifact";
}

TEST(OrderedBuild, ThatNeedsTheDeviceThatServesSaysSo) {
  core_fixture t;
  newer_compiler_where_all_serve(t);
  t.expect_empty();
  EXPECT_EQ(t.noted_times("not built for storyteller yet: " + waits_for_it + unasked), 1U);
  EXPECT_EQ(told_of_newer(t), waits_for_it + unasked);
  const auto plan = plan_compile(t.view(), model_name{"storyteller"}, "npu");
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->at(0).state, "build");
  EXPECT_EQ(plan->at(0).detail, waits_for_it + unasked);
  for (std::size_t times = 1; times < 3; ++times) {
    t.feed(compile_requested{model_name{"storyteller"}, "npu"});
    t.pass_time_renewing(5 * second, {"a"});
    t.expect_empty();
    EXPECT_EQ(t.noted_times("not built for storyteller yet: " + waits_for_it + begins_once_drained),
              times)
        << "whoever asks is told";
  }
  EXPECT_EQ(told_of_newer(t), waits_for_it + begins_once_drained);
}

TEST(OrderedBuild, BeginsOnceItsDeviceIsDrained) {
  core_fixture t;
  newer_compiler_where_all_serve(t);
  t.feed(compile_requested{model_name{"storyteller"}, "npu"});
  t.expect_empty();
  t.feed(drain_changed{"a/npu0", true, "", 0});
  const auto left = t.expect<unload_replica>();
  EXPECT_TRUE(t.take_all<reserve_allocation>().empty()) << "its engine is there still";
  t.feed(replica_unloaded{left.instance, t.life_of("a")});
  t.take_all<release_allocation>();
  t.grant_next_allocation();
  const auto order = t.expect<start_compile>();
  EXPECT_EQ(order.key.profile.compiler_version, "2");
  ASSERT_TRUE(order.grant);
  EXPECT_EQ(order.grant->shares.at(0).device.value, "a/npu0");
  t.compiled(order);
  t.take_all<release_allocation>();
  t.expect_empty();
  t.feed(drain_changed{"a/npu0", false, "", 0});
  EXPECT_EQ(t.finish_load().artifact->key.profile.compiler_version, "2");
}

/// Nobody ordered it: what is drained for another reason is left alone.
TEST(OrderedBuild, OnlyWhatWasOrderedIsBuiltOnADrainedDevice) {
  core_fixture t;
  newer_compiler_where_all_serve(t);
  t.feed(drain_changed{"a/npu0", true, "", 0});
  t.feed(replica_unloaded{t.expect<unload_replica>().instance, t.life_of("a")});
  t.take_all<release_allocation>();
  t.pass_time_renewing(5 * second, {"a"});
  t.expect_empty();
}

TEST(OrderedBuild, GoesWhereADeviceIsFreeForIt) {
  core_fixture t;
  newer_compiler_where_all_serve(t);
  t.join("b", 22, {held_profile("2")});
  advertise_held(t, "2", "b");
  const auto held = t.expect<reserve_allocation>();
  EXPECT_EQ(held.node.value, "b");
  t.feed(t.reserved(held));
  EXPECT_EQ(t.expect<start_compile>().node.value, "b");
  t.drop_all();
}

} // namespace

} // namespace consort::core::testing
