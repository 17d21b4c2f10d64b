// SPDX-License-Identifier: Apache-2.0
// Who says that it is full: no attempt is spent, the request waits or goes elsewhere, and who
// waited in vain is told when to come back.
#include "scheduler/fullness.hpp"
#include "tests/support/core_fixture.hpp"

namespace consort::core::testing {

namespace {

/// CPUs on one node, of which the first `loaded` have a ready replica.
void ready(core_fixture& t, int devices, int loaded) {
  t.join("local");
  auto model = story_spec();
  model.replicas_min = static_cast<std::uint32_t>(loaded);
  t.declare(model);
  for (int i = 0; i < devices; ++i) {
    t.advertise(cpu_spec("local", i));
    if (i < loaded)
      t.finish_load();
  }
}

/// `wait_us`: its `Retry-After`; 0 = it sent none.
void refuse_busy(core_fixture& t, const grant_ticket& granted, duration_us wait_us = 0) {
  t.feed(attempt_failed{granted.granted.attempt,
                        {recovery::retry_later, "server_busy", "429: slow down"},
                        0,
                        false,
                        wait_us});
}

/// What is granted while time passes, the node's lease renewed.
std::vector<grant_ticket> granted_within(core_fixture& t, duration_us span) {
  t.pass_time_renewing(span);
  t.take_all<queue_notice>();
  return t.take_all<grant_ticket>();
}

constexpr std::uint64_t nothing = 1U << 20U; ///< Strangers by which an engine says so.

/// A report of the CPU: each of its replicas' engines has so many strangers.
void report(core_fixture& t, const std::vector<std::uint64_t>& strangers) {
  device_reported said;
  said.device = device_id{"local/cpu0"};
  said.life = t.life_of("local");
  const auto replica = t.view().replicas.at(0).instance;
  for (const auto count : strangers) {
    capacity_vector capacity;
    capacity.foreign_sequences.value = count;
    said.endpoints.emplace_back(replica, capacity);
  }
  t.feed(said);
}
/// The only replica's engine says whether it takes anything.
void report(core_fixture& t, bool shut) {
  report(t, std::vector<std::uint64_t>{shut ? nothing : 0});
}

grant_ticket running(core_fixture& t) {
  t.submit();
  const auto granted = t.expect<grant_ticket>();
  t.start(granted);
  t.progress(granted, 1);
  return granted;
}

void fail_replica(core_fixture& t, const load_replica& load) {
  t.feed(replica_failed{load.instance,
                        t.life_of(load.node.value),
                        {recovery::retry_elsewhere, "runtime_died", "it exited with 3"}});
  t.take_all<release_allocation>();
}

TEST(Full, ManyRefusalsForLoadSpendNoAttempt) {
  core_fixture t;
  ready(t, 1, 1);
  t.submit();
  auto granted = t.expect<grant_ticket>();
  std::uint32_t refused = 0;
  for (; refused < 2 * limits::attempts_max && t.now() < 55 * second; ++refused) {
    refuse_busy(t, granted);
    EXPECT_TRUE(t.take_all<reject_request>().empty()) << refused;
    auto more = granted_within(t, limits::full_pause_min_us / 2);
    while (more.empty() && t.now() < 55 * second)
      more = granted_within(t, second);
    if (more.empty())
      break;
    ASSERT_EQ(more.size(), 1U);
    granted = more.front();
  }
  EXPECT_GT(refused, limits::attempts_max);
  t.start(granted);
  t.progress(granted, 1);
  t.finish(granted);
  EXPECT_EQ(t.expect<record_request>().outcome, request_outcome::finished);
  EXPECT_EQ(t.view().devices.at(0).breaker, "closed");
}

/// A server that answers 503 for a minute, beside one that serves: a retry of each request that is
/// counted would spend the budget of the whole cluster.
TEST(Full, OneOfTwoThatTurnsAllAwayForAMinuteEndsNobody) {
  core_fixture t;
  ready(t, 2, 2);
  std::uint32_t turned_away = 0, finished = 0, submitted = 0;
  const auto serve = [&](const std::vector<grant_ticket>& granted) {
    for (const auto& one : granted) {
      if (one.granted.device.value == "local/cpu0") {
        refuse_busy(t, one);
        ++turned_away;
        continue;
      }
      t.start(one);
      t.progress(one, 1);
      t.finish(one);
    }
  };
  const auto budget = limits::retry_credit_max_pm / limits::retry_cost_pm;
  while (submitted < 10 * budget) {
    t.submit();
    ++submitted;
    serve(t.take_all<grant_ticket>());
    for (int turn = 0; turn < 3; ++turn)
      serve(granted_within(t, 20'000));
    for (const auto& one : t.take_all<record_request>())
      finished += one.outcome == request_outcome::finished ? 1 : 0;
    EXPECT_TRUE(t.take_all<reject_request>().empty()) << submitted;
  }
  EXPECT_EQ(finished, submitted);
  EXPECT_GT(turned_away, 0U);
  EXPECT_LT(turned_away, 30U) << "asked again by one alone, less and less often";
  EXPECT_EQ(t.view().devices.at(0).breaker, "closed");
  t.drop_all();
}

TEST(Full, NobodyElseIsSentThereMeanwhile) {
  core_fixture t;
  ready(t, 1, 1);
  t.submit();
  refuse_busy(t, t.expect<grant_ticket>());
  t.submit();
  EXPECT_TRUE(granted_within(t, limits::full_pause_min_us - 1).empty());
  EXPECT_NE(
      t.view().devices.at(0).reading.health_reason.find("takes nothing more for storyteller: 429"),
      std::string::npos);
  const auto first = granted_within(t, 1);
  ASSERT_EQ(first.size(), 1U) << "one tells whether there is room again";
  t.start(first[0]);
  t.progress(first[0], 1);
  EXPECT_EQ(t.take_all<grant_ticket>().size(), 1U) << "there is";
  t.drop_all();
}

/// What a gateway has no room for, and a server that wants to be asked otherwise, says nothing of
/// the device: others are sent there, and whoever was turned away waits by itself.
TEST(Full, WhatIsNotTheDevicesWordClosesItToNobodyElse) {
  for (const auto* code : {"too_many_nodes", "data_port_busy", "server_options"}) {
    core_fixture t;
    ready(t, 1, 1);
    t.submit();
    const auto turned_away = t.expect<grant_ticket>();
    t.feed(attempt_failed{
        turned_away.granted.attempt, {recovery::retry_later, code, "not here, not now"}, 0, false});
    EXPECT_TRUE(t.take_all<grant_ticket>().empty()) << code << ": it pauses";
    EXPECT_EQ(t.view().devices.at(0).reading.health_reason, "") << code;
    EXPECT_EQ(t.view().devices.at(0).breaker, "closed") << code;
    t.submit();
    const auto other = t.take_all<grant_ticket>();
    ASSERT_EQ(other.size(), 1U) << code << ": it is open to another";
    t.start(other[0]);
    t.progress(other[0], 1);
    t.finish(other[0]);
    t.take_all<record_request>();
    const auto again = granted_within(t, second);
    ASSERT_EQ(again.size(), 1U) << code;
    EXPECT_EQ(again[0].granted.attempt.request, turned_away.granted.attempt.request);
    t.drop_all();
  }
}

TEST(Full, AGatewaysBoundSpendsNoAttempt) {
  core_fixture t;
  ready(t, 1, 1);
  t.submit();
  auto granted = t.expect<grant_ticket>();
  for (std::uint32_t refused = 0; refused < limits::attempts_max + 1; ++refused) {
    t.feed(attempt_failed{granted.granted.attempt,
                          {recovery::retry_later, "data_port_busy", "as many as may be are open"},
                          0,
                          false});
    auto more = granted_within(t, limits::full_pause_max_us);
    ASSERT_EQ(more.size(), 1U) << refused;
    granted = more.front();
  }
  t.start(granted);
  t.progress(granted, 1);
  t.finish(granted);
  EXPECT_EQ(t.expect<record_request>().outcome, request_outcome::finished);
}

/// Its pauses between attempts are a part of its wait.
TEST(Full, WhoIsTurnedAwayAgainAndAgainWaitsNoLongerThanOthers) {
  auto config = core_fixture::quiet();
  config.queue_timeout_us = 5 * second;
  core_fixture t(config);
  ready(t, 1, 1);
  const auto begun = t.now();
  t.submit();
  std::vector<reject_request> ended;
  while (ended.empty() && t.now() - begun < 3 * config.queue_timeout_us) {
    for (const auto& one : t.take_all<grant_ticket>())
      t.feed(attempt_failed{one.granted.attempt,
                            {recovery::retry_later, "data_port_busy", "as many as may be are open"},
                            0,
                            false});
    t.pass_time_renewing(second / 10);
    ended = t.take_all<reject_request>();
  }
  ASSERT_EQ(ended.size(), 1U);
  EXPECT_EQ(ended[0].http_status, 503);
  EXPECT_EQ(ended[0].reason.code, "queue_timeout") << ended[0].reason.message;
  EXPECT_GE(t.now() - begun, config.queue_timeout_us);
  t.drop_all();
}

/// It had room again long before the other one was found to hang.
TEST(Full, OneIsAskedAgainBeforeAnotherThatHangs) {
  core_fixture t;
  ready(t, 2, 2);
  t.submit();
  const auto full = t.expect<grant_ticket>();
  refuse_busy(t, full);
  auto next = t.take_all<grant_ticket>();
  if (next.empty())
    next = granted_within(t, second / 10);
  ASSERT_EQ(next.size(), 1U);
  EXPECT_NE(next[0].granted.device, full.granted.device);
  t.start(next[0]);
  std::vector<grant_ticket> after;
  for (int waited = 0; waited < 60 && after.empty(); ++waited)
    after = granted_within(t, second);
  ASSERT_EQ(after.size(), 1U);
  EXPECT_EQ(after[0].granted.device, full.granted.device);
  t.drop_all();
}

TEST(Full, OneTriesAgainWhateverStrangersDoThere) {
  core_fixture t;
  ready(t, 1, 1);
  running(t);
  report(t, std::vector<std::uint64_t>{2});
  auto meta = t.request();
  meta.choices = 2;
  t.submit(meta);
  refuse_busy(t, t.expect<grant_ticket>());
  EXPECT_EQ(granted_within(t, limits::full_pause_min_us).size(), 1U);
  t.submit();
  EXPECT_TRUE(t.take_all<grant_ticket>().empty()) << "one";
  t.drop_all();
}

TEST(Full, WorkFromBeforeProvesNothing) {
  core_fixture t;
  ready(t, 1, 1);
  std::vector<grant_ticket> old;
  for (int i = 0; i < 3; ++i) {
    t.submit();
    old.push_back(t.expect<grant_ticket>());
  }
  t.submit();
  refuse_busy(t, t.expect<grant_ticket>());
  for (int i = 0; i < 3; ++i) {
    const auto pause = limits::full_pause_min_us << i;
    EXPECT_TRUE(granted_within(t, pause - 1).empty()) << i;
    if (i == 1)
      t.finish(old[1]);
    else
      t.progress(old[static_cast<std::size_t>(i)], 1);
    t.take_all<record_request>();
    const auto more = granted_within(t, 1);
    ASSERT_EQ(more.size(), 1U) << i;
    refuse_busy(t, more[0]);
  }
  t.drop_all();
}

TEST(Full, WhoWaitedInVainIsToldWhenToComeBack) {
  core_fixture t;
  ready(t, 1, 1);
  t.submit();
  refuse_busy(t, t.expect<grant_ticket>());
  for (int i = 0; i < 61; ++i)
    for (const auto& granted : granted_within(t, second))
      refuse_busy(t, granted);
  const auto ended = t.take_all<reject_request>();
  ASSERT_EQ(ended.size(), 1U) << "its patience is over, however often it was turned away";
  EXPECT_EQ(ended[0].http_status, 503);
  EXPECT_EQ(ended[0].reason.code, "queue_timeout");
  EXPECT_NE(
      ended[0].reason.message.find("local/cpu0 takes nothing more for storyteller: 429: slow down"),
      std::string::npos);
  ASSERT_TRUE(ended[0].retry_after_us);
  EXPECT_GE(*ended[0].retry_after_us, 55 * second) << "it has been full for a minute";
  EXPECT_LE(*ended[0].retry_after_us, 65 * second);
  t.drop_all();
}

/// What the client of one that waited for 5 s is told, where the only device said this.
duration_us told_after(duration_us asked_us) {
  core_fixture t;
  ready(t, 1, 1);
  auto impatient = t.request("auto");
  impatient.wait_us = 5 * second;
  t.submit(impatient);
  refuse_busy(t, t.expect<grant_ticket>(), asked_us);
  for (int i = 0; i < 6; ++i)
    for (const auto& granted : granted_within(t, second))
      refuse_busy(t, granted); // Not every refusal names a time.
  const auto ended = t.take_all<reject_request>();
  EXPECT_EQ(ended.size(), 1U);
  t.drop_all();
  return ended.empty() ? 0 : ended[0].retry_after_us.value_or(0);
}

TEST(Full, WhoWaitedInVainIsToldTheTimeThatTheDeviceNamed) {
  EXPECT_LT(told_after(0), 15 * second) << "as long as it has been full, or its next try";
  EXPECT_GE(told_after(120 * second), 110 * second);
  EXPECT_LE(told_after(120 * second), 120 * second);
  EXPECT_LT(told_after(second), 15 * second) << "over by then";
  EXPECT_GT(told_after(86'400 * second), limits::retry_after_max_us - 10 * second);
  EXPECT_LE(told_after(86'400 * second), limits::retry_after_max_us) << "no more is believed";
}

/// How long nobody came, before those who wait now, is no pace at which they begin.
TEST(Full, WhoWaitsAloneIsToldWhenSomebodyMayServeIt) {
  core_fixture t;
  ready(t, 1, 1);
  for (const std::size_t together : {1U, 2U}) {
    for (std::size_t each = 0; each < together; ++each)
      t.submit();
    const auto refused = t.take_all<grant_ticket>();
    ASSERT_EQ(refused.size(), together);
    for (const auto& granted : refused)
      refuse_busy(t, granted);
    auto served = granted_within(t, limits::full_pause_min_us);
    ASSERT_EQ(served.size(), 1U);
    t.start(served[0]);
    t.progress(served[0], 1);
    for (const auto& granted : t.take_all<grant_ticket>())
      served.push_back(granted);
    ASSERT_EQ(served.size(), together);
    for (const auto& granted : served)
      t.finish(granted);
    t.drop_all();
    t.pass_time_renewing(300 * second);
  }
  auto impatient = t.request();
  impatient.wait_us = 5 * second;
  t.submit(impatient);
  refuse_busy(t, t.expect<grant_ticket>(), 2 * second);
  for (int i = 0; i < 6; ++i)
    for (const auto& granted : granted_within(t, second))
      refuse_busy(t, granted, 2 * second);
  const auto ended = t.take_all<reject_request>();
  ASSERT_EQ(ended.size(), 1U);
  ASSERT_TRUE(ended[0].eta_us);
  EXPECT_EQ(ended[0].retry_after_us, std::max(*ended[0].eta_us, limits::retry_after_min_us));
  EXPECT_LT(*ended[0].eta_us, 15 * second);
  t.drop_all();
}

/// One is full for a minute, the breaker of the other lets somebody through in a second.
TEST(Full, WhoeverMayServeFirstSaysWhenToComeBack) {
  core_fixture t;
  ready(t, 2, 2);
  for (std::uint32_t i = 0; i < limits::breaker_failures; ++i) {
    t.submit("local/cpu1");
    t.fail(t.expect<grant_ticket>());
    t.drop_all();
  }
  t.submit("local/cpu0");
  refuse_busy(t, t.expect<grant_ticket>(), 60 * second);
  t.drop_all();
  auto hasty = t.request();
  hasty.wait_us = 0;
  t.submit(hasty);
  const auto ended = t.take_all<reject_request>();
  ASSERT_EQ(ended.size(), 1U);
  EXPECT_EQ(ended[0].eta_us, limits::breaker_open_min_us) << ended[0].reason.message;
  EXPECT_EQ(ended[0].retry_after_us, limits::breaker_open_min_us);
  t.drop_all();
}

TEST(Full, ForLongerThanAMomentTheModelIsLoadedElsewhere) {
  core_fixture t;
  ready(t, 2, 1);
  t.submit();
  refuse_busy(t, t.expect<grant_ticket>());
  while (t.now() < 3 * second && t.take_all<reserve_allocation>().empty())
    for (const auto& granted : granted_within(t, limits::full_pause_min_us))
      refuse_busy(t, granted);
  EXPECT_LT(t.now(), 3 * second) << "the other device gets it";
  t.drop_all();
}

TEST(Full, AReportDuringAGuessLoadsTheModelElsewhereToo) {
  core_fixture t;
  ready(t, 2, 1);
  t.submit();
  refuse_busy(t, t.expect<grant_ticket>());
  granted_within(t, limits::full_pause_min_us / 2);
  report(t, true);
  granted_within(t, limits::full_loads_us);
  EXPECT_EQ(t.take_all<reserve_allocation>().size(), 1U);
  t.drop_all();
}

TEST(Full, OneOfTwoEnginesOfAReplicaIsNotBoth) {
  core_fixture t;
  t.join("local");
  auto model = story_spec();
  model.replicas_min = 1;
  t.declare(model);
  t.advertise(cpu_spec());
  t.grant_next_allocation();
  const auto load = t.expect<load_replica>();
  capacity_vector one;
  one.sequences.value = 1;
  t.feed(replica_loaded{load.instance, t.life_of("local"), {one, one}, {}, 0});
  for (const auto& said : {std::vector<std::uint64_t>{0, nothing}, {nothing, 0}}) {
    report(t, said);
    t.submit();
    const auto granted = t.expect<grant_ticket>();
    EXPECT_EQ(granted.granted.endpoint_rank, said[0] == 0 ? 0U : 1U);
    t.start(granted);
    t.progress(granted, 1);
    t.finish(granted);
    t.drop_all();
  }
  report(t, {nothing, nothing});
  t.submit();
  EXPECT_TRUE(t.take_all<grant_ticket>().empty());
  report(t, {nothing, 0});
  EXPECT_EQ(t.take_all<grant_ticket>().size(), 1U);
  t.drop_all();
}

TEST(Full, ANewReplicaIsNotFullBecauseTheFormerWas) {
  core_fixture t;
  t.join("local");
  auto model = story_spec();
  model.replicas_min = 1;
  t.declare(model);
  t.advertise(cpu_spec());
  const auto former = t.finish_load();
  report(t, true);
  fail_replica(t, former);
  t.take_all<unload_replica>();
  EXPECT_EQ(t.view().devices.at(0).reading.health_reason.find("is full"), std::string::npos);
  t.pass_time_renewing(limits::load_backoff_min_us);
  t.finish_load();
  t.submit();
  EXPECT_EQ(t.take_all<grant_ticket>().size(), 1U);
  t.drop_all();
}

/// How long somebody is full says nothing of the load that is waited for.
TEST(Full, ALoadIsNotPutOffByWhoIsFull) {
  core_fixture t;
  ready(t, 2, 1);
  report(t, true);
  t.pass_time_renewing(300 * second);
  report(t, true);
  t.submit();
  t.take_all<queue_notice>();
  t.grant_next_allocation();
  fail_replica(t, t.expect<load_replica>());
  t.drop_all();
  auto meta = t.request();
  meta.wait_us = 0;
  t.submit(meta);
  const auto ended = t.take_all<reject_request>();
  ASSERT_EQ(ended.size(), 1U);
  ASSERT_TRUE(ended[0].retry_after_us);
  EXPECT_LT(*ended[0].retry_after_us, 60 * second) << ended[0].reason.message;
  t.drop_all();
}

TEST(Full, WhoWasOnlyTurnedAwayEndsAsThoseWhoWereNot) {
  core_fixture t;
  ready(t, 2, 1);
  t.submit();
  refuse_busy(t, t.expect<grant_ticket>());
  t.feed(device_lost{device_id{"local/cpu0"}, t.life_of("local"), "it is gone"});
  t.take_all<unload_replica>();
  t.take_all<release_allocation>();
  std::uint32_t failed = 0;
  for (int i = 0; i < 30; ++i) {
    for (const auto& asked : t.take_all<reserve_allocation>()) {
      ++failed;
      t.feed(t.reserved(asked));
      fail_replica(t, t.take_all<load_replica>().at(0));
    }
    granted_within(t, second);
  }
  EXPECT_GE(failed, limits::load_tries_max);
  const auto ended = t.take_all<reject_request>();
  ASSERT_EQ(ended.size(), 1U);
  EXPECT_EQ(ended[0].http_status, 503);
  EXPECT_EQ(ended[0].reason.code, "load_failed") << ended[0].reason.message;
  EXPECT_TRUE(ended[0].retry_after_us);
  t.drop_all();
}

TEST(Full, AStreamThatIsStoppedForWantOfRoomWaitsAnew) {
  core_fixture t;
  ready(t, 1, 1);
  auto meta = t.request();
  meta.max_tokens = 400;
  meta.resumable = true;
  t.submit(meta);
  const auto granted = t.expect<grant_ticket>();
  t.start(granted);
  std::uint32_t tokens = 0;
  for (int i = 0; i < 65; ++i) {
    t.progress(granted, tokens += 5);
    t.pass_time_renewing(second);
  }
  t.feed(attempt_failed{
      granted.granted.attempt, {recovery::retry_later, "server_busy", "no room"}, tokens, false});
  EXPECT_TRUE(t.take_all<reject_request>().empty());
  EXPECT_EQ(granted_within(t, limits::full_pause_min_us).size(), 1U);
  t.drop_all();
}

TEST(Full, AnEngineThatSaysSoGetsNothingUntilItSaysOtherwise) {
  core_fixture t;
  ready(t, 1, 1);
  report(t, true);
  t.submit();
  EXPECT_TRUE(granted_within(t, 20 * second).empty());
  report(t, false);
  EXPECT_EQ(t.take_all<grant_ticket>().size(), 1U);
  t.drop_all();
}

TEST(Full, WhoDoesNotWaitIsTurnedAwayAtOnce) {
  core_fixture t;
  ready(t, 1, 1);
  t.submit();
  refuse_busy(t, t.expect<grant_ticket>());
  t.take_all<queue_notice>();
  auto meta = t.request();
  meta.wait_us = 0;
  t.submit(meta);
  const auto ended = t.take_all<reject_request>();
  ASSERT_EQ(ended.size(), 1U);
  EXPECT_EQ(ended[0].http_status, 503);
  EXPECT_EQ(ended[0].retry_after_us, limits::retry_after_min_us);
  t.drop_all();
}

TEST(Full, ManyAttemptsAreStillBounded) {
  core_fixture t;
  ready(t, static_cast<int>(limits::attempts_total_max) + 1,
        static_cast<int>(limits::attempts_total_max) + 1);
  t.submit();
  std::uint32_t tries = 0;
  for (auto granted = t.take_all<grant_ticket>(); !granted.empty();
       granted = t.take_all<grant_ticket>(), ++tries)
    refuse_busy(t, granted.front());
  EXPECT_EQ(tries, limits::attempts_total_max);
  const auto ended = t.take_all<reject_request>();
  ASSERT_EQ(ended.size(), 1U);
  EXPECT_EQ(ended[0].http_status, 503);
  EXPECT_EQ(ended[0].reason.code, "turned_away");
  EXPECT_NE(ended[0].reason.message.find("turned away 32 times, at last by local/cpu"),
            std::string::npos)
      << ended[0].reason.message;
  t.drop_all();
}

TEST(Full, ARemovedModelLeavesNoBreakerBehind) {
  core_fixture t;
  ready(t, 1, 1);
  for (std::uint32_t i = 0; i < limits::breaker_failures; ++i) {
    t.submit();
    const auto granted = t.take_all<grant_ticket>();
    ASSERT_EQ(granted.size(), 1U);
    t.fail(granted.front());
    t.drop_all();
  }
  ASSERT_EQ(t.view().devices.at(0).breaker, "open");
  t.feed(model_removed{model_name{"storyteller"}});
  EXPECT_EQ(t.view().devices.at(0).breaker, "closed");
  EXPECT_EQ(t.view().devices.at(0).reading.health_reason, "");
  t.drop_all();
  t.pass_time_renewing(limits::breaker_open_max_us);
  EXPECT_EQ(t.view().devices.at(0).breaker, "closed");
  t.drop_all();
}

TEST(Fullness, PausesDoubleUntilItTakesSomething) {
  fullness room;
  time_us now = second;
  for (auto pause = limits::full_pause_min_us; pause < limits::full_pause_max_us; pause *= 2) {
    EXPECT_TRUE(room.refused(now));
    EXPECT_FALSE(room.refused(now)) << "those under way say nothing new";
    EXPECT_EQ(room.until(), now + pause);
    EXPECT_FALSE(room.wake(now + pause - 1));
    EXPECT_TRUE(room.wake(now + pause));
    now += pause;
  }
  EXPECT_EQ(room.since(), second);
  room.refused(now);
  EXPECT_EQ(room.until(), now + limits::full_pause_max_us) << "and no longer";
  room.wake(room.until());
  room.took(now);
  EXPECT_EQ(room.since(), second) << "what was granted before proves nothing";
  room.took(now + 1);
  EXPECT_EQ(room.since(), 0);
  now += limits::full_pause_max_us;
  room.refused(now);
  EXPECT_EQ(room.until(), now + limits::full_pause_min_us);
  room.wake(room.until());
  now += limits::full_forgotten_us + 1;
  room.refused(now);
  EXPECT_EQ(room.since(), now) << "what was long ago is no part of it";
  room.wake(room.until());
  now += limits::full_forgotten_us + 1;
  EXPECT_TRUE(room.reported(true, now));
  EXPECT_EQ(room.since(), now);
  EXPECT_FALSE(room.reported(true, now + second)) << "nothing new";
  EXPECT_EQ(room.expected(now + 5 * second), now + 10 * second) << "as long again";
  EXPECT_TRUE(room.reported(false, now + 5 * second));
}

TEST(Fullness, ExpectsRoomNoSoonerThanTheTimeItNamed) {
  fullness room;
  room.refused(second, 30 * second);
  EXPECT_EQ(room.until(), second + limits::full_pause_min_us) << "it is asked as soon as before";
  EXPECT_EQ(room.expected(2 * second), 31 * second);
  room.wake(room.until());
  room.refused(3 * second, 5 * second);
  EXPECT_EQ(room.expected(3 * second), 31 * second) << "the longest counts";
  room.wake(room.until());
  room.took(4 * second);
  room.refused(5 * second);
  EXPECT_LT(room.expected(5 * second), 6 * second) << "it took something since";
  room.refused(5 * second, limits::retry_after_max_us * 2);
  EXPECT_EQ(room.expected(5 * second), 5 * second + limits::retry_after_max_us);
  room.reported(true, 6 * second);
  room.reported(false, 7 * second);
  EXPECT_EQ(room.told(), 0) << "it knows better";
}

} // namespace

} // namespace consort::core::testing
