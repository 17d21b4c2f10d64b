// SPDX-License-Identifier: Apache-2.0
// Who is believed alive: leases, epochs, incarnations, fencing, draining.
#include "tests/support/core_fixture.hpp"

namespace consort::core::testing {

namespace {

/// Two nodes with a CPU each, both loaded; returns with nothing unexpected.
void two_nodes(core_fixture& t) {
  auto model = story_spec();
  model.replicas_min = 2;
  t.declare(model);
  for (const char* node : {"a", "b"}) {
    t.join(node, node[0] == 'a' ? 11 : 22);
    t.advertise(cpu_spec(node));
    t.finish_load();
  }
}

TEST(Lease, JoinGrantsItAndRenewalExtendsTheSameEpoch) {
  core_fixture t;
  t.feed(node_joined{node_id{"a"}, incarnation{5}, "", {}, {}});
  const auto first = t.expect<grant_lease>();
  EXPECT_EQ(first.until, t.now() + limits::lease_us);
  t.set_life("a", 5);
  t.pass_time(second);
  t.feed(lease_renewed{node_id{"a"}, incarnation{5}});
  const auto again = t.expect<grant_lease>();
  EXPECT_EQ(again.lease_epoch, first.lease_epoch);
  EXPECT_EQ(again.until, t.now() + limits::lease_us);
}

TEST(Lease, ExpiryFencesTheNodeAndFailsItsAttemptsOver) {
  core_fixture t;
  two_nodes(t);
  const auto id = t.submit();
  const auto first = t.expect<grant_ticket>();
  EXPECT_EQ(first.granted.node.value, "a");
  t.start(first);
  for (int i = 0; i < 2; ++i) {
    t.pass_time(second);
    t.renew("b");
  }
  t.pass_time(second);
  const auto dropped = t.expect<drop_attempt>();
  EXPECT_EQ(dropped.attempt, (attempt_id{id, 1}));
  EXPECT_EQ(t.expect<fence_node>().life.value, 11U);
  const auto second_try = t.expect<grant_ticket>();
  EXPECT_EQ(second_try.granted.attempt.number, 2U);
  EXPECT_EQ(second_try.granted.node.value, "b");
  EXPECT_TRUE(t.noted("a: node is down: its lease expired"));
}

TEST(Lease, LateRenewalIsFencedUntilANewHello) {
  core_fixture t;
  t.join("a", 11);
  t.pass_time(limits::lease_us);
  t.expect<fence_node>();
  t.feed(lease_renewed{node_id{"a"}, incarnation{11}});
  t.expect<fence_node>();
  t.feed(node_joined{node_id{"a"}, incarnation{11}, "", {}, {}});
  EXPECT_EQ(t.expect<grant_lease>().lease_epoch.value, 2U) << "a revival is a new epoch";
}

TEST(Lease, OldIncarnationIsNotBelieved) {
  core_fixture t;
  t.join("a", 11);
  t.advertise(cpu_spec("a"));
  t.join("a", 12);
  t.feed(device_advertised{cpu_spec("a"), incarnation{11}});
  EXPECT_FALSE(t.view().devices.at(0).alive);
  t.feed(lease_renewed{node_id{"a"}, incarnation{11}});
  EXPECT_EQ(t.expect<fence_node>().life.value, 11U);
}

TEST(Lease, LostLinkIsOnlyAHintAndTakesNoNewWork) {
  core_fixture t;
  two_nodes(t);
  t.submit();
  t.start(t.expect<grant_ticket>());
  t.feed(node_lost{node_id{"a"}, incarnation{11}, false, "link"});
  t.expect_empty();
  t.submit();
  EXPECT_EQ(t.expect<grant_ticket>().granted.node.value, "b");
  t.renew("a");
  EXPECT_TRUE(t.view().nodes.at(0).alive);
}

TEST(Lease, EndedProcessFailsOverAtOnce) {
  core_fixture t;
  two_nodes(t);
  t.submit();
  t.start(t.expect<grant_ticket>());
  t.feed(node_lost{node_id{"a"}, incarnation{11}, true, ""});
  t.expect<drop_attempt>();
  EXPECT_EQ(t.expect<grant_ticket>().granted.node.value, "b");
}

TEST(Lease, DrainedNodeFinishesItsWorkAndGetsNoMore) {
  core_fixture t;
  two_nodes(t);
  t.submit();
  const auto running = t.expect<grant_ticket>();
  t.start(running);
  t.feed(drain_changed{"a", true, "kernel update"});
  t.submit();
  EXPECT_EQ(t.expect<grant_ticket>().granted.node.value, "b");
  t.finish(running);
  t.expect<record_request>();
  t.feed(drain_changed{"a", false, ""});
  t.submit();
  EXPECT_EQ(t.expect<grant_ticket>().granted.node.value, "a");
  EXPECT_TRUE(t.noted("a: draining: kernel update"));
}

TEST(Lease, DrainOfTheUnknownSaysWhatIsNear) {
  core_fixture t;
  t.join("edge-1");
  t.feed(drain_changed{"edge-2", true, ""});
  EXPECT_TRUE(t.noted("did you mean edge-1"));
}

} // namespace

} // namespace consort::core::testing
