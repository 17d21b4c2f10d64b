// SPDX-License-Identifier: Apache-2.0
// A second attempt beside one whose first token is late: when it comes, which of both goes on, and
// that nothing is left over whatever happens to either.
#include "tests/support/core_fixture.hpp"

namespace consort::core::testing {

namespace {

constexpr gateway_id the_gateway{7};

request_meta hedging(core_fixture& t, const std::string& selector = "auto") {
  auto meta = t.request(selector);
  meta.hedge = true;
  return meta;
}

/// Whole seconds, with nodes `a` and `b` alive.
void wait(core_fixture& t, duration_us span) {
  t.pass_time_renewing(span, {"a", "b"});
}

struct race {
  request_meta meta;
  grant_ticket first, hedge;
};

/// A request whose first attempt was opened and then said nothing, on one of two nodes with a CPU
/// each; its hedge is opened too.
race begin_race(core_fixture& t, std::optional<duration_us> deadline = {}) {
  race made;
  made.meta = hedging(t);
  made.meta.deadline_us = deadline;
  t.submit(made.meta);
  made.first = t.expect<grant_ticket>();
  t.start(made.first);
  wait(t, second);
  made.hedge = t.expect<grant_ticket>();
  t.start(made.hedge);
  t.expect_empty();
  return made;
}

/// The same, and the first attempt was given up for its silence.
race begin_lost_race(core_fixture& t) {
  auto made = begin_race(t);
  wait(t, limits::first_token_unknown_us - second);
  t.drop_all();
  return made;
}

std::uint32_t running_on(const core_fixture& t, const device_id& device) {
  for (const auto& one : t.view().devices)
    if (one.spec.id == device)
      return one.running;
  return 99;
}

void expect_nothing_held(core_fixture& t) {
  t.expect_empty();
  for (const auto& one : t.view().devices)
    EXPECT_EQ(one.running, 0U) << one.spec.id.value;
}

TEST(Hedge, LateFirstTokenGetsASecondAttemptOnAnotherNode) {
  core_fixture t;
  t.two_ready_nodes();
  t.submit(hedging(t));
  const auto first = t.expect<grant_ticket>();
  EXPECT_FALSE(first.hedge);
  t.start(first);
  // 100 prompt tokens at 2,000 a second are 50 ms; twice that is what is waited.
  t.pass_time(limits::hedge_wait_factor * 50'000 - 1);
  t.expect_empty();
  t.pass_time(60'000); // Until the prediction with a step is passed twice too.
  const auto hedge = t.expect<grant_ticket>();
  EXPECT_TRUE(hedge.hedge);
  EXPECT_FALSE(hedge.resumed);
  EXPECT_EQ(hedge.granted.attempt, (attempt_id{first.granted.attempt.request, 2}));
  EXPECT_NE(hedge.granted.node, first.granted.node);
  EXPECT_EQ(running_on(t, first.granted.device), 1U);
  EXPECT_EQ(running_on(t, hedge.granted.device), 1U);
  EXPECT_EQ(t.view().requests.size(), 1U);
  EXPECT_TRUE(t.noted("runs here too, attempt 2"));
}

TEST(Hedge, AWaitThatIsSoonOverIsNotHedged) {
  core_fixture t;
  t.two_ready_nodes();
  auto meta = hedging(t);
  meta.prompt_tokens = 1;
  t.submit(meta);
  t.expect<grant_ticket>();
  t.pass_time(limits::hedge_wait_min_us - 1);
  t.expect_empty();
  t.pass_time(1);
  EXPECT_TRUE(t.expect<grant_ticket>().hedge);
}

TEST(Hedge, WhoDidNotAskForItGetsNone) {
  core_fixture t;
  t.two_ready_nodes();
  t.submit();
  t.start(t.expect<grant_ticket>());
  wait(t, 2 * second);
  t.expect_empty();
  EXPECT_EQ(t.view().counters.hedges, 0U);
}

TEST(Hedge, FirstTokenEndsTheWaitForOne) {
  core_fixture t;
  t.two_ready_nodes();
  t.submit(hedging(t));
  const auto first = t.expect<grant_ticket>();
  t.progress(first, 1);
  t.pass_time(second / 2);
  t.expect_empty();
}

TEST(Hedge, WhoseTokenComesFirstGoesOnAndTheOtherIsStopped) {
  core_fixture t;
  t.two_ready_nodes();
  const auto seen = begin_race(t);
  t.progress(seen.hedge, 1);
  const auto stopped = t.expect<revoke_attempt>();
  EXPECT_EQ(stopped.attempt, seen.first.granted.attempt);
  EXPECT_EQ(stopped.node, seen.first.granted.node);
  EXPECT_EQ(running_on(t, seen.first.granted.device), 0U);
  t.progress(seen.first, 3); // Of no interest any more.
  t.finish(seen.hedge);
  const auto record = t.expect<record_request>();
  EXPECT_EQ(record.outcome, request_outcome::finished);
  EXPECT_EQ(record.attempts, 2U);
  EXPECT_EQ(record.device, seen.hedge.granted.device);
  EXPECT_EQ(t.view().counters.hedges_won, 1U);
  EXPECT_EQ(t.view().counters.retries, 0U);
  expect_nothing_held(t);
}

TEST(Hedge, ADeviceThatIsOutrunByFarAgainAndAgainIsBlamed) {
  core_fixture t;
  t.two_ready_nodes();
  device_id limping;
  for (std::uint32_t at = 0; at < limits::breaker_failures; ++at) {
    const auto seen = begin_race(t);
    if (at == 0)
      limping = seen.first.granted.device;
    const bool began_there = seen.first.granted.device == limping;
    const auto& winner = began_there ? seen.hedge : seen.first;
    t.progress(winner, 1);
    t.expect<revoke_attempt>();
    t.finish(winner);
    t.expect<record_request>();
  }
  EXPECT_TRUE(t.noted(limping.value + ": circuit breaker opened"));
  expect_nothing_held(t);
}

TEST(Hedge, LosesToTheFirstAttemptWhichMayStillFail) {
  core_fixture t;
  t.two_ready_nodes();
  const auto seen = begin_race(t);
  t.progress(seen.first, 1);
  EXPECT_EQ(t.expect<revoke_attempt>().attempt, seen.hedge.granted.attempt);
  t.fail(seen.first, recovery::retry_elsewhere, 1);
  const auto next = t.expect<grant_ticket>();
  EXPECT_EQ(next.granted.attempt.number, 3U) << "numbers are never used again";
  EXPECT_TRUE(next.resumed);
  EXPECT_FALSE(next.hedge);
  t.finish(next);
  EXPECT_EQ(t.expect<record_request>().attempts, 3U);
  EXPECT_EQ(t.view().counters.hedges_won, 0U);
  expect_nothing_held(t);
}

TEST(Hedge, AWholeAnswerAtOnceWinsToo) {
  core_fixture t;
  t.two_ready_nodes();
  const auto seen = begin_race(t);
  t.finish(seen.hedge);
  EXPECT_EQ(t.expect<revoke_attempt>().attempt, seen.first.granted.attempt);
  EXPECT_EQ(t.expect<record_request>().device, seen.hedge.granted.device);
  expect_nothing_held(t);
}

TEST(Hedge, TakesThePlaceOfAnAttemptThatFailsWithoutARetry) {
  core_fixture t;
  t.two_ready_nodes();
  const auto seen = begin_race(t);
  t.fail(seen.first);
  t.expect_empty();
  EXPECT_EQ(running_on(t, seen.first.granted.device), 0U);
  EXPECT_EQ(t.view().counters.retries, 0U);
  t.fail(seen.hedge);
  EXPECT_EQ(t.expect<reject_request>().reason.code, "device_failed") << "both have failed it";
  EXPECT_EQ(t.expect<record_request>().attempts, 2U);
  expect_nothing_held(t);
}

TEST(Hedge, TakesThePlaceOfAnAttemptThatFallsSilent) {
  core_fixture t;
  t.two_ready_nodes();
  const auto seen = begin_race(t);
  wait(t, limits::first_token_unknown_us - second);
  EXPECT_EQ(t.expect<revoke_attempt>().attempt, seen.first.granted.attempt);
  EXPECT_EQ(t.expect<drop_attempt>().attempt, seen.first.granted.attempt);
  t.progress(seen.hedge, 1);
  t.finish(seen.hedge);
  EXPECT_EQ(t.expect<record_request>().outcome, request_outcome::finished);
  expect_nothing_held(t);
}

TEST(Hedge, ThatFailsIsDroppedQuietlyAndItsDeviceIsBlamed) {
  core_fixture t;
  t.two_ready_nodes();
  std::string blamed;
  for (std::uint32_t at = 0; at < limits::breaker_failures; ++at) {
    const auto seen = begin_race(t);
    blamed = seen.hedge.granted.device.value;
    t.fail(seen.hedge);
    wait(t, second);
    t.expect_empty(); // No other follows.
    t.progress(seen.first, 1);
    t.finish(seen.first);
    EXPECT_EQ(t.expect<record_request>().device, seen.first.granted.device);
  }
  EXPECT_TRUE(t.noted(blamed + ": circuit breaker opened"));
  expect_nothing_held(t);
}

TEST(Hedge, RefusalByEitherEndsTheRequest) {
  for (const bool by_hedge : {false, true}) {
    core_fixture t;
    t.two_ready_nodes();
    const auto seen = begin_race(t);
    t.fail(by_hedge ? seen.hedge : seen.first, recovery::refuse);
    EXPECT_EQ(t.expect<revoke_attempt>().attempt,
              (by_hedge ? seen.first : seen.hedge).granted.attempt);
    EXPECT_EQ(t.expect<reject_request>().http_status, 400);
    t.expect<record_request>();
    expect_nothing_held(t);
  }
}

TEST(Hedge, EndsWithItsRequest) {
  core_fixture t;
  t.two_ready_nodes();
  const auto left = begin_race(t);
  t.feed(request_cancelled{left.meta.id, "the client left"});
  EXPECT_EQ(t.expect<revoke_attempt>().attempt, left.hedge.granted.attempt);
  EXPECT_EQ(t.expect<revoke_attempt>().attempt, left.first.granted.attempt);
  EXPECT_EQ(t.expect<record_request>().outcome, request_outcome::cancelled);
  expect_nothing_held(t);

  const auto late = begin_race(t, 3 * second);
  wait(t, 2 * second);
  EXPECT_EQ(t.expect<reject_request>().http_status, 408);
  EXPECT_EQ(t.take_all<revoke_attempt>().size(), 2U);
  t.expect<record_request>();
  expect_nothing_held(t);
}

TEST(Hedge, ATightDeadlineIsHedgedAtHalfOfIt) {
  core_fixture t;
  t.two_ready_nodes();
  auto meta = hedging(t);
  meta.prompt_tokens = 400; // 200 ms of reading: 400 ms would be waited.
  meta.deadline_us = second / 2;
  t.submit(meta);
  t.expect<grant_ticket>();
  t.pass_time(second / 4);
  EXPECT_TRUE(t.expect<grant_ticket>().hedge);
}

TEST(Hedge, ADeadlineThatItCannotMeetGetsNone) {
  core_fixture t;
  t.two_ready_nodes();
  auto meta = hedging(t);
  meta.prompt_tokens = 400;
  meta.deadline_us = 390'000;
  t.submit(meta);
  t.expect<grant_ticket>();
  t.pass_time(380'000);
  t.expect_empty();
}

TEST(Hedge, OutlivesTheNodeOfTheOther) {
  for (const bool of_hedge : {false, true}) {
    core_fixture t;
    t.two_ready_nodes();
    const auto seen = begin_race(t);
    const auto& lost = of_hedge ? seen.hedge : seen.first;
    const auto& stays = of_hedge ? seen.first : seen.hedge;
    t.feed(node_lost{lost.granted.node, t.life_of(lost.granted.node.value), true, "it crashed"});
    EXPECT_EQ(t.expect<drop_attempt>().attempt, lost.granted.attempt);
    t.expect_empty();
    t.progress(stays, 1);
    t.finish(stays);
    EXPECT_EQ(t.expect<record_request>().device, stays.granted.device);
    t.expect_empty();
  }
}

TEST(Hedge, OutlivesTheInstanceOfTheOther) {
  for (const bool of_hedge : {false, true}) {
    core_fixture t;
    t.two_ready_nodes();
    const auto seen = begin_race(t);
    const auto& lost = of_hedge ? seen.hedge : seen.first;
    const auto& stays = of_hedge ? seen.first : seen.hedge;
    t.feed(replica_failed{lost.granted.instance,
                          t.life_of(lost.granted.node.value),
                          {recovery::retry_elsewhere, "host_crashed", "its host died"}});
    EXPECT_EQ(t.take_all<drop_attempt>().at(0).attempt, lost.granted.attempt);
    t.drop_all(); // What is loaded in its place.
    t.finish(stays);
    EXPECT_EQ(t.take_all<record_request>().at(0).device, stays.granted.device);
    t.drop_all();
  }
}

TEST(Hedge, GoesOnWhenTheOtherIsDrainedAway) {
  core_fixture t;
  t.two_ready_nodes();
  const auto seen = begin_race(t);
  t.feed(drain_changed{seen.first.granted.device.value, true, "", second});
  wait(t, second);
  EXPECT_EQ(t.take_all<drop_attempt>().at(0).attempt, seen.first.granted.attempt);
  EXPECT_EQ(t.take_all<revoke_attempt>().at(0).attempt, seen.first.granted.attempt);
  t.finish(seen.hedge);
  EXPECT_EQ(t.take_all<record_request>().size(), 1U);
  t.drop_all();
}

TEST(Hedge, HoldsAnUnloadUntilItEnds) {
  core_fixture t;
  t.two_ready_nodes();
  const auto seen = begin_race(t);
  t.feed(model_removed{model_name{"storyteller"}});
  t.expect_empty();
  t.progress(seen.first, 1);
  t.expect<revoke_attempt>();
  EXPECT_EQ(t.expect<unload_replica>().instance, seen.hedge.granted.instance);
  t.finish(seen.first);
  EXPECT_EQ(t.take_all<unload_replica>().at(0).instance, seen.first.granted.instance);
  t.expect<record_request>();
  t.expect_empty();
}

TEST(Hedge, BudgetBoundsThemAndIsEarnedByRequests) {
  core_fixture t;
  t.two_ready_nodes();
  const auto whole = limits::hedge_credit_max_pm / limits::hedge_cost_pm;
  for (std::uint32_t at = 0; at < whole; ++at) {
    t.submit(hedging(t));
    const auto first = t.expect<grant_ticket>();
    t.pass_time(second / 5);
    EXPECT_TRUE(t.expect<grant_ticket>().hedge);
    t.finish(first); // Before the hedge is late itself.
    t.take_all<revoke_attempt>();
    t.expect<record_request>();
    wait(t, second);
  }
  // What these requests earned pays for less than another.
  static_assert(limits::hedge_credit_max_pm / limits::hedge_cost_pm * limits::hedge_credit_pm
                < limits::hedge_cost_pm);
  const auto late = hedging(t);
  t.submit(late);
  const auto first = t.expect<grant_ticket>();
  wait(t, second);
  t.expect_empty();
  for (std::uint32_t at = whole; at < limits::hedge_cost_pm / limits::hedge_credit_pm; ++at) {
    t.submit();
    t.finish(t.expect<grant_ticket>());
    t.expect<record_request>();
  }
  wait(t, second);
  EXPECT_TRUE(t.expect<grant_ticket>().hedge) << "looked at again once it has waited twice as long";
  t.finish(first);
  t.take_all<revoke_attempt>();
  t.expect<record_request>();
}

TEST(Hedge, TakesNoRoomFromThoseWhoWait) {
  core_fixture t;
  auto model = story_spec();
  model.replicas_min = 2;
  t.declare(model);
  for (const char* node : {"a", "b"}) {
    t.join(node, node[0] == 'a' ? 11 : 22);
    t.advertise(cpu_spec(node));
    t.finish_load(1);
  }
  t.submit(hedging(t));
  const auto late = t.expect<grant_ticket>();
  const auto other = late.granted.node == node_id{"a"} ? "b" : "a";
  t.submit(std::string(other) + "/*");
  const auto busy = t.expect<grant_ticket>();
  wait(t, second);
  EXPECT_TRUE(t.take_all<grant_ticket>().empty()) << "the only other place is taken";
  t.finish(busy);
  t.expect<record_request>();
  wait(t, second);
  EXPECT_TRUE(t.expect<grant_ticket>().hedge);
}

TEST(Hedge, SpendsNoMoney) {
  for (const std::uint64_t away_speed : {100, 100'000}) {
    core_fixture t;
    t.join("a", 11);
    auto model = story_spec();
    model.replicas_min = 2;
    t.declare(model);
    t.advertise(cpu_spec("a"));
    t.finish_load();
    auto away = cpu_spec("a", 1);
    away.id = device_id{"a/remote0"};
    away.type = resource_type::remote;
    away.spec.prefill_tokens_per_s = away_speed;
    t.advertise(away);
    t.finish_load();
    t.submit(hedging(t));
    const bool paid = t.expect<grant_ticket>().granted.device == away.id;
    EXPECT_EQ(paid, away_speed == 100'000);
    t.pass_time(second);
    EXPECT_EQ(t.take_all<grant_ticket>().size(), paid ? 1U : 0U) << "from there, never to there";
  }
}

TEST(Hedge, NoneBeyondTheLastAttempt) {
  core_fixture t;
  t.two_ready_nodes();
  auto meta = hedging(t);
  t.feed(request_restored{meta, limits::attempts_total_max - 1, 0, {}});
  t.feed(gateway_restored{the_gateway});
  t.take_all<queue_notice>();
  const auto last = t.expect<grant_ticket>();
  EXPECT_EQ(last.granted.attempt.number, limits::attempts_total_max);
  wait(t, second);
  t.expect_empty();
}

TEST(Hedge, ExplanationSaysWhy) {
  core_fixture t;
  t.two_ready_nodes();
  const auto seen = begin_race(t);
  const auto told = t.tested().explain(seen.meta.external_id, t.now());
  ASSERT_TRUE(told);
  ASSERT_EQ(told->decisions.size(), 2U);
  EXPECT_EQ(told->decisions[1].attempt, 2U);
  EXPECT_EQ(told->decisions[1].winner, seen.hedge.granted.device);
  EXPECT_NE(
      told->decisions[1].reason.find("hedge: no token from " + seen.first.granted.device.value),
      std::string::npos)
      << told->decisions[1].reason;
  EXPECT_EQ(told->request.attempts, 2U);
}

// --- links that drop, and news that cross ---

TEST(Hedge, OfTwoTheOneThatAReturningGatewayNamesGoesOn) {
  for (const bool hedge_runs : {false, true}) {
    core_fixture t;
    t.two_ready_nodes();
    const auto seen = begin_race(t);
    const auto& kept = hedge_runs ? seen.hedge : seen.first;
    const auto& other = hedge_runs ? seen.first : seen.hedge;
    t.feed(gateway_lost{the_gateway});
    t.feed(request_restored{seen.meta, 2, 0, kept.granted});
    EXPECT_EQ(t.expect<revoke_attempt>().attempt, other.granted.attempt);
    EXPECT_EQ(t.expect<drop_attempt>().attempt, other.granted.attempt);
    t.feed(gateway_restored{the_gateway});
    t.expect_empty();
    t.finish(kept);
    EXPECT_EQ(t.expect<record_request>().attempts, 2U);
    expect_nothing_held(t);
  }
}

TEST(Hedge, BothEndWhenAReturningGatewayHasNeither) {
  core_fixture t;
  t.two_ready_nodes();
  const auto seen = begin_race(t);
  t.feed(gateway_lost{the_gateway});
  t.feed(request_restored{seen.meta, 2, 0, {}});
  EXPECT_EQ(t.take_all<revoke_attempt>().size(), 2U);
  EXPECT_EQ(t.expect<drop_attempt>().attempt, seen.hedge.granted.attempt);
  t.feed(gateway_restored{the_gateway});
  t.take_all<queue_notice>();
  EXPECT_EQ(t.expect<grant_ticket>().granted.attempt.number, 3U);
}

TEST(Hedge, GatewayThatCannotBeReachedGetsNone) {
  core_fixture t;
  t.two_ready_nodes();
  t.submit(hedging(t));
  const auto first = t.expect<grant_ticket>();
  t.start(first);
  t.feed(gateway_lost{the_gateway});
  wait(t, second);
  t.expect_empty();
}

TEST(Hedge, AnotherSchedulerTakesOverTheAttemptThatIsNamed) {
  core_fixture before;
  before.two_ready_nodes();
  const auto seen = begin_race(before);
  core_fixture t;
  t.two_ready_nodes();
  t.feed(request_restored{seen.meta, 2, 0, seen.first.granted});
  EXPECT_EQ(t.expect<drop_attempt>().attempt, seen.hedge.granted.attempt);
  t.feed(gateway_restored{the_gateway});
  t.progress(seen.first, 1);
  t.finish(seen.first);
  EXPECT_EQ(t.expect<record_request>().attempts, 2U);
  expect_nothing_held(t);
}

/// The first attempt was given up for its silence when its token was on its way; the gateway had
/// closed the hedge for it by then, and closes it when it hears so.
TEST(Hedge, GatewayThatHadChosenTheOneGivenUpGetsAnother) {
  core_fixture t;
  t.two_ready_nodes();
  const auto seen = begin_lost_race(t);
  t.progress(seen.first, 1);
  EXPECT_EQ(t.expect<revoke_attempt>().attempt, seen.hedge.granted.attempt);
  const auto next = t.expect<grant_ticket>();
  EXPECT_TRUE(next.resumed);
  EXPECT_EQ(next.granted.attempt.number, 3U);
  t.finish(next);
  t.expect<record_request>();
  expect_nothing_held(t);
}

TEST(Hedge, WholeAnswerOfTheOneGivenUpEndsTheRequestOnce) {
  core_fixture t;
  t.two_ready_nodes();
  const auto seen = begin_lost_race(t);
  t.finish(seen.first);
  EXPECT_EQ(t.expect<revoke_attempt>().attempt, seen.hedge.granted.attempt);
  EXPECT_EQ(t.expect<record_request>().outcome, request_outcome::finished);
  t.finish(seen.hedge);
  expect_nothing_held(t);
}

/// An attempt was given up, the next one and its hedge run, and the first had its whole answer.
TEST(Hedge, WholeAnswerOfAnEarlierAttemptEndsTheRace) {
  core_fixture t;
  auto model = story_spec();
  model.replicas_min = 3;
  t.declare(model);
  std::uint64_t life = 0;
  for (const char* node : {"a", "b", "c"}) {
    t.join(node, ++life);
    t.advertise(cpu_spec(node));
    t.finish_load();
  }
  t.submit(hedging(t));
  const auto given_up = t.expect<grant_ticket>();
  t.start(given_up);
  t.feed(replica_failed{given_up.granted.instance,
                        t.life_of(given_up.granted.node.value),
                        {recovery::retry_elsewhere, "host_crashed", "its host died"}});
  const auto next = t.take_all<grant_ticket>();
  ASSERT_EQ(next.size(), 1U);
  t.start(next[0]);
  t.pass_time_renewing(second, {"a", "b", "c"});
  const auto hedge = t.take_all<grant_ticket>();
  ASSERT_EQ(hedge.size(), 1U);
  ASSERT_TRUE(hedge[0].hedge);
  t.drop_all(); // What is loaded in the place of what died.
  t.finish(given_up);
  EXPECT_EQ(t.take_all<revoke_attempt>().size(), 2U);
  const auto ended = t.take_all<record_request>();
  ASSERT_EQ(ended.size(), 1U);
  EXPECT_EQ(ended[0].outcome, request_outcome::finished);
  expect_nothing_held(t);
}

TEST(Hedge, DeviceThatStillRunsTheLoserIsToldAgain) {
  core_fixture t;
  t.two_ready_nodes();
  const auto seen = begin_race(t);
  device_reported report;
  report.device = seen.hedge.granted.device;
  report.life = t.life_of(seen.hedge.granted.node.value);
  report.running = {seen.hedge.granted.attempt};
  t.feed(report);
  t.expect_empty(); // It runs beside the first.
  t.progress(seen.first, 1);
  t.expect<revoke_attempt>();
  t.feed(report);
  EXPECT_EQ(t.expect<revoke_attempt>().attempt, seen.hedge.granted.attempt);
}

} // namespace

} // namespace consort::core::testing
