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

/// One request that needs two devices on two nodes. Returns: the two halves asked for.
std::vector<reserve_allocation> ask_two(core_fixture& t) {
  t.join("a", 11);
  t.join("b", 22);
  t.advertise(cpu_spec("a"));
  t.advertise(cpu_spec("b"));
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

TEST(Allocation, TwoNodesAreLoadedOnlyWhenBothGranted) {
  core_fixture t;
  const auto asked = ask_two(t);
  EXPECT_EQ(asked[0].grant, asked[1].grant);
  EXPECT_EQ(asked[0].grant.shares.size(), 2U);
  t.feed(t.reserved(asked[1]));
  t.expect_empty();
  t.feed(t.reserved(asked[1]));
  t.expect_empty();
  t.feed(t.reserved(asked[0]));
  const auto load = t.expect<load_replica>();
  EXPECT_EQ(load.node.value, "a");
  EXPECT_EQ(load.ways.tp, 2U);
  EXPECT_EQ(load.grant.state, allocation_state::granted);
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
