// SPDX-License-Identifier: Apache-2.0
// An instance over two nodes meets a scheduler that took over from the one that placed it: its
// leader and its rank are told of one by one, before or after the devices that they stand on.
#include "tests/support/core_fixture.hpp"

namespace consort::core::testing {

namespace {

device_spec wide(const std::string& node) {
  auto device = cpu_spec(node);
  device.capability.devices_max = 2;
  device.capability.nodes_max = 2;
  return device;
}

model_spec two_devices() {
  auto model = story_spec();
  model.devices_per_instance = 2;
  return model;
}

/// What the earlier scheduler had placed: leader on a, rank on b.
allocation earlier_grant() {
  allocation grant;
  grant.id = allocation_id{41};
  grant.fence = epoch{17};
  grant.shares = {{wide("a").id, false, 1 << 20U}, {wide("b").id, false, 1 << 20U}};
  grant.owner_instance = instance_id{40};
  grant.state = allocation_state::granted;
  grant.master = "10.0.0.1:4242";
  return grant;
}

replica_found told_by(const std::string& node, std::uint64_t life) {
  replica_found told;
  told.instance = instance_id{40};
  told.node = node_id{node};
  told.life = incarnation{life};
  told.grant = earlier_grant();
  told.model = two_devices().name;
  told.weights = two_devices().variants[0].content;
  told.endpoints.resize(1);
  return told;
}

void returns(core_fixture& t, const std::string& node, std::uint64_t life) {
  t.set_life(node, life);
  t.feed(node_joined{node_id{node}, incarnation{life}, node + ":1", {}, {}, true});
  t.take_all<grant_lease>();
}

TEST(Adoption, LeaderWaitsForTheNodeOfItsRank) {
  core_fixture t;
  t.declare(two_devices());
  returns(t, "a", 11);
  t.advertise(wide("a"));
  t.feed(told_by("a", 11));
  EXPECT_TRUE(t.view().replicas.empty());
  t.expect_empty();
  returns(t, "b", 22);
  t.advertise(wide("b"));
  ASSERT_EQ(t.view().replicas.size(), 1U) << "taken over as soon as both devices are here";
  t.feed(told_by("b", 22));
  t.pass_time_renewing(2 * limits::return_grace_us, {"a", "b"});
  EXPECT_EQ(t.view().replicas.size(), 1U);
  t.expect_empty();
}

TEST(Adoption, RankThatIsToldOfFirstWaitsForItsLeader) {
  core_fixture t;
  t.declare(two_devices());
  returns(t, "b", 22);
  t.advertise(wide("b"));
  t.feed(told_by("b", 22));
  t.expect_empty();
  returns(t, "a", 11);
  t.advertise(wide("a"));
  t.feed(told_by("a", 11));
  EXPECT_EQ(t.view().replicas.size(), 1U);
  t.pass_time_renewing(2 * limits::return_grace_us, {"a", "b"});
  EXPECT_EQ(t.view().replicas.size(), 1U);
  t.expect_empty();
}

TEST(Adoption, RankWhoseLeaderNeverComesGivesItsDeviceBack) {
  core_fixture t;
  t.declare(two_devices());
  returns(t, "b", 22);
  t.advertise(wide("b"));
  t.feed(told_by("b", 22));
  t.pass_time_renewing(limits::return_grace_us + second, {"b"});
  EXPECT_EQ(t.expect<unload_replica>().node.value, "b");
  EXPECT_EQ(t.expect<release_allocation>().allocation, earlier_grant().id);
}

TEST(Adoption, LeaderWhoseRankNeverComesGivesItsDeviceBack) {
  core_fixture t;
  t.declare(two_devices());
  returns(t, "a", 11);
  t.advertise(wide("a"));
  t.feed(told_by("a", 11));
  t.pass_time_renewing(limits::return_grace_us + second, {"a"});
  EXPECT_EQ(t.expect<unload_replica>().node.value, "a");
  EXPECT_EQ(t.expect<release_allocation>().node.value, "a");
  EXPECT_TRUE(t.view().replicas.empty());
}

TEST(Adoption, WhatIsToldOfInAnyOrderIsListedInOrder) {
  core_fixture t; // Which checks the invariants after each event.
  t.declare(story_spec());
  returns(t, "a", 11);
  for (int number = 0; number < 5; ++number)
    t.advertise(cpu_spec("a", number));
  for (const std::uint64_t number : {3U, 1U, 4U, 0U, 2U}) {
    replica_found told;
    told.instance = instance_id{100 + number};
    told.life = incarnation{11};
    told.grant.id = allocation_id{200 + number};
    told.grant.fence = epoch{17};
    told.grant.owner_instance = told.instance;
    told.grant.state = allocation_state::granted;
    told.grant.shares = {{cpu_spec("a", static_cast<int>(number)).id, false, 1 << 20U}};
    told.model = story_spec().name;
    told.weights = story_spec().variants[0].content;
    told.endpoints.resize(1);
    t.feed(told);
  }
  EXPECT_EQ(t.view().replicas.size(), 5U);
  t.expect_empty();
}

// --- what is still to be told of ---

/// An instance of one device that its node has from the earlier scheduler.
replica_found one_on(const device_spec& device, incarnation life) {
  replica_found told;
  told.instance = instance_id{100};
  told.life = life;
  told.grant.id = allocation_id{200};
  told.grant.fence = epoch{17};
  told.grant.owner_instance = told.instance;
  told.grant.state = allocation_state::granted;
  told.grant.shares = {{device.id, false, 1 << 20U}};
  told.model = story_spec().name;
  told.weights = story_spec().variants[0].content;
  told.endpoints.resize(1);
  return told;
}

/// Node `a` was there in time, `b` dials when the others' time is over and somebody waits.
void dials_late(core_fixture& t) {
  t.declare(story_spec());
  returns(t, "a", 11);
  t.pass_time_renewing(2 * limits::lease_us, {"a"});
  t.submit();
  returns(t, "b", 22);
  t.advertise(cpu_spec("b"));
  t.take_all<queue_notice>();
  EXPECT_TRUE(t.take_all<reserve_allocation>().empty()) << "it may have the model";
}

TEST(Adoption, ANodeThatDialsLateIsLetTellWhatItHas) {
  core_fixture t;
  dials_late(t);
  t.feed(one_on(cpu_spec("b"), incarnation{22}));
  EXPECT_EQ(t.take_all<grant_ticket>().size(), 1U) << "which serves at once";
  EXPECT_TRUE(t.take_all<reserve_allocation>().empty());
  t.drop_all();
}

TEST(Adoption, ANodeThatDialsLateAndHasNothingIsLoadedAfterALease) {
  core_fixture t;
  dials_late(t);
  t.pass_time_renewing(limits::lease_us, {"a", "b"});
  EXPECT_EQ(t.take_all<reserve_allocation>().size(), 1U);
  t.drop_all();
}

TEST(Adoption, NothingIsPlacedWhereALeaderWaitsForItsRank) {
  core_fixture t;
  t.declare(two_devices());
  auto other = story_spec("other");
  other.replicas_min = 1;
  t.declare(other);
  returns(t, "a", 11);
  t.advertise(wide("a"));
  t.feed(told_by("a", 11));
  t.pass_time_renewing(limits::lease_us + second, {"a"});
  EXPECT_TRUE(t.take_all<reserve_allocation>().empty());
  returns(t, "b", 22);
  t.advertise(wide("b"));
  const auto asked = t.take_all<reserve_allocation>();
  ASSERT_EQ(asked.size(), 1U) << "it is known now what is free";
  EXPECT_EQ(asked[0].node.value, "a");
  t.drop_all();
}

TEST(Adoption, NumbersNearTheEndOfAllAreNotBelieved) {
  core_fixture t;
  t.declare(two_devices());
  returns(t, "a", 11);
  returns(t, "b", 22);
  t.advertise(wide("a"));
  t.advertise(wide("b"));
  auto told = told_by("a", 11);
  told.instance.value = ~std::uint64_t{0};
  t.feed(told);
  EXPECT_TRUE(t.view().replicas.empty());
  t.expect_empty();
}

TEST(Adoption, NoMoreIsKeptThanTheLimit) {
  core_fixture t;
  t.declare(two_devices());
  returns(t, "b", 22);
  t.advertise(wide("b"));
  auto told = told_by("b", 22);
  for (std::size_t count = 0; count < limits::found_early_max + 10; ++count) {
    ++told.instance.value;
    t.feed(told);
  }
  t.pass_time_renewing(limits::return_grace_us + second, {"b"});
  EXPECT_EQ(t.take_all<unload_replica>().size(), limits::found_early_max);
  t.take_all<release_allocation>();
}

} // namespace

} // namespace consort::core::testing
