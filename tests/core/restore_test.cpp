// SPDX-License-Identifier: Apache-2.0
// Links that drop and come back, and a scheduler that takes over from another: what runs goes on,
// what waits waits, and no reservation is lost or kept.
#include "scheduler/ended_requests.hpp"
#include "tests/support/core_fixture.hpp"

namespace consort::core::testing {

namespace {

constexpr gateway_id the_gateway{7};

/// A CPU with a ready replica. Returns: the order that loaded it.
load_replica one_device(core_fixture& t, const std::string& node = "a", std::uint64_t life = 11) {
  t.join(node, life);
  t.advertise(cpu_spec(node));
  auto model = story_spec();
  model.replicas_min = 1;
  t.declare(model);
  return t.finish_load();
}

request_restored restored(const request_meta& meta, const grant_ticket& granted,
                          std::uint32_t emitted = 0) {
  return {meta, granted.granted.attempt.number, emitted, granted.granted};
}

replica_found found(const load_replica& load, std::uint64_t life = 11,
                    const std::string& node = {}) {
  capacity_vector capacity;
  capacity.sequences.value = 4;
  capacity.kv_tokens.value = 100'000;
  runtime_capabilities runtime;
  runtime.resume = resume_support::tokens;
  return {load.instance,
          node_id{node},
          incarnation{life},
          load.grant,
          load.model,
          load.variant.content,
          {},
          {capacity},
          runtime,
          load.variant.adapters};
}

core_config successor() {
  auto config = core_fixture::quiet();
  config.numbers_from = 1'000'000;
  return config;
}

TEST(Restore, RunningStreamSurvivesItsGatewaysLink) {
  core_fixture t;
  one_device(t);
  const auto meta = t.request();
  t.submit(meta);
  const auto ticket = t.expect<grant_ticket>();
  t.start(ticket);
  t.progress(ticket, 3);
  t.feed(gateway_lost{the_gateway});
  t.pass_time_renewing(limits::gateway_grace_us - second, {"a"});
  t.expect_empty();
  EXPECT_EQ(t.view().replicas.at(0).running, 1U) << "its capacity stays counted";
  t.feed(restored(meta, ticket, 400));
  t.feed(gateway_restored{the_gateway});
  t.pass_time(limits::report_period_us);
  t.progress(ticket, 450);
  t.finish(ticket);
  EXPECT_EQ(t.expect<record_request>().attempts, 1U);
  EXPECT_EQ(t.view().replicas.at(0).kv_tokens_reserved, 0U);
}

TEST(Restore, NothingIsGrantedToAGatewayThatCannotBeReached) {
  core_fixture t;
  t.join("a", 11);
  t.declare(story_spec());
  const auto meta = t.request();
  t.submit(meta);
  t.take_all<queue_notice>();
  t.feed(gateway_lost{the_gateway});
  auto kept = story_spec();
  kept.replicas_min = 1;
  t.declare(kept);
  t.advertise(cpu_spec("a"));
  t.finish_load();
  t.expect_empty();
  t.feed(request_restored{meta, 0, 0, {}});
  t.feed(gateway_restored{the_gateway});
  t.take_all<queue_notice>();
  EXPECT_EQ(t.expect<grant_ticket>().granted.attempt.number, 1U);
}

/// Its wait went on meanwhile; it has a try all the same, or is told that it waited in vain.
TEST(Restore, WhoseWaitIsOverWhenItsGatewayReturnsIsTriedOnce) {
  for (const bool loaded : {true, false}) {
    auto config = core_fixture::quiet();
    config.queue_timeout_us = 3 * second;
    core_fixture t(config);
    t.join("a", 11);
    auto model = story_spec();
    model.replicas_min = 1;
    t.declare(model);
    const auto meta = t.request();
    t.submit(meta);
    t.take_all<queue_notice>();
    t.feed(gateway_lost{the_gateway});
    if (loaded) {
      t.advertise(cpu_spec("a"));
      t.finish_load();
    }
    t.pass_time_renewing(limits::gateway_grace_us - second, {"a"});
    t.feed(request_restored{meta, 0, 0, {}});
    t.feed(gateway_restored{the_gateway});
    t.take_all<queue_notice>();
    EXPECT_EQ(t.take_all<grant_ticket>().size(), loaded ? 1U : 0U);
    t.pass_time_renewing(second, {"a"});
    EXPECT_EQ(t.take_all<reject_request>().size(), loaded ? 0U : 1U);
    t.drop_all();
  }
}

TEST(Restore, TicketThatTheLinkLostIsFollowedByAnother) {
  core_fixture t;
  one_device(t);
  const auto meta = t.request();
  t.submit(meta);
  const auto lost = t.expect<grant_ticket>();
  t.feed(gateway_lost{the_gateway});
  t.feed(request_restored{meta, 0, 0, {}});
  EXPECT_EQ(t.expect<revoke_attempt>().attempt, lost.granted.attempt);
  t.feed(gateway_restored{the_gateway});
  EXPECT_EQ(t.expect<grant_ticket>().granted.attempt.number, 2U);
}

TEST(Restore, DropThatTheLinkLostIsSaidAgain) {
  core_fixture t;
  one_device(t);
  const auto meta = t.request();
  t.submit(meta);
  const auto ticket = t.expect<grant_ticket>();
  t.start(ticket);
  t.feed(node_lost{node_id{"a"}, incarnation{11}, true, "killed"});
  t.drop_all();
  t.feed(gateway_lost{the_gateway});
  t.feed(restored(meta, ticket, 4));
  EXPECT_EQ(t.expect<drop_attempt>().attempt, ticket.granted.attempt);
  t.feed(gateway_restored{the_gateway});
  t.take_all<queue_notice>();
}

TEST(Restore, WhatItsGatewayForgotIsOver) {
  core_fixture t;
  one_device(t);
  t.submit();
  t.start(t.expect<grant_ticket>());
  t.feed(gateway_lost{the_gateway});
  t.feed(gateway_restored{the_gateway});
  EXPECT_EQ(t.take_all<revoke_attempt>().size(), 1U);
  EXPECT_EQ(t.expect<record_request>().code, "gateway_forgot");
  EXPECT_EQ(t.view().replicas.at(0).running, 0U);
}

TEST(Restore, NewSchedulerTakesOverReplicasAndTheirStreams) {
  core_fixture before;
  const auto load = one_device(before);
  const auto meta = before.request();
  before.submit(meta);
  const auto ticket = before.expect<grant_ticket>();

  core_fixture t(successor());
  auto model = story_spec();
  model.replicas_min = 1;
  t.declare(model);
  t.feed(restored(meta, ticket, 5));
  t.feed(gateway_restored{the_gateway});
  t.expect_empty();
  t.join("a", 11);
  t.advertise(cpu_spec("a"));
  t.expect_empty(); // Nothing is loaded that a node may be about to tell of.
  t.feed(found(load));
  auto view = t.view();
  ASSERT_EQ(view.replicas.size(), 1U);
  EXPECT_EQ(view.replicas[0].instance, load.instance);
  EXPECT_EQ(view.replicas[0].running, 1U);
  EXPECT_GT(view.replicas[0].kv_tokens_reserved, 0U);
  t.progress(ticket, 20);
  t.finish(ticket);
  EXPECT_EQ(t.expect<record_request>().attempts, 1U);
  EXPECT_EQ(t.view().replicas.at(0).kv_tokens_reserved, 0U);
}

TEST(Restore, WhatIsFoundMakesALoadUnderWayNeedless) {
  core_fixture before;
  const auto load = one_device(before);
  core_fixture t(successor());
  auto model = story_spec();
  model.replicas_min = 1;
  t.declare(model);
  t.join("a", 11);
  t.advertise(cpu_spec("a"));
  const auto asked = t.expect<reserve_allocation>();
  t.feed(found(load));
  EXPECT_EQ(t.expect<release_allocation>().allocation, asked.grant.id);
  EXPECT_EQ(t.view().replicas.at(0).instance, load.instance);
}

TEST(Restore, NothingIsLoadedForALeasePeriodWhileNodesReturn) {
  core_fixture t(successor());
  auto model = story_spec();
  model.replicas_min = 1;
  t.declare(model);
  t.feed(node_joined{node_id{"a"}, incarnation{11}, "a:1", {}, {}, true});
  t.expect<grant_lease>();
  t.set_life("a", 11);
  t.advertise(cpu_spec("a"));
  t.pass_time_renewing(limits::lease_us - 1, {"a"});
  t.expect_empty();
  t.pass_time(1);
  t.expect<reserve_allocation>();
}

TEST(Restore, NothingIsImpossibleWhileNodesReturn) {
  core_fixture t(successor());
  t.declare(story_spec());
  t.feed(node_joined{node_id{"a"}, incarnation{11}, "a:1", {}, {}, true});
  t.expect<grant_lease>();
  t.set_life("a", 11);
  t.advertise(cpu_spec("a"));
  t.submit("b/cpu0");
  t.submit("c/cpu0");
  t.take_all<queue_notice>();
  t.expect_empty();
  t.feed(node_joined{node_id{"b"}, incarnation{22}, "b:1", {}, {}, true});
  t.take_all<grant_lease>();
  t.set_life("b", 22);
  t.advertise(cpu_spec("b"));
  t.pass_time_renewing(limits::lease_us, {"a", "b"});
  t.take_all<queue_notice>();
  EXPECT_EQ(t.finish_load().node.value, "b");
  const auto ticket = t.expect<grant_ticket>();
  EXPECT_EQ(ticket.granted.node.value, "b");
  t.finish(ticket);
  t.expect<record_request>();
  t.pass_time_renewing(limits::return_grace_us - limits::lease_us, {"a", "b"});
  EXPECT_EQ(t.expect<reject_request>().reason.code, "no_such_device") << "c never came";
  t.expect<record_request>();
}

TEST(Restore, TakenOverStreamThatFailsIsResumedAsTheNextAttempt) {
  core_fixture before;
  const auto load = one_device(before);
  const auto meta = before.request();
  before.submit(meta);
  const auto ticket = before.expect<grant_ticket>();

  core_fixture t(successor());
  auto model = story_spec();
  model.replicas_min = 2;
  t.declare(model);
  t.join("a", 11);
  t.advertise(cpu_spec("a"));
  t.expect<reserve_allocation>();
  t.feed(found(load));
  t.take_all<release_allocation>();
  t.join("b", 22);
  t.advertise(cpu_spec("b"));
  t.finish_load();
  t.feed(restored(meta, ticket, 5));
  t.feed(gateway_restored{the_gateway});
  t.fail(ticket, recovery::retry_elsewhere, 9);
  const auto next = t.expect<grant_ticket>();
  EXPECT_EQ(next.granted.attempt.number, 2U);
  EXPECT_TRUE(next.resumed);
  EXPECT_EQ(next.granted.node.value, "b");
  EXPECT_GE(next.granted.instance.value, 1'000'000U) << "numbers of two lives never meet";
}

TEST(Restore, StreamWhoseNodeDoesNotReturnGetsAnotherAttempt) {
  core_fixture t(successor());
  auto model = story_spec();
  model.replicas_min = 1;
  t.declare(model);
  const auto meta = t.request();
  grant_ticket old;
  old.granted.attempt = {meta.id, 1};
  old.granted.instance = instance_id{3};
  t.feed(restored(meta, old, 5));
  t.feed(gateway_restored{the_gateway});
  t.join("b", 22);
  t.advertise(cpu_spec("b"));
  t.pass_time_renewing(limits::lease_us, {"b"});
  t.finish_load();
  t.pass_time_renewing(limits::adopt_grace_us - limits::lease_us - 1, {"b"});
  t.expect_empty();
  t.pass_time(1);
  EXPECT_EQ(t.expect<drop_attempt>().attempt, old.granted.attempt);
  const auto next = t.expect<grant_ticket>();
  EXPECT_EQ(next.granted.attempt.number, 2U);
  EXPECT_TRUE(next.resumed);
}

TEST(Restore, StreamThatEndsBeforeItsNodeReturnsIsRecorded) {
  core_fixture t(successor());
  t.declare(story_spec());
  const auto meta = t.request();
  grant_ticket old;
  old.granted.attempt = {meta.id, 2};
  old.granted.instance = instance_id{3};
  t.feed(restored(meta, old, 5));
  t.finish(old);
  const auto record = t.expect<record_request>();
  EXPECT_EQ(record.outcome, request_outcome::finished);
  EXPECT_EQ(record.attempts, 2U);
}

TEST(Restore, ReplicaOfAModelThatNobodyKnowsIsDismissed) {
  core_fixture before;
  const auto load = one_device(before);
  core_fixture t(successor());
  t.join("a", 11);
  t.advertise(cpu_spec("a"));
  t.feed(found(load));
  EXPECT_EQ(t.expect<unload_replica>().instance, load.instance);
  EXPECT_EQ(t.expect<release_allocation>().allocation, load.grant.id);
}

/// Found by a drawn scenario: the queue was full, and the gateway's link broke before it heard so.
TEST(Restore, ARefusalLostWithTheLinkIsSaidAgainAndRecordedOnce) {
  core_fixture t;
  one_device(t);
  auto meta = t.request();
  meta.model = model_name("nobody");
  t.submit(meta);
  const auto said = t.expect<reject_request>();
  t.expect<record_request>();
  t.feed(gateway_lost{the_gateway});
  t.feed(request_restored{meta, 0, 0, {}});
  const auto again = t.expect<reject_request>();
  EXPECT_EQ(again.request, said.request);
  EXPECT_EQ(again.http_status, said.http_status);
  t.feed(gateway_restored{the_gateway});
  t.expect_empty();
  EXPECT_EQ(t.view().counters.submitted, 1U);
}

/// Found by a drawn scenario: the news of a request came twice, after it had ended.
TEST(Restore, ASubmissionToldTwiceIsOneRequest) {
  core_fixture t;
  one_device(t);
  const auto meta = t.request();
  t.submit(meta);
  const auto ticket = t.expect<grant_ticket>();
  t.start(ticket);
  t.finish(ticket);
  t.expect<record_request>();
  t.submit(meta);
  t.expect_empty();
  EXPECT_EQ(t.view().counters.submitted, 1U);
}

TEST(Restore, RemembersOnlyTheLatestEnds) {
  ended_requests kept;
  for (std::uint64_t number = 1; number <= ended_requests::kept_max + 1; ++number)
    kept.remember({the_gateway, number});
  EXPECT_EQ(kept.find({the_gateway, 1}), nullptr);
  EXPECT_NE(kept.find({the_gateway, 2}), nullptr);
  EXPECT_NE(kept.find({the_gateway, ended_requests::kept_max + 1}), nullptr);
}

} // namespace

} // namespace consort::core::testing
