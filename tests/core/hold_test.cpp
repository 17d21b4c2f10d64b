// SPDX-License-Identifier: Apache-2.0
// Drains and cordons as two things that are set and lifted apart, and that outlive the scheduler;
// labels of data as constraints on devices.
#include "tests/support/core_fixture.hpp"

namespace consort::core::testing {

namespace {

drain_changed hold_of(const std::string& target, bool set, hold_kind kind, duration_us after = 0) {
  return {target, set, "firmware", after, kind};
}

/// Ends the one unload that was ordered. Returns: its reason.
std::string unloads(core_fixture& t) {
  const auto leaves = t.take_all<unload_replica>();
  EXPECT_EQ(leaves.size(), 1U);
  if (leaves.size() != 1)
    return {};
  t.feed(replica_unloaded{leaves[0].instance, t.life_of(leaves[0].node.value)});
  t.take_all<release_allocation>();
  return leaves[0].reason;
}

std::string where(core_fixture& t) {
  t.submit();
  const auto granted = t.expect<grant_ticket>();
  t.finish(granted);
  t.expect<record_request>();
  return granted.granted.node.value;
}

TEST(Hold, EndOfADrainLeavesTheCordon) {
  core_fixture t;
  t.two_ready_nodes();
  t.feed(hold_of("a", true, hold_kind::cordon));
  EXPECT_EQ(where(t), "b");
  t.expect_empty();
  t.feed(hold_of("a", true, hold_kind::drain));
  EXPECT_EQ(unloads(t), "a is drained: firmware") << "which a cordon does not";
  t.feed(hold_of("a", false, hold_kind::drain));
  EXPECT_EQ(where(t), "b") << "still cordoned";
  EXPECT_FALSE(t.view().nodes.at(0).draining);
  EXPECT_TRUE(t.view().nodes.at(0).cordoned);
  t.feed(hold_of("a", false, hold_kind::cordon));
  t.finish_load();
  t.submit("node=a");
  EXPECT_EQ(t.expect<grant_ticket>().granted.node.value, "a");
}

TEST(Hold, WhatWorksOnADrainedDeviceLeavesWithItsLastAttempt) {
  core_fixture t;
  t.two_ready_nodes();
  t.submit("node=a");
  const auto running = t.expect<grant_ticket>();
  t.start(running);
  t.feed(hold_of("a/cpu0", true, hold_kind::drain));
  t.expect_empty();
  t.finish(running);
  EXPECT_EQ(unloads(t), "a/cpu0 is drained: firmware");
  t.expect<record_request>();
}

TEST(Hold, ADrainThatIsOverInTimeUnloadsNothing) {
  core_fixture t;
  t.two_ready_nodes();
  t.submit("node=a");
  const auto running = t.expect<grant_ticket>();
  t.start(running);
  t.feed(hold_of("a", true, hold_kind::drain));
  t.feed(hold_of("a", false, hold_kind::drain));
  t.finish(running);
  t.expect<record_request>();
  t.expect_empty();
}

TEST(Hold, WhatIsLoadedWhenItsDeviceIsDrainedLeavesOnceItIsThere) {
  core_fixture t;
  t.join("a", 11);
  auto model = story_spec();
  model.replicas_min = 1;
  t.declare(model);
  t.advertise(cpu_spec("a"));
  t.grant_next_allocation();
  const auto load = t.expect<load_replica>();
  t.feed(hold_of("a", true, hold_kind::drain));
  t.expect_empty();
  t.loaded(load);
  EXPECT_EQ(unloads(t), "a is drained: firmware");
}

TEST(Hold, EndOfACordonLeavesTheDrainAndItsDeadline) {
  core_fixture t;
  t.two_ready_nodes();
  t.submit();
  const auto running = t.expect<grant_ticket>();
  ASSERT_EQ(running.granted.node.value, "a");
  t.start(running);
  t.progress(running, 5);
  t.feed(hold_of("a", true, hold_kind::drain, second));
  t.feed(hold_of("a", true, hold_kind::cordon));
  t.feed(hold_of("a", false, hold_kind::cordon));
  t.pass_time(second / 2);
  t.progress(running, 6);
  t.pass_time(second / 2);
  EXPECT_EQ(t.take_all<unload_replica>().size(), 1U) << "with its last attempt";
  EXPECT_EQ(t.expect<revoke_attempt>().attempt, running.granted.attempt) << "moved at the deadline";
  t.expect<drop_attempt>();
  EXPECT_EQ(t.expect<grant_ticket>().granted.node.value, "b");
}

TEST(Hold, ACordonLeavesAloneWhatRunsAndSaysHowMuch) {
  core_fixture t;
  t.two_ready_nodes();
  t.submit();
  const auto running = t.expect<grant_ticket>();
  t.start(running);
  t.feed(hold_of(running.granted.device.value, true, hold_kind::cordon, second));
  for (std::uint32_t tokens = 1; tokens < 12; ++tokens) {
    t.progress(running, tokens);
    t.pass_time_renewing(second / 2, {"a", "b"});
  }
  t.expect_empty();
  EXPECT_EQ(t.view().nodes.at(0).running, 1U);
  EXPECT_TRUE(t.view().devices.at(0).cordoned);
}

TEST(Hold, OfABoardIsOfItsPartsToo) {
  core_fixture t;
  t.join("a");
  auto board = cpu_spec("a", 0);
  auto part = cpu_spec("a", 1);
  part.id = device_id{"a/cpu0.0"};
  part.parent = board.id;
  t.advertise(board);
  t.advertise(part);
  const auto held = [&](std::size_t at) { return t.view().devices.at(at).draining; };
  t.feed(hold_of("a/cpu0", true, hold_kind::drain));
  EXPECT_TRUE(held(0));
  EXPECT_TRUE(held(1));
  t.feed(hold_of("a/cpu0", false, hold_kind::drain));
  EXPECT_FALSE(held(0) || held(1));
  t.feed(hold_of("a/cpu0.0", true, hold_kind::drain));
  EXPECT_FALSE(held(0)) << "its other parts serve on";
  EXPECT_TRUE(held(1));
}

TEST(Hold, BothAreLiftedTogetherWhenNothingElseIsSaid) {
  core_fixture t;
  t.two_ready_nodes();
  t.feed(hold_of("a", true, hold_kind::cordon));
  t.feed(hold_of("a", true, hold_kind::drain));
  unloads(t);
  t.feed(hold_of("a", false, hold_kind::any));
  t.finish_load();
  EXPECT_EQ(where(t), "a");
}

TEST(Hold, OutlivesTheScheduler) {
  hold_map kept;
  {
    core_fixture first;
    first.two_ready_nodes();
    const auto version = first.tested().holds_version();
    first.feed(hold_of("a", true, hold_kind::cordon));
    first.feed(hold_of("b/cpu0", true, hold_kind::drain, 10 * second));
    EXPECT_EQ(first.tested().holds_version(), version + 2);
    first.pass_time_renewing(4 * second, {"a", "b"});
    kept = first.tested().holds(first.now());
    first.drop_all();
  }
  EXPECT_EQ(kept.size(), 2U);
  EXPECT_EQ(kept.at("a"), (hold{false, true, "firmware", 0}));
  EXPECT_EQ(kept.at("b/cpu0"), (hold{true, false, "firmware", 6 * second}));
  auto config = core_fixture::quiet();
  config.holds = kept;
  core_fixture next(config);
  EXPECT_EQ(next.tested().holds(next.now()), kept) << "before its targets are seen";
  next.join("a");
  next.join("b");
  next.advertise(cpu_spec("a"));
  next.advertise(cpu_spec("b"));
  next.advertise(cpu_spec("b", 1));
  next.declare(story_spec());
  next.submit();
  EXPECT_EQ(next.expect<reserve_allocation>().grant.shares.at(0).device.value, "b/cpu1");
  next.pass_time(second);
  EXPECT_EQ(next.tested().holds(next.now()).at("b/cpu0").move_after_us, 5 * second);
  EXPECT_TRUE(next.noted("a: is still cordoned: firmware"));
  next.feed(hold_of("a", false, hold_kind::any));
  EXPECT_FALSE(next.tested().holds(next.now()).contains("a"));
  next.drop_all();
}

TEST(Hold, WhatWasKeptOfAGoneNodeCanBeLifted) {
  auto config = core_fixture::quiet();
  config.holds["gone"] = {true, false, "", 0};
  core_fixture t(config);
  t.feed(hold_of("gone", false, hold_kind::any));
  EXPECT_TRUE(t.tested().holds(t.now()).empty());
}

TEST(Hold, DrainOfAGoneNodeIsLiftedAndItsCordonStays) {
  auto config = core_fixture::quiet();
  config.holds["gone"] = {true, true, "", 0};
  core_fixture t(config);
  t.feed(hold_of("gone", false, hold_kind::drain));
  const auto kept = t.tested().holds(t.now());
  ASSERT_EQ(kept.size(), 1U);
  EXPECT_FALSE(kept.at("gone").draining);
  EXPECT_TRUE(kept.at("gone").cordoned);
}

// --- holds and the hardware that they are about ---

device_spec board(int number, const std::string& uuid) {
  auto made = cpu_spec("a", number);
  made.uuid = uuid;
  return made;
}

TEST(Hold, StaysWithItsHardwareUnderWhateverIdThatHasAfterARestart) {
  auto config = core_fixture::quiet();
  config.holds["a/cpu0"] = {false, true, "firmware", 0, "chip-1"};
  config.holds["a/cpu7"] = {true, false, "of before", 0};
  core_fixture t(config);
  const auto version = t.tested().holds_version();
  t.join("a");
  t.advertise(board(0, "chip-2"));
  EXPECT_TRUE(t.noted("is other hardware than what was held under this id"));
  EXPECT_FALSE(t.view().devices.at(0).cordoned);
  EXPECT_EQ(t.tested().holds(t.now()).at("a/cpu0").identity, "chip-1") << "it may come yet";
  t.advertise(board(1, "chip-1"));
  EXPECT_TRUE(t.noted("a/cpu1: is still cordoned: firmware"));
  t.advertise(board(7, "chip-7"));
  EXPECT_EQ(t.tested().holds(t.now()),
            (hold_map{{"a/cpu1", {false, true, "firmware", 0, "chip-1"}},
                      {"a/cpu7", {true, false, "of before", 0, "chip-7"}}}));
  EXPECT_GT(t.tested().holds_version(), version) << "to be kept so";
  t.drop_all();
}

TEST(Hold, LeavesAnIdThatIsOtherHardwareNow) {
  auto config = core_fixture::quiet();
  core_fixture t(config);
  t.join("a");
  t.advertise(board(0, "chip-1"));
  t.feed(hold_of("a/cpu0", true, hold_kind::cordon));
  EXPECT_TRUE(t.view().devices.at(0).cordoned);
  t.advertise(board(0, "chip-2"));
  EXPECT_FALSE(t.view().devices.at(0).cordoned);
  EXPECT_EQ(t.tested().holds(t.now()).at("a/cpu0").identity, "chip-1");
  t.advertise(board(0, "chip-1"));
  EXPECT_TRUE(t.view().devices.at(0).cordoned);
  t.advertise(board(0, "chip-2"));
  t.feed(hold_of("a/cpu0", false, hold_kind::any));
  EXPECT_TRUE(t.tested().holds(t.now()).empty()) << "what is not here can be let go";
  t.drop_all();
}

// --- labels ---

device_spec remote_spec() {
  auto made = cpu_spec("local", 9);
  made.id = device_id{"local/remote0"};
  made.type = resource_type::remote;
  made.spec.prefill_tokens_per_s = 100'000;
  made.spec.decode_tokens_per_s = 10'000;
  return made;
}

/// A slow CPU and a fast REMOTE, both ready.
void with_remote(core_fixture& t) {
  t.join("local");
  auto model = story_spec();
  model.replicas_min = 2;
  t.declare(model);
  t.advertise(cpu_spec());
  t.finish_load(1);
  t.advertise(remote_spec());
  t.finish_load();
}

TEST(Labels, LocalOnlyNeverLeavesForARemote) {
  core_fixture t;
  with_remote(t);
  EXPECT_EQ(where(t), "local");
  auto meta = t.request();
  t.submit(meta);
  EXPECT_EQ(t.expect<grant_ticket>().granted.device.value, "local/remote0") << "the faster one";
  for (int i = 0; i < 4; ++i) {
    meta = t.request();
    meta.labels = {"local-only"};
    t.submit(meta);
  }
  const auto granted = t.take_all<grant_ticket>();
  ASSERT_FALSE(granted.empty());
  for (const auto& one : granted)
    EXPECT_EQ(one.granted.device.value, "local/cpu0");
  t.take_all<queue_notice>();
  // Not even when its device fails.
  t.start(granted[0]);
  t.fail(granted[0]);
  for (const auto& one : t.take_all<grant_ticket>())
    EXPECT_EQ(one.granted.device.value, "local/cpu0");
  EXPECT_EQ(t.take_all<reject_request>().at(0).reason.code, "device_failed");
  t.drop_all();
}

TEST(Labels, OthersNeedADeviceThatCarriesThem) {
  core_fixture t;
  with_remote(t);
  auto meta = t.request();
  meta.labels = {"pii"};
  t.submit(meta);
  const auto refused = t.expect<reject_request>();
  EXPECT_EQ(refused.http_status, 422);
  EXPECT_EQ(refused.reason.message,
            "no device can serve 'storyteller' for 'auto [pii]': local/cpu0 and local/remote0: "
            "lacks the tag data:pii");
  t.expect<record_request>();
  auto cleared = cpu_spec();
  cleared.tags = {"data:pii"};
  t.advertise(cleared);
  meta = t.request();
  meta.labels = {"pii", "local-only", "pii"};
  t.submit(meta);
  EXPECT_EQ(t.expect<grant_ticket>().granted.device.value, "local/cpu0");
}

TEST(Labels, ARefusalNamesTheLabelThatKeepsADeviceOut) {
  core_fixture t;
  t.join("local");
  t.declare(story_spec());
  t.advertise(npu_spec()); // Without a compiler.
  t.advertise(remote_spec());
  auto meta = t.request();
  meta.labels = {"local-only"};
  t.submit(meta);
  EXPECT_EQ(t.expect<reject_request>().reason.message,
            "no device can serve 'storyteller' for 'auto [local-only]': local/npu0 artifact (needs "
            "an artifact that nobody has and nobody can build); local/remote0 is a remote API, and "
            "the request is local-only");
  t.expect<record_request>();
}

TEST(Labels, AreBoundedAndWellFormed) {
  core_fixture t;
  t.declare(story_spec());
  auto meta = t.request();
  meta.labels.assign(limits::labels_max + 1, "a");
  t.submit(meta);
  for (const auto& bad : {std::string("Upper"), std::string(), std::string("a b"),
                          std::string(limits::label_bytes_max + 1, 'a')}) {
    meta = t.request();
    meta.labels = {bad};
    t.submit(meta);
  }
  const auto refused = t.take_all<reject_request>();
  ASSERT_EQ(refused.size(), 5U);
  for (const auto& one : refused)
    EXPECT_EQ(one.http_status, 400);
  t.take_all<record_request>();
}

} // namespace

} // namespace consort::core::testing
