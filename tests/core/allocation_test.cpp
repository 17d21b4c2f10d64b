// SPDX-License-Identifier: Apache-2.0
// Allocations over one and two nodes: all or nothing, in two phases, given back exactly once.
#include "tests/support/core_fixture.hpp"

#include <set>

namespace consort::core::testing {

namespace {

model_spec wide_spec() {
  auto model = story_spec();
  model.devices_per_instance = 2;
  return model;
}

device_spec wide_cpu(const std::string& node) {
  auto device = cpu_spec(node);
  device.capability.devices_max = 4;
  device.capability.nodes_max = 2;
  return device;
}

/// One request that needs two devices on two nodes. Returns: the two halves asked for.
std::vector<reserve_allocation> ask_two(core_fixture& t) {
  t.join("a", 11);
  t.join("b", 22);
  t.advertise(wide_cpu("a"));
  t.advertise(wide_cpu("b"));
  t.declare(wide_spec());
  t.submit();
  auto asked = t.take_all<reserve_allocation>();
  t.take_all<queue_notice>();
  EXPECT_EQ(asked.size(), 2U);
  return asked;
}

std::set<std::string> nodes_of(const std::vector<release_allocation>& released) {
  std::set<std::string> nodes;
  for (const auto& one : released)
    nodes.insert(one.node.value);
  return nodes;
}

/// Each of the two could lead an instance over both: what is begun for one is over the other, too.
TEST(Allocation, ManyWhoWaitGetOneInstanceOverTheSameDevices) {
  core_fixture t;
  t.join("a", 11);
  auto device = cpu_spec("a", 0);
  device.capability.devices_max = 2;
  t.advertise(device);
  t.declare(wide_spec());
  for (int at = 0; at < 20; ++at)
    t.submit();
  EXPECT_TRUE(t.take_all<reserve_allocation>().empty());
  device = cpu_spec("a", 1);
  device.capability.devices_max = 2;
  t.advertise(device);
  EXPECT_EQ(t.take_all<reserve_allocation>().size(), 1U);
  t.drop_all();
}

/// Nor is a device of one instance the partner of another one's leader.
TEST(Allocation, ADeviceIsInOneInstanceOfAModel) {
  core_fixture t;
  t.join("a", 11);
  auto model = wide_spec();
  model.replicas_min = 2;
  t.declare(model);
  const auto add = [&](int number) {
    auto device = cpu_spec("a", number);
    device.capability.devices_max = 2;
    t.advertise(device);
  };
  add(0);
  add(1);
  t.finish_load();
  add(2);
  EXPECT_TRUE(t.take_all<reserve_allocation>().empty()) << "it has no partner";
  add(3);
  const auto asked = t.take_all<reserve_allocation>();
  ASSERT_EQ(asked.size(), 1U);
  for (const auto& share : asked[0].grant.shares)
    EXPECT_TRUE(share.device.value == "a/cpu2" || share.device.value == "a/cpu3")
        << share.device.value;
  t.drop_all();
}

/// The same where they are faster than what serves, and are loaded beside it.
TEST(Allocation, AWarmUpBeginsOneInstanceOverTheSameDevices) {
  core_fixture t;
  t.join("a", 11);
  t.declare(wide_spec());
  const auto two_of = [&](const std::string& node, const std::string& kind, std::uint64_t speed) {
    for (int number : {0, 1}) {
      auto device = cpu_spec(node, number);
      device.capability.devices_max = 2;
      device.model = kind;
      device.spec.prefill_tokens_per_s = 20 * speed;
      device.spec.decode_tokens_per_s = speed;
      t.advertise(device);
    }
  };
  two_of("a", "slow", 10);
  t.submit();
  t.grant_next_allocation();
  t.take_all<queue_notice>();
  t.loaded(t.expect<load_replica>());
  t.expect<grant_ticket>();
  t.join("b", 22);
  two_of("b", "fast", 1'000);
  EXPECT_EQ(t.take_all<reserve_allocation>().size(), 1U);
  t.drop_all();
}

/// Whoever waits is told which devices are missing.
TEST(Allocation, TooFewDevicesThatTakeWorkAreNamed) {
  core_fixture t;
  t.join("a", 11);
  for (int number : {0, 1}) {
    auto device = cpu_spec("a", number);
    device.capability.devices_max = 2;
    t.advertise(device);
  }
  t.declare(wide_spec());
  t.feed(drain_changed{"a/cpu1", true, "its fan is changed", 0, hold_kind::cordon});
  auto meta = t.request();
  meta.wait_us = second;
  t.submit(meta);
  t.take_all<queue_notice>();
  EXPECT_TRUE(t.take_all<reserve_allocation>().empty());
  t.pass_time(second);
  const auto ends = t.take_all<reject_request>();
  ASSERT_EQ(ends.size(), 1U);
  EXPECT_NE(ends[0].reason.message.find("; a/cpu0 needs 2 devices of its kind together, of which 1 "
                                        "may be used (a/cpu1 cordoned)"),
            std::string::npos)
      << ends[0].reason.message;
  t.drop_all();
}

TEST(Allocation, TwoNodesAreLoadedOnlyWhenBothGranted) {
  core_fixture t;
  const auto asked = ask_two(t);
  EXPECT_EQ(asked[0].grant, asked[1].grant);
  EXPECT_EQ(asked[0].grant.shares.size(), 2U);
  t.feed(t.reserved(asked[1]));
  t.expect_empty();
  t.feed(t.reserved(asked[1]));
  t.expect_empty();
  auto leader = t.reserved(asked[0]);
  leader.rendezvous = "10.0.0.1:4242";
  t.feed(leader);
  const auto load = t.expect<load_replica>();
  EXPECT_EQ(load.node.value, "a");
  EXPECT_EQ(load.ways.tp, 2U);
  EXPECT_EQ(load.rank, 0U);
  EXPECT_EQ(load.ranks, 2U);
  EXPECT_EQ(load.grant.state, allocation_state::granted);
  EXPECT_EQ(load.grant.master, "10.0.0.1:4242");
  const auto further = t.expect<load_replica>();
  EXPECT_EQ(further.node.value, "b");
  EXPECT_EQ(further.rank, 1U);
  EXPECT_EQ(further.instance, load.instance);
  EXPECT_EQ(further.grant, load.grant);
  t.loaded(load);
  EXPECT_EQ(t.expect<grant_ticket>().granted.device.value, "a/cpu0");
  EXPECT_EQ(t.view().replicas.at(0).devices.size(), 2U);
}

TEST(Allocation, OneRefusalReleasesAllOnce) {
  core_fixture t;
  const auto asked = ask_two(t);
  t.feed(t.reserved(asked[0]));
  t.feed(allocation_refused{asked[1].grant.id,
                            node_id{"b"},
                            incarnation{22},
                            asked[1].grant.fence,
                            {recovery::retry_elsewhere, "device_in_use", "in use"}});
  const auto released = t.take_all<release_allocation>();
  EXPECT_EQ(released.size(), 2U);
  EXPECT_EQ(nodes_of(released), (std::set<std::string>{"a", "b"}));
  EXPECT_TRUE(t.take_all<load_replica>().empty());
  t.take_all<queue_notice>();
  t.pass_time(limits::load_backoff_min_us);
  EXPECT_EQ(t.take_all<reserve_allocation>().size(), 2U) << "a refusal is ordinary: tried again";
  t.take_all<queue_notice>();
}

TEST(Allocation, SilenceReleasesAllAndALateYesIsReleasedToo) {
  core_fixture t;
  const auto asked = ask_two(t);
  t.feed(t.reserved(asked[0]));
  t.pass_time(2 * second);
  t.renew("a");
  t.renew("b");
  t.pass_time(2 * second);
  t.renew("a");
  t.renew("b");
  t.pass_time(second);
  EXPECT_EQ(t.take_all<release_allocation>().size(), 2U);
  t.drop_all();
  t.feed(t.reserved(asked[1]));
  const auto late = t.expect<release_allocation>();
  EXPECT_EQ(late.allocation, asked[1].grant.id);
  EXPECT_EQ(late.fence, asked[1].grant.fence);
}

TEST(Allocation, MemberLostFailsTheInstanceAndReleasesTheOtherHalf) {
  core_fixture t;
  for (const auto& one : ask_two(t))
    t.feed(t.reserved(one));
  t.loaded(t.expect<load_replica>());
  t.expect<load_replica>();
  const auto first = t.expect<grant_ticket>();
  t.start(first);
  t.feed(node_lost{node_id{"b"}, incarnation{22}, true, "power"});
  const auto unload = t.take_all<unload_replica>();
  ASSERT_EQ(unload.size(), 1U);
  EXPECT_EQ(unload[0].node.value, "a");
  EXPECT_EQ(t.expect<drop_attempt>().attempt, first.granted.attempt);
  const auto released = t.take_all<release_allocation>();
  EXPECT_EQ(nodes_of(released), (std::set<std::string>{"a"}));
  EXPECT_EQ(released.size(), 1U);
  EXPECT_EQ(t.take_all<queue_notice>().size(), 1U);
  EXPECT_TRUE(t.view().replicas.empty());
  EXPECT_EQ(t.view().requests.at(0).state, "queued");
}

/// Two ranks on two nodes, ready and serving one request.
grant_ticket serve_two(core_fixture& t, load_replica& leader) {
  for (const auto& one : ask_two(t))
    t.feed(t.reserved(one));
  leader = t.expect<load_replica>();
  t.expect<load_replica>();
  t.loaded(leader);
  const auto granted = t.expect<grant_ticket>();
  t.start(granted);
  return granted;
}

TEST(Allocation, RankThatDiesFailsTheInstanceAndIsNotToldSo) {
  core_fixture t;
  load_replica leader;
  const auto granted = serve_two(t, leader);
  t.feed(replica_failed{
      leader.instance, t.life_of("b"), {recovery::retry_elsewhere, "runtime_died", "signal 9"}});
  const auto unload = t.expect<unload_replica>();
  EXPECT_EQ(unload.node.value, "a");
  EXPECT_EQ(t.expect<drop_attempt>().attempt, granted.granted.attempt);
  EXPECT_EQ(nodes_of(t.take_all<release_allocation>()), (std::set<std::string>{"a", "b"}));
  for (const auto& one : t.view().replicas)
    EXPECT_NE(one.instance, leader.instance);
  t.take_all<reserve_allocation>();
  t.take_all<queue_notice>();
}

TEST(Allocation, DevicesAreGivenBackWhenTheLastRankUnloaded) {
  core_fixture t;
  load_replica leader;
  t.finish(serve_two(t, leader));
  auto gone = wide_spec();
  t.feed(model_removed{gone.name});
  EXPECT_EQ(t.take_all<unload_replica>().size(), 2U);
  t.feed(replica_unloaded{leader.instance, t.life_of("a")});
  EXPECT_TRUE(t.take_all<release_allocation>().empty()) << "the other half still runs";
  t.feed(replica_unloaded{leader.instance, t.life_of("b")});
  EXPECT_EQ(nodes_of(t.take_all<release_allocation>()), (std::set<std::string>{"a", "b"}));
  EXPECT_TRUE(t.take_all<record_request>().size() == 1U);
}

TEST(Allocation, RuntimeThatSpansOneDeviceIsNoCandidate) {
  core_fixture t;
  t.join("a");
  t.advertise(cpu_spec("a", 0));
  t.advertise(cpu_spec("a", 1));
  t.declare(wide_spec());
  t.submit();
  const auto refused = t.expect<reject_request>();
  EXPECT_EQ(refused.http_status, 422);
  EXPECT_NE(refused.reason.message.find("spans 1 of 2 devices"), std::string::npos)
      << refused.reason.message;
  t.take_all<record_request>();
}

TEST(Allocation, RanksStayWithinTheNodesThatARuntimeSpans) {
  core_fixture t;
  t.join("a", 11);
  t.join("b", 22);
  for (const auto* node : {"a", "b"}) {
    auto device = wide_cpu(node);
    device.capability.nodes_max = 1;
    t.advertise(device);
  }
  t.declare(wide_spec());
  t.submit();
  EXPECT_TRUE(t.take_all<reserve_allocation>().empty()) << "one device on each node is no pair";
  t.take_all<queue_notice>();
  auto second = wide_cpu("b");
  second.id = device_id{"b/cpu1"};
  second.capability.nodes_max = 1;
  t.advertise(second);
  const auto asked = t.expect<reserve_allocation>();
  EXPECT_EQ(asked.node.value, "b");
  EXPECT_EQ(asked.grant.shares.size(), 2U);
  t.take_all<queue_notice>();
  t.expect_empty();
}

TEST(Allocation, MemoryIsPromisedOnce) {
  core_fixture t;
  t.join("a");
  auto small = cpu_spec("a");
  small.memory_bytes = 15 << 20U;
  t.advertise(small);
  t.declare(story_spec());
  t.declare(story_spec("other"));
  t.submit();
  t.take_all<queue_notice>();
  const auto asked = t.expect<reserve_allocation>();
  EXPECT_FALSE(asked.grant.shares.at(0).whole);
  auto meta = t.request();
  meta.model = model_name{"other"};
  t.submit(meta);
  t.take_all<queue_notice>();
  t.expect_empty();
  t.feed(t.reserved(asked));
  t.loaded(t.expect<load_replica>());
  t.expect<grant_ticket>();
}

TEST(Allocation, DeviceOfUnknownMemoryIsHeldWhole) {
  core_fixture t;
  t.join("a");
  auto blind = cpu_spec("a");
  blind.memory_bytes = 0;
  t.advertise(blind);
  t.declare(story_spec());
  t.submit();
  t.take_all<queue_notice>();
  EXPECT_TRUE(t.expect<reserve_allocation>().grant.shares.at(0).whole);
}

TEST(Allocation, ExclusiveSiblingsAreNeverHeldTogether) {
  core_fixture t;
  t.join("a");
  auto left = cpu_spec("a", 0);
  auto right = cpu_spec("a", 1);
  left.exclusive_siblings = {right.id};
  t.advertise(left);
  t.advertise(right);
  auto model = story_spec();
  model.replicas_min = 2;
  t.declare(model);
  t.expect<reserve_allocation>();
  t.expect_empty();
}

TEST(Allocation, PartitionAndParentAreNeverHeldTogether) {
  core_fixture t;
  t.join("a");
  auto board = cpu_spec("a", 0);
  auto slice = cpu_spec("a", 1);
  slice.parent = board.id;
  t.advertise(board);
  t.advertise(slice);
  auto model = story_spec();
  model.replicas_min = 2;
  t.declare(model);
  t.expect<reserve_allocation>();
  t.expect_empty();
}

} // namespace

} // namespace consort::core::testing
