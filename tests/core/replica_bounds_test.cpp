// SPDX-License-Identifier: Apache-2.0
// How many replicas there are at least and at most: which of them count, which give their place to
// another, and which make room.
#include "tests/support/core_fixture.hpp"

namespace consort::core::testing {

namespace {

constexpr std::uint64_t room_for_one = std::uint64_t{12} << 20U;

drain_changed hold_of(const std::string& target, bool set, hold_kind kind = hold_kind::drain) {
  return {target, set, "firmware", 0, kind};
}

/// CPUs of one node, on the first of which the story is loaded, which has at most one replica.
void one_at_most(core_fixture& t, int devices = 2, std::uint32_t min = 0) {
  t.join("local");
  auto model = story_spec();
  model.replicas_min = min;
  model.replicas_max = 1;
  t.declare(model);
  t.advertise(cpu_spec());
  t.submit();
  t.take_all<queue_notice>();
  t.finish_load();
  t.finish(t.expect<grant_ticket>());
  t.take_all<record_request>();
  for (int number = 1; number < devices; ++number)
    t.advertise(cpu_spec("local", number));
  t.take_all<queue_notice>();
  t.expect_empty();
}

/// The device of the one load that was ordered, which ends well.
std::string loads_on(core_fixture& t) {
  t.take_all<queue_notice>();
  const auto asked = t.take_all<reserve_allocation>();
  EXPECT_EQ(asked.size(), 1U);
  if (asked.size() != 1)
    return {};
  t.feed(t.reserved(asked[0]));
  for (const auto& load : t.take_all<load_replica>())
    t.loaded(load);
  t.take_all<queue_notice>();
  return asked[0].grant.shares.at(0).device.value;
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

std::string served_on(core_fixture& t) {
  const auto granted = t.take_all<grant_ticket>();
  EXPECT_EQ(granted.size(), 1U);
  if (granted.size() != 1)
    return {};
  t.finish(granted[0]);
  t.take_all<record_request>();
  return granted[0].granted.device.value;
}

// --- the maximum ---

TEST(Maximum, IsOfThoseThatTakeNewWork) {
  for (const auto kind : {hold_kind::drain, hold_kind::cordon}) {
    core_fixture t;
    one_at_most(t);
    const bool drains = kind == hold_kind::drain;
    t.feed(hold_of("local/cpu0", true, kind));
    if (drains) {
      EXPECT_EQ(unloads(t), "local/cpu0 is drained: firmware");
    }
    t.expect_empty();
    t.submit();
    EXPECT_EQ(loads_on(t), "local/cpu1");
    EXPECT_EQ(served_on(t), "local/cpu1");
    if (!drains) {
      EXPECT_EQ(unloads(t), "others serve, as many as there may be") << "of the one that is held";
    }
    EXPECT_EQ(t.ready_replicas(), 1U);
    t.feed(hold_of("local/cpu0", false, kind));
    t.expect_empty();
  }
}

TEST(Maximum, WhatRunsOnAHeldDeviceEndsThere) {
  core_fixture t;
  one_at_most(t);
  t.submit();
  const auto running = t.expect<grant_ticket>();
  t.start(running);
  t.feed(hold_of("local", true, hold_kind::cordon));
  t.feed(hold_of("local/cpu0", true));
  t.submit();
  t.take_all<queue_notice>();
  t.expect_empty();
  t.feed(hold_of("local", false, hold_kind::cordon));
  EXPECT_EQ(loads_on(t), "local/cpu1");
  EXPECT_EQ(served_on(t), "local/cpu1");
  t.expect_empty();
  t.finish(running);
  t.take_all<record_request>();
  EXPECT_EQ(unloads(t), "others serve, as many as there may be");
}

TEST(Maximum, IsKeptWhenACordonEndsDuringTheLoad) {
  core_fixture t;
  one_at_most(t);
  t.feed(hold_of("local/cpu0", true, hold_kind::cordon));
  t.submit();
  t.take_all<queue_notice>();
  const auto asked = t.expect<reserve_allocation>();
  t.feed(hold_of("local/cpu0", false, hold_kind::cordon));
  EXPECT_EQ(served_on(t), "local/cpu0");
  t.feed(t.reserved(asked));
  t.loaded(t.expect<load_replica>());
  unloads(t);
  EXPECT_EQ(t.ready_replicas(), 1U);
  t.submit();
  served_on(t);
}

TEST(Maximum, IsOfThoseWhoseBreakerIsClosed) {
  core_fixture t;
  one_at_most(t);
  std::vector<grant_ticket> running;
  for (std::uint32_t i = 0; i <= limits::breaker_failures; ++i) {
    t.submit();
    running.push_back(t.expect<grant_ticket>());
    t.start(running.back());
  }
  for (std::uint32_t i = 0; i < limits::breaker_failures; ++i) {
    t.take_all<queue_notice>();
    EXPECT_TRUE(t.take_all<reserve_allocation>().empty()) << "it serves others";
    t.fail(running[i]);
  }
  EXPECT_EQ(loads_on(t), "local/cpu1");
  EXPECT_EQ(t.take_all<grant_ticket>().size(), limits::breaker_failures);
  t.expect_empty();
  t.finish(running.back());
  t.take_all<record_request>();
  EXPECT_EQ(unloads(t), "others serve, as many as there may be");
  t.drop_all();
}

TEST(Maximum, ThatIsDeclaredLowerEndsWhatIsBeyondIt) {
  core_fixture t;
  t.two_ready_nodes();
  auto model = story_spec();
  model.replicas_max = 1;
  t.declare(model);
  EXPECT_EQ(unloads(t), "others serve, as many as there may be");
  EXPECT_EQ(t.ready_replicas(), 1U);
}

TEST(Maximum, AnIdleReplicaGivesItsPlaceToOneThatIsAskedFor) {
  for (const std::uint32_t min : {0, 1}) {
    core_fixture t;
    one_at_most(t, 2, min);
    for (const std::string device : {"local/cpu1", "local/cpu0"}) {
      t.submit(device);
      EXPECT_EQ(unloads(t), "gives its place to one on " + device + ", which may serve who waits");
      EXPECT_EQ(loads_on(t), device);
      EXPECT_EQ(served_on(t), device);
      t.expect_empty();
    }
    t.submit();
    EXPECT_EQ(served_on(t), "local/cpu0") << "what may serve is not changed for another";
  }
}

TEST(Maximum, ABusyReplicaKeepsItsPlaceUntilItIsIdle) {
  core_fixture t;
  one_at_most(t);
  t.submit();
  const auto running = t.expect<grant_ticket>();
  t.start(running);
  t.submit("local/cpu1");
  t.take_all<queue_notice>();
  t.expect_empty();
  t.finish(running);
  t.expect<record_request>();
  unloads(t);
  EXPECT_EQ(loads_on(t), "local/cpu1");
  EXPECT_EQ(served_on(t), "local/cpu1");
}

TEST(Maximum, AnIdleReplicaStaysWhereNothingCanBeBegunForIt) {
  core_fixture t;
  one_at_most(t);
  auto small = cpu_spec("local", 1);
  small.memory_bytes = room_for_one;
  t.advertise(small);
  auto other = story_spec("other");
  other.replicas_min = 1;
  t.feed(hold_of("local/cpu0", true, hold_kind::cordon));
  t.declare(other);
  EXPECT_EQ(loads_on(t), "local/cpu1");
  t.feed(hold_of("local/cpu0", false, hold_kind::cordon));
  t.submit("local/cpu1");
  t.take_all<queue_notice>();
  t.expect_empty();
  EXPECT_EQ(t.ready_replicas(), 2U);
  t.submit();
  EXPECT_EQ(served_on(t), "local/cpu0");
  t.drop_all();
}

TEST(Maximum, WhoWasFailedHasTheIdleReplicaLoadedElsewhere) {
  core_fixture t;
  one_at_most(t, 3);
  t.submit();
  const auto first = t.expect<grant_ticket>();
  t.start(first);
  t.fail(first);
  unloads(t);
  EXPECT_EQ(loads_on(t), "local/cpu1");
  EXPECT_EQ(served_on(t), "local/cpu1");
}

// --- the minimum ---

/// The story with at least one replica, on cpu0 of two.
void one_at_least(core_fixture& t, duration_us idle_ttl_us = 0) {
  t.join("local");
  auto model = story_spec();
  model.replicas_min = 1;
  model.idle_ttl_us = idle_ttl_us;
  t.declare(model);
  t.advertise(cpu_spec());
  t.finish_load();
  t.advertise(cpu_spec("local", 1));
  t.expect_empty();
}

TEST(Minimum, IsKeptElsewhereWhileADeviceIsHeld) {
  for (const auto kind : {hold_kind::drain, hold_kind::cordon}) {
    core_fixture t;
    one_at_least(t);
    t.feed(hold_of("local/cpu0", true, kind));
    if (kind == hold_kind::drain) {
      EXPECT_EQ(unloads(t), "local/cpu0 is drained: firmware");
    }
    EXPECT_EQ(loads_on(t), "local/cpu1");
    t.submit();
    EXPECT_EQ(served_on(t), "local/cpu1");
    t.feed(hold_of("local/cpu0", false, kind));
    t.expect_empty();
    EXPECT_EQ(t.ready_replicas(), kind == hold_kind::drain ? 1U : 2U)
        << "what a cordon left may stay where there is no maximum";
  }
}

core_config settling() {
  auto config = core_fixture::quiet();
  config.minima_settle_us = limits::minima_settle_us;
  return config;
}

/// A node of two CPUs is there first, and has one replica of the two that are kept.
void first_of_two(core_fixture& t) {
  auto model = story_spec();
  model.replicas_min = 2;
  t.declare(model);
  t.join("big", 11);
  t.advertise(cpu_spec("big", 0));
  t.advertise(cpu_spec("big", 1));
  EXPECT_EQ(loads_on(t), "big/cpu0") << "of a node that has none the first begins at once";
}

TEST(Minimum, IsSpreadOverANodeThatDialsAMomentAfterTheFirst) {
  core_fixture t(settling());
  first_of_two(t);
  t.pass_time(10'000);
  t.expect_empty();
  t.join("small", 22);
  t.advertise(cpu_spec("small"));
  EXPECT_EQ(loads_on(t), "small/cpu0");
  t.pass_time_renewing(2 * limits::minima_settle_us, {"big", "small"});
  t.expect_empty();
}

TEST(Minimum, IsOnOneNodeWhereNoOtherDialsInTime) {
  core_fixture t(settling());
  first_of_two(t);
  t.pass_time(limits::minima_settle_us - 1);
  t.expect_empty();
  t.pass_time(1);
  EXPECT_EQ(loads_on(t), "big/cpu1");
  EXPECT_FALSE(t.noted("of at least"));
}

TEST(Minimum, WhoWaitsHasItLoadedAtOnce) {
  core_fixture t(settling());
  first_of_two(t);
  t.submit("big/cpu1");
  EXPECT_EQ(loads_on(t), "big/cpu1");
  EXPECT_EQ(served_on(t), "big/cpu1");
}

TEST(Minimum, IsBackOnceADrainIsOverThatLeftNoOtherDevice) {
  core_fixture t;
  t.join("local");
  auto model = story_spec();
  model.replicas_min = 1;
  t.declare(model);
  t.advertise(cpu_spec());
  t.finish_load();
  t.feed(hold_of("local", true));
  EXPECT_EQ(unloads(t), "local is drained: firmware");
  t.expect_empty();
  EXPECT_EQ(t.ready_replicas(), 0U);
  t.feed(hold_of("local", false));
  EXPECT_EQ(loads_on(t), "local/cpu0");
}

TEST(Minimum, IsKeptElsewhereWhileADeviceIsUnhealthy) {
  core_fixture t;
  one_at_least(t);
  device_reported said;
  said.device = device_id{"local/cpu0"};
  said.life = t.life_of("local");
  said.reading.health = device_health::unhealthy;
  t.feed(said);
  EXPECT_EQ(loads_on(t), "local/cpu1");
}

TEST(Minimum, OnlyTheHeldReplicaGoesWhenItIsIdle) {
  core_fixture t;
  one_at_least(t, 5 * second);
  t.pass_time_renewing(6 * second);
  t.expect_empty();
  t.feed(hold_of("local/cpu0", true, hold_kind::cordon));
  EXPECT_EQ(loads_on(t), "local/cpu1");
  t.pass_time_renewing(20 * second);
  EXPECT_EQ(unloads(t), "idle for 5s");
  t.expect_empty();
  EXPECT_EQ(t.ready_replicas(), 1U);
}

/// Two CPUs with room for one model each, of which `other` has the second.
void other_beside(core_fixture& t, std::uint32_t others_min) {
  t.join("local");
  for (int number = 0; number < 2; ++number) {
    auto small = cpu_spec("local", number);
    small.memory_bytes = room_for_one;
    t.advertise(small);
  }
  auto other = story_spec("other");
  other.replicas_min = others_min;
  t.declare(other);
  auto meta = t.request("local/cpu1");
  meta.model = other.name;
  if (others_min == 0)
    t.submit(meta);
  loads_on(t);
  for (const auto& one : t.take_all<grant_ticket>())
    t.finish(one);
  t.drop_all();
}

void declare_two(core_fixture& t) {
  auto model = story_spec();
  model.replicas_min = 2;
  t.declare(model);
}

TEST(Minimum, MakesRoomWhereOthersAreIdle) {
  core_fixture t;
  other_beside(t, 0);
  declare_two(t);
  EXPECT_EQ(loads_on(t), "local/cpu0");
  EXPECT_EQ(unloads(t), "makes room for storyteller");
  EXPECT_EQ(loads_on(t), "local/cpu1");
  t.expect_empty();
  EXPECT_EQ(t.ready_replicas(), 2U);
  t.pass_time_renewing(2 * limits::starvation_us);
  EXPECT_FALSE(t.noted("of at least"));
}

TEST(Minimum, MakesRoomOnceForEachThatIsMissing) {
  core_fixture t;
  t.join("local");
  for (int number = 0; number < 3; ++number) {
    auto small = cpu_spec("local", number);
    small.memory_bytes = room_for_one;
    t.advertise(small);
  }
  for (int number = 0; number < 3; ++number) {
    auto other = story_spec("other" + std::to_string(number));
    t.declare(other);
    auto meta = t.request("local/cpu" + std::to_string(number));
    meta.model = other.name;
    t.submit(meta);
    loads_on(t);
    t.finish(t.expect<grant_ticket>());
    t.take_all<record_request>();
  }
  auto model = story_spec();
  model.replicas_min = 1;
  t.declare(model);
  const auto leaves = t.take_all<unload_replica>();
  ASSERT_EQ(leaves.size(), 1U);
  t.advertise(cpu_spec("local", 1)); // Something has changed.
  t.pass_time_renewing(second);
  EXPECT_TRUE(t.take_all<unload_replica>().empty()) << "one is on its way out";
  t.drop_all();
}

TEST(Minimum, LeavesOthersTheirOwnAndSaysSoOnce) {
  core_fixture t;
  other_beside(t, 1);
  declare_two(t);
  loads_on(t);
  t.expect_empty();
  t.pass_time_renewing(limits::starvation_us / 2);
  EXPECT_FALSE(t.noted("of at least"));
  t.pass_time_renewing(3 * limits::starvation_us);
  EXPECT_EQ(t.noted_times("storyteller: 1 of at least 2 replicas: no other device"), 1U);
  t.expect_empty();
  // Once there are enough, the next lack is another.
  t.advertise(cpu_spec("local", 2));
  loads_on(t);
  t.feed(hold_of("local/cpu2", true));
  unloads(t);
  t.pass_time_renewing(3 * limits::starvation_us);
  EXPECT_EQ(t.noted_times("storyteller: 1 of at least 2 replicas: no other device"), 2U);
}

TEST(Minimum, NothingIsSaidWhileWhatIsMissingIsBuilt) {
  core_fixture t;
  t.join("local", 1, {refnpu_profile()});
  t.advertise(npu_spec());
  auto model = story_spec();
  model.replicas_min = 1;
  t.declare(model);
  const auto order = t.expect<start_compile>();
  t.pass_time_renewing(2 * limits::starvation_us);
  t.expect_empty();
  EXPECT_FALSE(t.noted("of at least"));
  t.compiled(order);
  EXPECT_EQ(loads_on(t), "local/npu0");
}

} // namespace

} // namespace consort::core::testing
