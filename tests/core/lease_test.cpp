// SPDX-License-Identifier: Apache-2.0
// Who is believed alive: leases, epochs, incarnations, fencing, draining.
#include "tests/support/core_fixture.hpp"

namespace consort::core::testing {

namespace {

/// A request whose attempt runs.
grant_ticket start_one(core_fixture& t) {
  t.submit();
  const auto granted = t.expect<grant_ticket>();
  t.start(granted);
  return granted;
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
  t.two_ready_nodes();
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
  EXPECT_EQ(t.expect<fence_node>().life.value, 11U) << "what it still runs is others' by now";
  t.feed(node_joined{node_id{"a"}, incarnation{12}, "", {}, {}});
  EXPECT_EQ(t.expect<grant_lease>().lease_epoch.value, 2U) << "another life is a new epoch";
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
  t.two_ready_nodes();
  t.submit();
  t.start(t.expect<grant_ticket>());
  t.feed(node_lost{node_id{"a"}, incarnation{11}, false, "link"});
  t.expect_empty();
  t.submit();
  EXPECT_EQ(t.expect<grant_ticket>().granted.node.value, "b");
  t.renew("a");
  EXPECT_TRUE(t.view().nodes.at(0).alive);
}

TEST(Lease, SilentAttemptOfASuspectNodeFailsOverBeforeItsLeaseEnds) {
  core_fixture t;
  t.two_ready_nodes();
  const auto first = start_one(t);
  t.progress(first, 5);
  t.feed(node_lost{node_id{"a"}, incarnation{11}, false, "silent"});
  t.pass_time(limits::suspect_silence_us - 1);
  t.expect_empty();
  t.pass_time(1);
  EXPECT_EQ(t.expect<revoke_attempt>().attempt, first.granted.attempt);
  EXPECT_EQ(t.expect<drop_attempt>().attempt, first.granted.attempt);
  EXPECT_EQ(t.expect<grant_ticket>().granted.node.value, "b");
  EXPECT_EQ(t.view().devices.at(0).breaker, "closed") << "no fault of the device";
}

TEST(Lease, SilenceBeforeTheHintCounts) {
  core_fixture t;
  t.two_ready_nodes();
  const auto first = start_one(t);
  t.progress(first, 5);
  t.pass_time(limits::suspect_silence_us);
  t.expect_empty();
  t.feed(node_lost{node_id{"a"}, incarnation{11}, false, "silent"});
  EXPECT_EQ(t.take_all<drop_attempt>().size(), 1U) << "at once";
  t.take_all<revoke_attempt>();
  EXPECT_EQ(t.expect<grant_ticket>().granted.node.value, "b");
}

TEST(Lease, StreamsOfASuspectNodeThatStillFlowGoOn) {
  core_fixture t;
  t.two_ready_nodes();
  const auto ticket = start_one(t);
  t.progress(ticket, 1);
  t.feed(node_lost{node_id{"a"}, incarnation{11}, false, "link"});
  EXPECT_TRUE(t.view().nodes.at(0).suspect);
  for (std::uint32_t i = 2; i < 8; ++i) {
    t.pass_time(limits::report_period_us);
    t.progress(ticket, i);
  }
  t.feed(node_joined{node_id{"a"}, incarnation{11}, "a:1", {}, {}});
  EXPECT_EQ(t.expect<grant_lease>().lease_epoch, ticket.granted.lease_epoch);
  EXPECT_FALSE(t.view().nodes.at(0).suspect);
  t.finish(ticket);
  EXPECT_EQ(t.expect<record_request>().attempts, 1U);
}

TEST(Lease, SuspectNodeKeepsSilentAttemptsThatNobodyCouldTakeOver) {
  core_fixture t;
  auto model = story_spec();
  model.replicas_min = 1;
  t.declare(model);
  t.join("a", 11);
  t.advertise(cpu_spec("a"));
  t.finish_load();
  const auto ticket = start_one(t);
  t.progress(ticket, 1);
  t.feed(node_lost{node_id{"a"}, incarnation{11}, false, "link"});
  t.pass_time(limits::suspect_silence_us * 2);
  t.expect_empty();
}

TEST(Lease, OrdersThatALinkMayHaveLostAreRepeated) {
  core_fixture t;
  t.join("a", 11);
  t.advertise(cpu_spec("a"));
  t.declare(story_spec());
  t.submit();
  t.grant_next_allocation();
  t.take_all<queue_notice>();
  const auto load = t.expect<load_replica>();
  t.feed(node_lost{node_id{"a"}, incarnation{11}, false, "link"});
  t.take_all<queue_notice>();
  t.feed(node_joined{node_id{"a"}, incarnation{11}, "a:1", {}, {}});
  t.expect<grant_lease>();
  const auto again = t.expect<load_replica>();
  EXPECT_EQ(again.instance, load.instance);
  t.loaded(again);
  t.take_all<queue_notice>();
  t.expect<grant_ticket>();
}

TEST(Lease, StandingStillExpiresNobody) {
  core_fixture t;
  t.two_ready_nodes();
  const auto ticket = start_one(t);
  t.progress(ticket, 1);
  t.sleep(10 * limits::lease_us);
  const auto extended = t.take_all<grant_lease>();
  ASSERT_EQ(extended.size(), 2U) << "both sides go by the same lease";
  EXPECT_GT(extended[0].until, t.now());
  EXPECT_TRUE(t.noted("the scheduler stood still"));
  t.pass_time(limits::starved_grace_us / 2);
  t.progress(ticket, 2);
  t.renew("a");
  t.renew("b");
  t.expect_empty();
}

TEST(Lease, LatenessWithinTheLimitExtendsNothing) {
  core_fixture t;
  t.join("a", 11);
  t.pass_time(limits::lease_us - limits::look_us);
  t.sleep(limits::look_us + limits::starved_us);
  EXPECT_EQ(t.expect<fence_node>().life.value, 11U);
}

TEST(Lease, EndedProcessFailsOverAtOnce) {
  core_fixture t;
  t.two_ready_nodes();
  t.submit();
  t.start(t.expect<grant_ticket>());
  t.feed(node_lost{node_id{"a"}, incarnation{11}, true, ""});
  t.expect<drop_attempt>();
  EXPECT_EQ(t.expect<grant_ticket>().granted.node.value, "b");
}

// --- a node that stops because it was told to ---

void say_leaving(core_fixture& t, const std::string& node, bool goodbye) {
  t.feed(node_lost{node_id{node}, t.life_of(node), goodbye, "stopped", false, true});
}

TEST(Lease, WhatRunsOnALeavingNodeEndsThereAndNothingNewStarts) {
  core_fixture t;
  t.two_ready_nodes();
  auto meta = t.request();
  meta.resumable = false;
  t.submit(meta);
  const auto first = t.expect<grant_ticket>();
  ASSERT_EQ(first.granted.node.value, "a");
  t.start(first);
  t.progress(first, 3);
  say_leaving(t, "a", false);
  t.expect_empty();
  t.renew("a");
  t.submit();
  EXPECT_EQ(t.expect<grant_ticket>().granted.node.value, "b");
  const auto seen = t.view();
  EXPECT_TRUE(seen.nodes.at(0).alive);
  EXPECT_TRUE(seen.nodes.at(0).draining);
  EXPECT_FALSE(seen.nodes.at(0).suspect);
  EXPECT_TRUE(seen.devices.at(0).draining);
  t.finish(first);
  EXPECT_EQ(t.expect<record_request>().attempts, 1U);
  say_leaving(t, "a", true);
  t.expect_empty();
  EXPECT_FALSE(t.view().nodes.at(0).alive);
  EXPECT_FALSE(t.view().devices.at(0).alive);
  EXPECT_EQ(t.noted_times("a: is about to leave, takes no new work"), 1U);
  EXPECT_EQ(t.noted_times("a: node left: stopped"), 1U);
  EXPECT_FALSE(t.noted("suspect"));
  EXPECT_FALSE(t.noted("failed"));
  t.feed(node_lost{node_id{"a"}, incarnation{11}, false, "its link closed"});
  EXPECT_FALSE(t.noted("suspect")) << "the link of one that said goodbye";
}

TEST(Lease, WhatStillRunsAtTheGoodbyeGoesOnElsewhereAtOnce) {
  core_fixture t;
  t.two_ready_nodes();
  const auto first = start_one(t);
  ASSERT_EQ(first.granted.node.value, "a");
  t.progress(first, 3);
  say_leaving(t, "a", false);
  say_leaving(t, "a", true);
  EXPECT_EQ(t.expect<drop_attempt>().attempt, first.granted.attempt);
  const auto next = t.expect<grant_ticket>();
  EXPECT_EQ(next.granted.node.value, "b");
  EXPECT_TRUE(next.resumed);
}

TEST(Lease, NobodyLeavesInTheNameOfAnotherLife) {
  core_fixture t;
  t.join("a", 12);
  t.feed(node_lost{node_id{"a"}, incarnation{11}, false, "stopped", false, true});
  EXPECT_FALSE(t.view().nodes.at(0).draining);
  t.feed(node_lost{node_id{"a"}, incarnation{11}, true, "stopped", false, true});
  EXPECT_TRUE(t.view().nodes.at(0).alive);
}

/// Unlike a drain, which an operator lifts.
TEST(Lease, ANodeThatLeftTakesWorkWhenItIsBack) {
  core_fixture t;
  t.join("a", 11);
  say_leaving(t, "a", false);
  EXPECT_TRUE(t.tested().holds(t.now()).empty()) << "nothing for the next scheduler";
  t.join("a", 11);
  EXPECT_FALSE(t.view().nodes.at(0).draining) << "it says so again if it still does";
  for (std::uint64_t life = 12; life < 17; ++life) {
    say_leaving(t, "a", false);
    say_leaving(t, "a", true);
    t.join("a", life);
    EXPECT_FALSE(t.view().nodes.at(0).draining);
  }
  EXPECT_FALSE(t.noted("times lately")) << "an order to stop is no flap";
}

// --- a node that is not let in again ---

void revoke_node(core_fixture& t, const std::string& node) {
  t.feed(node_lost{node_id{node}, t.life_of(node), true, "its certificate is revoked", true});
}

TEST(Lease, StreamsOfARevokedNodeGoOnElsewhereAtOnce) {
  core_fixture t;
  t.two_ready_nodes();
  const auto first = start_one(t);
  t.progress(first, 3);
  revoke_node(t, first.granted.node.value);
  EXPECT_EQ(t.take_all<drop_attempt>().size(), 1U);
  const auto next = t.take_all<grant_ticket>();
  ASSERT_EQ(next.size(), 1U);
  EXPECT_NE(next[0].granted.node, first.granted.node);
  EXPECT_TRUE(next[0].resumed);
  t.drop_all();
}

/// Nothing else may serve them, and what they wait for does not come.
TEST(Lease, WhatIsPinnedToARevokedNodeEndsAtOnce) {
  core_fixture t;
  t.two_ready_nodes();
  t.submit("a/cpu0");
  const auto streaming = t.expect<grant_ticket>();
  t.start(streaming);
  t.progress(streaming, 3);
  t.submit("a/cpu0");
  t.start(t.expect<grant_ticket>());
  revoke_node(t, "a");
  const auto ends = t.take_all<reject_request>();
  ASSERT_EQ(ends.size(), 2U);
  for (const auto& one : ends) {
    EXPECT_EQ(one.http_status, 502U);
    EXPECT_NE(one.reason.message.find("its certificate is revoked"), std::string::npos)
        << one.reason.message;
  }
  t.drop_all();
  t.submit("a/cpu0");
  EXPECT_EQ(t.expect<reject_request>().http_status, 422U);
  t.drop_all();
  t.join("a", 12);
  t.advertise(cpu_spec("a"));
  t.drop_all();
  t.submit("a/cpu0");
  EXPECT_TRUE(t.take_all<reject_request>().empty()) << "with another certificate it is as before";
  t.drop_all();
}

TEST(Lease, ARevocationThatComesAfterTheLossCountsToo) {
  core_fixture t;
  t.two_ready_nodes();
  t.submit("a/cpu0");
  t.start(t.expect<grant_ticket>());
  t.feed(node_lost{node_id{"a"}, t.life_of("a"), true, "crashed"});
  EXPECT_TRUE(t.take_all<reject_request>().empty()) << "it may come back";
  t.feed(node_lost{node_id{"a"}, incarnation{99}, true, "its certificate is revoked", true});
  EXPECT_TRUE(t.take_all<reject_request>().empty()) << "another life's";
  revoke_node(t, "a");
  EXPECT_EQ(t.take_all<reject_request>().size(), 1U);
  t.drop_all();
}

TEST(Lease, ANewProcessIsNotBlamedForTheOld) {
  core_fixture t;
  t.two_ready_nodes();
  const auto first = start_one(t);
  ASSERT_EQ(first.granted.node.value, "a");
  t.fail(first, recovery::retry_elsewhere, 5);
  const auto second = t.expect<grant_ticket>();
  t.start(second);
  for (std::uint32_t i = 1; i < limits::breaker_failures; ++i) {
    auto meta = t.request("a/cpu0");
    t.submit(meta);
    t.fail(t.expect<grant_ticket>());
    t.expect<reject_request>();
    t.expect<record_request>();
  }
  EXPECT_EQ(t.view().devices.at(0).breaker, "open");
  t.join("a", 12);
  t.advertise(cpu_spec("a"));
  EXPECT_EQ(t.view().devices.at(0).breaker, "closed");
  t.finish_load();
  t.fail(second, recovery::retry_elsewhere, 9);
  EXPECT_EQ(t.expect<grant_ticket>().granted.node.value, "a") << "excluded no more";
}

TEST(Lease, DrainedNodeFinishesItsWorkAndGetsNoMore) {
  core_fixture t;
  t.two_ready_nodes();
  const auto running = start_one(t);
  t.feed(drain_changed{"a", true, "kernel update"});
  t.submit();
  EXPECT_EQ(t.expect<grant_ticket>().granted.node.value, "b");
  t.finish(running);
  const auto leaves = t.expect<unload_replica>();
  t.expect<record_request>();
  t.feed(replica_unloaded{leaves.instance, t.life_of("a")});
  t.take_all<release_allocation>();
  t.feed(drain_changed{"a", false, ""});
  t.finish_load();
  t.submit();
  EXPECT_EQ(t.expect<grant_ticket>().granted.node.value, "a");
  EXPECT_TRUE(t.noted("a: draining: kernel update"));
}

TEST(Lease, WhatStillRunsAtTheDeadlineOfADrainIsMoved) {
  core_fixture t;
  t.two_ready_nodes();
  const auto running = start_one(t);
  ASSERT_EQ(running.granted.node.value, "a");
  t.progress(running, 7);
  t.feed(drain_changed{"a", true, "kernel update", 2 * second});
  for (std::uint32_t half = 1; half < 4; ++half) {
    t.pass_time_renewing(second / 2, {"a", "b"});
    t.progress(running, 7 + half);
  }
  t.expect_empty();
  t.pass_time(second / 2);
  EXPECT_EQ(t.take_all<unload_replica>().size(), 1U);
  EXPECT_EQ(t.expect<revoke_attempt>().attempt, running.granted.attempt);
  EXPECT_EQ(t.expect<drop_attempt>().attempt, running.granted.attempt);
  const auto moved = t.expect<grant_ticket>();
  EXPECT_EQ(moved.granted.node.value, "b");
  EXPECT_TRUE(moved.resumed);
  EXPECT_TRUE(t.noted("what still runs in 2s is moved: kernel update"));
  EXPECT_TRUE(
      t.noted("b/cpu0: request r1 goes on here after at least 10 tokens, attempt 2: a/cpu0 was "
              "drained"));
}

TEST(Lease, WhatCannotBeMovedEndsAtTheDeadline) {
  core_fixture t;
  t.two_ready_nodes();
  auto stuck = t.request();
  stuck.resumable = false;
  t.submit(stuck);
  const auto first = t.expect<grant_ticket>();
  t.start(first);
  t.progress(first, 3);
  t.feed(drain_changed{first.granted.node.value, true, "", 1});
  t.pass_time(1);
  EXPECT_EQ(t.take_all<unload_replica>().size(), 1U);
  t.expect<revoke_attempt>();
  EXPECT_EQ(t.expect<reject_request>().reason.code, "not_resumable");
  t.expect<record_request>();
  const auto second = start_one(t);
  t.feed(drain_changed{second.granted.node.value, true, "", 1});
  t.pass_time(1);
  EXPECT_EQ(t.take_all<unload_replica>().size(), 1U);
  t.expect<revoke_attempt>();
  t.take_all<drop_attempt>();
  t.take_all<queue_notice>();
  t.expect_empty();
}

TEST(Lease, UncordonedBeforeTheDeadlineKeepsItsWork) {
  core_fixture t;
  t.two_ready_nodes();
  const auto running = start_one(t);
  t.feed(drain_changed{running.granted.device.value, true, "", second});
  t.feed(drain_changed{running.granted.device.value, false, ""});
  t.pass_time_renewing(2 * second, {"a", "b"});
  t.expect_empty();
}

TEST(Lease, DrainOfADeviceMovesItsWorkAndWaitsAtMostADay) {
  core_fixture t;
  t.two_ready_nodes();
  const auto running = start_one(t);
  t.feed(drain_changed{running.granted.device.value, true, "", second});
  t.pass_time(second);
  EXPECT_EQ(t.take_all<unload_replica>().size(), 1U);
  EXPECT_EQ(t.expect<revoke_attempt>().attempt, running.granted.attempt);
  t.take_all<drop_attempt>();
  EXPECT_NE(t.expect<grant_ticket>().granted.device, running.granted.device);
  t.feed(drain_changed{"b", true, "", 100 * limits::drain_wait_max_us});
  EXPECT_TRUE(t.noted("b: draining, what still runs in 1d is moved"));
}

TEST(Lease, NodeThatIsHeardAgainIsSaidToBe) {
  core_fixture t;
  t.two_ready_nodes();
  t.feed(node_lost{node_id{"a"}, t.life_of("a"), false, "its link dropped"});
  t.renew("a");
  EXPECT_TRUE(t.noted("a: heard again, takes work"));
  t.feed(node_lost{node_id{"a"}, t.life_of("a"), false, "its link dropped"});
  t.join("a", t.life_of("a").value);
  EXPECT_TRUE(t.noted("a: linked again, takes work"));
}

TEST(Lease, DrainOfTheUnknownSaysWhatIsNear) {
  core_fixture t;
  t.join("edge-1");
  t.feed(drain_changed{"edge-2", true, ""});
  EXPECT_TRUE(t.noted("did you mean edge-1"));
}

TEST(Lease, TellsWhenAPluginOfTheNodeBeginsAndEndsToFail) {
  core_fixture t;
  const auto join = [&t](std::map<std::string, std::string> attributes) {
    t.feed(node_joined{node_id{"a"}, incarnation{11}, "a:1", {}, std::move(attributes)});
    t.take_all<grant_lease>();
  };
  t.set_life("a", 11);
  join({{"kernel", "6"}, {"plugin quark", "probe: two devices have the id Q"}});
  EXPECT_TRUE(t.noted("plugin quark: probe: two devices have the id Q"));
  t.advertise(cpu_spec("a"));
  t.declare(story_spec());
  t.submit("plugin=quark");
  const auto refused = t.expect<reject_request>();
  EXPECT_NE(refused.reason.message.find("; plugin quark on a fails; `consort plugins` says why"),
            std::string::npos)
      << refused.reason.message;
  EXPECT_EQ(refused.reason.message.find("two devices"), std::string::npos) << "for operators only";
  join({{"kernel", "6"}});
  EXPECT_TRUE(t.noted("plugin quark: what was said of it holds no longer"));
  t.drop_all();
}

} // namespace

} // namespace consort::core::testing
