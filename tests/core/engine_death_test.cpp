// SPDX-License-Identifier: Apache-2.0
// An engine that ends takes its attempts with it, and another takes its place.
#include "tests/support/core_fixture.hpp"

namespace consort::core::testing {

namespace {

/// The only device, with a replica.
void one_engine(core_fixture& t, std::uint64_t sequences = 4) {
  t.join("local");
  auto model = story_spec();
  model.replicas_min = 1;
  t.declare(model);
  t.advertise(cpu_spec("local", 0));
  t.finish_load(sequences);
}

/// The same, and it has served somebody.
void proven(core_fixture& t, std::uint64_t sequences = 4) {
  one_engine(t, sequences);
  t.submit();
  t.finish(t.expect<grant_ticket>());
  t.expect<record_request>();
}

grant_ticket running_attempt(core_fixture& t) {
  t.submit();
  const auto granted = t.expect<grant_ticket>();
  t.start(granted);
  return granted;
}

TEST(EngineDeath, CrashedReplicaFailsOverAndIsLoadedAgainAfterABackoff) {
  core_fixture t;
  one_engine(t);
  t.submit();
  const auto first = t.expect<grant_ticket>();
  t.start(first);
  t.feed(replica_failed{
      first.granted.instance, incarnation{1}, {recovery::retry_elsewhere, "crash", "signal 11"}});
  EXPECT_EQ(t.take_all<drop_attempt>().size(), 1U);
  EXPECT_EQ(t.take_all<release_allocation>().size(), 1U);
  t.take_all<queue_notice>();
  t.expect_empty();
  t.pass_time(limits::load_backoff_min_us);
  t.take_all<queue_notice>();
  t.finish_load();
  EXPECT_EQ(t.expect<grant_ticket>().granted.attempt.number, 2U);
}

TEST(EngineDeath, AReplicaThatHadServedIsLoadedAgainAtOnceOncePerThatItServed) {
  const error crash{recovery::retry_elsewhere, "crash", "signal 11"};
  core_fixture t;
  proven(t);
  t.submit();
  const auto cut = t.expect<grant_ticket>();
  t.start(cut);
  t.drop_all();
  t.feed(replica_failed{cut.granted.instance, incarnation{1}, crash});
  t.take_all<drop_attempt>();
  t.take_all<release_allocation>();
  t.take_all<queue_notice>();
  t.finish_load(); // With no time in between.
  const auto resumed = t.expect<grant_ticket>();
  EXPECT_EQ(resumed.granted.attempt.number, 2U);

  t.start(resumed);
  t.feed(replica_failed{resumed.granted.instance, incarnation{1}, crash});
  EXPECT_TRUE(t.take_all<reserve_allocation>().empty()) << "the new one had served nobody yet";
  t.drop_all();
  t.pass_time(limits::load_backoff_min_us);
  EXPECT_EQ(t.take_all<reserve_allocation>().size(), 1U);
  t.drop_all();
}

/// An engine's end is heard from its attempts as often as from its node, and means the same.
TEST(EngineDeath, AnAttemptThatTellsOfItsEnginesEndIsServedByTheNextOne) {
  for (const auto* code : {"runtime_died", "session_closed", "instance_unknown"}) {
    SCOPED_TRACE(code);
    core_fixture t;
    proven(t);
    const auto cut = running_attempt(t);
    const error gone{recovery::retry_elsewhere, code, "signal 11"};
    t.feed(attempt_failed{cut.granted.attempt, gone, 0, true});
    EXPECT_EQ(t.take_all<unload_replica>().size(), 1U);
    EXPECT_EQ(t.take_all<release_allocation>().size(), 1U);
    t.take_all<queue_notice>();
    t.finish_load(); // With no time in between.
    const auto again = t.expect<grant_ticket>();
    EXPECT_EQ(again.granted.device, cut.granted.device);
    t.feed(replica_failed{cut.granted.instance, incarnation{1}, gone});
    t.expect_empty();
    t.start(again);
    t.finish(again);
    EXPECT_EQ(t.expect<record_request>().outcome, request_outcome::finished);
  }
}

TEST(EngineDeath, TheEndOfAnEngineIsOneFaultHoweverManyItServed) {
  core_fixture t;
  proven(t, limits::breaker_failures + 1);
  std::vector<grant_ticket> cut;
  for (std::uint32_t i = 0; i <= limits::breaker_failures; ++i)
    cut.push_back(running_attempt(t));
  const error gone{recovery::retry_elsewhere, "runtime_died", "signal 11"};
  for (const auto& one : cut)
    t.feed(attempt_failed{one.granted.attempt, gone, 0, true});
  EXPECT_EQ(t.take_all<drop_attempt>().size(), limits::breaker_failures) << "all but the first";
  t.take_all<unload_replica>();
  t.take_all<release_allocation>();
  t.take_all<queue_notice>();
  EXPECT_EQ(t.view().devices.at(0).breaker, "closed");
  t.finish_load(limits::breaker_failures + 1);
  EXPECT_EQ(t.take_all<grant_ticket>().size(), cut.size());
  t.drop_all();
}

TEST(EngineDeath, ARequestThatEndsEveryEngineIsGivenUp) {
  core_fixture t;
  proven(t);
  t.submit();
  const auto load_what_is_wanted = [&] {
    for (const auto& asked : t.take_all<reserve_allocation>())
      t.feed(t.reserved(asked));
    for (const auto& load : t.take_all<load_replica>())
      t.loaded(load);
  };
  std::uint32_t ended = 0;
  while (t.view().requests.size() == 1 && ended < 2 * limits::attempts_max) {
    auto granted = t.take_all<grant_ticket>();
    for (int waited = 0; granted.empty() && waited < 60; ++waited) {
      t.pass_time_renewing(second);
      load_what_is_wanted();
      granted = t.take_all<grant_ticket>();
    }
    ASSERT_EQ(granted.size(), 1U) << ended;
    t.start(granted[0]);
    t.progress(granted[0], ++ended);
    t.feed(attempt_failed{granted[0].granted.attempt,
                          {recovery::retry_elsewhere, "runtime_died", "signal 11"},
                          ended,
                          true});
  }
  EXPECT_EQ(ended, limits::attempts_max);
  EXPECT_EQ(t.take_all<reject_request>().size(), 1U);
  t.drop_all();
}

// --- an engine that hangs: its stream falls silent, and its node ends it when a cancel hangs too
// ---

/// A stream of the only device that had some text, and then no more.
grant_ticket silent_stream(core_fixture& t) {
  proven(t);
  const auto cut = running_attempt(t);
  t.progress(cut, 5);
  t.pass_time(limits::stall_alone_us);
  EXPECT_EQ(t.take_all<revoke_attempt>().size(), 1U);
  EXPECT_EQ(t.take_all<drop_attempt>().size(), 1U);
  t.renew("local");
  return cut;
}

TEST(HungEngine, ItsStreamGoesOnAtTheNextOneAlsoWhereNobodyElseCouldTakeOver) {
  core_fixture t;
  const auto cut = silent_stream(t);
  t.pass_time(limits::silent_pause_us - second / 4);
  t.expect_empty();
  t.feed(replica_failed{cut.granted.instance,
                        incarnation{1},
                        {recovery::retry_elsewhere, "runtime_died", "did not acknowledge"}});
  EXPECT_EQ(t.take_all<release_allocation>().size(), 1U);
  t.pass_time(second / 4);
  t.take_all<queue_notice>();
  t.finish_load();
  const auto again = t.expect<grant_ticket>();
  EXPECT_EQ(again.granted.device, cut.granted.device);
  EXPECT_EQ(again.granted.attempt.number, 2U);
  EXPECT_TRUE(again.resumed);
  EXPECT_EQ(t.view().counters.retries, 1U);
  t.start(again);
  t.finish(again);
  EXPECT_EQ(t.expect<record_request>().outcome, request_outcome::finished);
}

/// It let go of the request: a hiccup. Nothing is loaded anew.
TEST(HungEngine, OneThatAnswersItsCancelIsAskedAgain) {
  core_fixture t;
  const auto cut = silent_stream(t);
  t.pass_time_renewing(limits::silent_pause_us);
  t.take_all<queue_notice>();
  const auto again = t.expect<grant_ticket>();
  EXPECT_EQ(again.granted.instance, cut.granted.instance);
  EXPECT_TRUE(again.resumed);
  t.drop_all();
}

/// However short its own wait is: each attempt begins another, once the device has rested.
struct Patience : ::testing::TestWithParam<std::optional<duration_us>> {};
INSTANTIATE_TEST_SUITE_P(HungEngine, Patience, ::testing::Values(std::nullopt, 0));

TEST_P(Patience, IsGivenUpAfterAsManyAttemptsAsAnyOther) {
  core_fixture t;
  proven(t);
  auto meta = t.request();
  meta.wait_us = GetParam();
  t.submit(meta);
  std::uint32_t asked = 0;
  for (int waited = 0; t.view().requests.size() == 1 && waited < 300; ++waited) {
    for (const auto& granted : t.take_all<grant_ticket>()) {
      ++asked;
      t.start(granted);
    }
    t.pass_time_renewing(second);
  }
  EXPECT_EQ(asked, limits::attempts_max);
  const auto end = t.take_all<reject_request>();
  ASSERT_EQ(end.size(), 1U);
  EXPECT_EQ(end[0].http_status, 502);
  EXPECT_EQ(end[0].reason.code, "attempts_exhausted");
  t.drop_all();
}

TEST(HungEngine, NobodyIsKeptPastItsDeadline) {
  core_fixture t;
  proven(t);
  auto meta = t.request();
  meta.deadline_us = limits::stall_alone_us + second;
  t.submit(meta);
  const auto cut = t.expect<grant_ticket>();
  t.start(cut);
  t.progress(cut, 5);
  t.pass_time_renewing(limits::stall_alone_us + second);
  EXPECT_EQ(t.take_all<drop_attempt>().size(), 1U);
  const auto end = t.take_all<reject_request>();
  ASSERT_EQ(end.size(), 1U);
  EXPECT_EQ(end[0].http_status, 408);
  t.drop_all();
}

} // namespace

} // namespace consort::core::testing
