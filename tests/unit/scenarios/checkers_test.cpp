// SPDX-License-Identifier: Apache-2.0
// Each checker is shown what it must accept and what it must find: a checker that cannot fail
// proves nothing.
#include "scenarios/limits.hpp"
#include "scenarios/sim/check/capacity.hpp"
#include "scenarios/sim/check/conservation.hpp"
#include "scenarios/sim/check/ended_once.hpp"
#include "scenarios/sim/check/fencing.hpp"
#include "scenarios/sim/check/liveness.hpp"
#include "scenarios/sim/check/starvation.hpp"
#include "scheduler/limits.hpp"

#include <gtest/gtest.h>

namespace consort::sim {
namespace {

const request_id request{gateway_id(1), 1};

request_meta submitted() {
  request_meta made;
  made.id = request;
  made.external_id = "req-1";
  return made;
}

core::record_request recorded() {
  core::record_request made;
  made.request = request;
  made.external_id = "req-1";
  return made;
}

client_answer finished(std::vector<std::int32_t> tokens, std::uint32_t due) {
  return {request, request_outcome::finished, "", std::move(tokens), due};
}

TEST(EndedOnceChecker, AcceptsOneAnswerAndOneRecord) {
  ended_once_checker check;
  check.on_submitted(submitted(), 0);
  check.on_answered(finished({0, 1, 2}, 3), 5);
  check.on_command(recorded(), 6);
  check.on_end({}, 9);
  EXPECT_EQ(check.violation(), std::nullopt);
}

TEST(EndedOnceChecker, FindsARequestThatWasNeverAnswered) {
  ended_once_checker check;
  check.on_submitted(submitted(), 0);
  check.on_command(recorded(), 6);
  EXPECT_EQ(check.violation(), std::nullopt);
  check.on_end({}, 9);
  ASSERT_TRUE(check.violation());
  EXPECT_NE(check.violation()->find("req-1 was never answered"), std::string::npos);
}

TEST(EndedOnceChecker, ExcusesAMissingRecordOnlyOfWhatEndedWithoutAScheduler) {
  ended_once_checker check;
  check.on_submitted(submitted(), 0);
  check.on_event(core::request_submitted{submitted()}, 1);
  check.on_answered(finished({0}, 1), 5);
  auto other = check;
  check.on_scheduler_replaced(6);
  check.on_end({}, 9);
  other.on_end({}, 9);
  EXPECT_EQ(check.violation(), std::nullopt);
  EXPECT_TRUE(other.violation());
}

TEST(EndedOnceChecker, NeedsNoRecordOfWhatTheCoreNeverHeardOf) {
  ended_once_checker check;
  check.on_submitted(submitted(), 0);
  check.on_answered({request, request_outcome::cancelled, "client_left", {}, 1}, 5);
  check.on_end({}, 9);
  EXPECT_EQ(check.violation(), std::nullopt);
}

TEST(EndedOnceChecker, TakesAGivenUpGatewayForNoEnd) {
  ended_once_checker check;
  check.on_submitted(submitted(), 0);
  check.on_event(core::request_submitted{submitted()}, 1);
  auto given_up = recorded();
  given_up.code = "gateway_lost";
  check.on_command(given_up, 4);
  check.on_command(recorded(), 6);
  EXPECT_EQ(check.violation(), std::nullopt);
  check.on_command(recorded(), 7);
  EXPECT_TRUE(check.violation());
}

TEST(ConservationChecker, FindsAReservationThatIsLeft) {
  conservation_checker check;
  core::snapshot seen;
  seen.replicas.emplace_back().kv_tokens_reserved = 1;
  check.on_end(seen, 9);
  EXPECT_TRUE(check.violation());
}

TEST(EndedOnceChecker, FindsARequestThatWasAnsweredTwice) {
  ended_once_checker check;
  check.on_submitted(submitted(), 0);
  check.on_answered(finished({0}, 1), 5);
  check.on_answered(finished({0}, 1), 6);
  EXPECT_TRUE(check.violation());
}

TEST(EndedOnceChecker, FindsARequestThatWasRecordedTwice) {
  ended_once_checker check;
  check.on_submitted(submitted(), 0);
  check.on_command(recorded(), 1);
  check.on_command(recorded(), 2);
  EXPECT_TRUE(check.violation());
}

/// What it said died on its way with it.
TEST(EndedOnceChecker, AcceptsThatASuccessorRecordsWhatNobodyHadHeardOf) {
  ended_once_checker check;
  check.on_submitted(submitted(), 0);
  check.on_event(core::request_submitted{submitted()}, 1);
  check.on_command(recorded(), 2);
  check.on_scheduler_lost(3);
  auto heard = check;
  check.on_command(recorded(), 5);
  EXPECT_EQ(check.violation(), std::nullopt);
  check.on_command(recorded(), 6);
  EXPECT_TRUE(check.violation());
  // Its answer came all the same, behind the scheduler's end.
  heard.on_answered(finished({0}, 1), 4);
  heard.on_scheduler_replaced(5);
  auto twice = heard;
  heard.on_end({}, 9);
  EXPECT_EQ(heard.violation(), std::nullopt);
  twice.on_command(recorded(), 6);
  EXPECT_TRUE(twice.violation()) << "its client had its end: nobody tells the successor of it";
}

TEST(EndedOnceChecker, FindsATokenThatIsMissingRepeatedOrShort) {
  for (const auto& tokens : {std::vector<std::int32_t>{0, 2}, std::vector<std::int32_t>{0, 1, 1},
                             std::vector<std::int32_t>{0, 1}}) {
    ended_once_checker check;
    check.on_submitted(submitted(), 0);
    check.on_answered(finished(tokens, 3), 5);
    EXPECT_TRUE(check.violation());
  }
}

/// Of what is over one bit is kept, which has to do.
TEST(EndedOnceChecker, FindsASecondEndOfWhatIsOver) {
  ended_once_checker over;
  over.on_submitted(submitted(), 0);
  over.on_answered(finished({0}, 1), 5);
  over.on_command(recorded(), 6);
  auto again = over;
  again.on_command(recorded(), 7);
  ASSERT_TRUE(again.violation());
  EXPECT_NE(again.violation()->find("req-1 was recorded twice"), std::string::npos);
  again = over;
  again.on_answered(finished({0}, 1), 7);
  ASSERT_TRUE(again.violation());
  EXPECT_NE(again.violation()->find("was answered twice"), std::string::npos);
  over.on_event(core::request_submitted{submitted()}, 8); // News of it, late.
  auto given_up = recorded();
  given_up.code = "gateway_lost";
  over.on_command(given_up, 9);
  over.on_end({}, 10);
  EXPECT_EQ(over.violation(), std::nullopt);
}

class FencingTest : public testing::Test {
protected:
  FencingTest() {
    check_.on_event(core::node_joined{node_, incarnation(7), "", {}, {}}, 0);
    check_.on_command(core::grant_lease{node_, incarnation(7), epoch(3), 1'000}, 0);
    permission_.attempt = {request, 1};
    permission_.node = node_;
    permission_.node_incarnation = incarnation(7);
    permission_.lease_epoch = epoch(3);
    permission_.expires_at = 900;
  }
  void grant(time_us now) {
    core::grant_ticket made;
    made.granted = permission_;
    check_.on_command(made, now);
  }
  void honour(time_us now, incarnation life = incarnation(7), epoch lease_epoch = epoch(3)) {
    check_.on_ticket_honoured(permission_, {life, lease_epoch, 1, 8, 10, 100}, now);
  }

  node_id node_{"n"};
  ticket permission_;
  fencing_checker check_;
};

TEST_F(FencingTest, AcceptsATicketOnAHeldLease) {
  grant(500);
  honour(600);
  EXPECT_EQ(check_.violation(), std::nullopt);
}

TEST_F(FencingTest, FindsAGrantOnAnExpiredLease) {
  grant(1'001);
  EXPECT_TRUE(check_.violation());
}

TEST_F(FencingTest, FindsAGrantToAnOldIncarnation) {
  check_.on_event(core::node_joined{node_, incarnation(8), "", {}, {}}, 10);
  grant(20);
  EXPECT_TRUE(check_.violation());
}

TEST_F(FencingTest, FindsANodeThatHonoursAnOldEpoch) {
  honour(10, incarnation(7), epoch(4));
  EXPECT_TRUE(check_.violation());
}

TEST_F(FencingTest, FindsATicketHonouredTwiceOrLate) {
  honour(10);
  EXPECT_EQ(check_.violation(), std::nullopt);
  honour(11);
  EXPECT_TRUE(check_.violation());
  fencing_checker late;
  late.on_ticket_honoured(permission_, {incarnation(7), epoch(3), 1, 8, 10, 100, 901, 1'000}, 901);
  EXPECT_TRUE(late.violation());
  fencing_checker lapsed;
  lapsed.on_ticket_honoured(permission_, {incarnation(7), epoch(3), 1, 8, 10, 100, 800, 700}, 800);
  EXPECT_TRUE(lapsed.violation());
  fencing_checker skewed; // Late by the clock of the world, in time by its own.
  skewed.on_ticket_honoured(permission_, {incarnation(7), epoch(3), 1, 8, 10, 100, 800, 900}, 901);
  EXPECT_EQ(skewed.violation(), std::nullopt);
}

class CapacityTest : public testing::Test {
protected:
  CapacityTest() {
    device_spec spec;
    spec.id = device_;
    spec.node = node_id("n");
    spec.memory_bytes = 100;
    check_.on_event(core::device_advertised{spec, incarnation(1)}, 0);
    check_.on_event(core::node_joined{node_id("n"), incarnation(1), "", {}, {}}, 0);
  }
  void reserve(std::uint64_t id, std::uint64_t bytes, bool whole = false) {
    allocation grant;
    grant.id = allocation_id(id);
    grant.shares = {{device_, whole, bytes}};
    check_.on_command(core::reserve_allocation{node_id("n"), grant}, 1);
  }

  device_id device_{"n/npu0"};
  capacity_checker check_;
};

TEST_F(CapacityTest, AcceptsSharesThatFitAndOnesThatWereReleased) {
  reserve(1, 60);
  reserve(2, 40);
  check_.on_command(core::release_allocation{node_id("n"), allocation_id(1), epoch(1)}, 2);
  reserve(3, 60);
  EXPECT_EQ(check_.violation(), std::nullopt);
}

TEST_F(CapacityTest, FindsSharesBeyondTheMemory) {
  reserve(1, 60);
  reserve(2, 41);
  EXPECT_TRUE(check_.violation());
}

TEST_F(CapacityTest, FindsAnythingBesideAWholeShare) {
  reserve(1, 0, true);
  EXPECT_EQ(check_.violation(), std::nullopt);
  reserve(2, 0);
  EXPECT_TRUE(check_.violation());
}

TEST_F(CapacityTest, ANewProcessHoldsNothing) {
  reserve(1, 100);
  check_.on_event(core::node_joined{node_id("n"), incarnation(2), "", {}, {}}, 5);
  reserve(2, 100);
  EXPECT_EQ(check_.violation(), std::nullopt);
}

TEST_F(CapacityTest, WhatNobodyGrantedDiesWithItsScheduler) {
  reserve(1, 60);
  reserve(2, 40);
  check_.on_event(core::allocation_reserved{allocation_id(2), node_id("n"), incarnation(1), {}}, 2);
  check_.on_scheduler_lost(3);
  reserve(3, 60);
  EXPECT_EQ(check_.violation(), std::nullopt);
  reserve(4, 1);
  EXPECT_TRUE(check_.violation()) << "the second is held still";
}

TEST_F(CapacityTest, FindsAnEndpointBeyondItsSequencesOrKv) {
  check_.on_ticket_honoured({}, {incarnation(1), epoch(1), 8, 8, 100, 100}, 1);
  EXPECT_EQ(check_.violation(), std::nullopt);
  check_.on_ticket_honoured({}, {incarnation(1), epoch(1), 8, 8, 101, 100}, 1);
  EXPECT_TRUE(check_.violation());
}

TEST(ConservationChecker, FindsARequestThatLeaked) {
  core::snapshot seen;
  conservation_checker good;
  good.on_event(core::request_submitted{submitted()}, 0);
  good.on_command(recorded(), 1);
  seen.counters.submitted = 1;
  seen.counters.finished = 1;
  good.on_end(seen, 2);
  EXPECT_EQ(good.violation(), std::nullopt);

  conservation_checker leaked;
  leaked.on_event(core::request_submitted{submitted()}, 0);
  seen.counters.finished = 0;
  leaked.on_end(seen, 2);
  EXPECT_TRUE(leaked.violation());
}

TEST(ConservationChecker, FindsMoreEndsThanSubmissions) {
  conservation_checker check;
  check.on_command(recorded(), 1);
  EXPECT_TRUE(check.violation());
}

class StarvationTest : public testing::Test {
protected:
  static request_meta asked(std::uint64_t number, std::uint32_t tokens) {
    request_meta made;
    made.id = {gateway_id(1), number};
    made.external_id = "req-" + std::to_string(number);
    made.max_tokens = tokens;
    return made;
  }
  void submit(std::uint64_t number, time_us now, std::uint32_t tokens = 10,
              priority_class priority = priority_class::standard,
              std::optional<duration_us> deadline = {}) {
    auto meta = asked(number, tokens);
    meta.priority = priority;
    meta.deadline_us = deadline;
    check_.on_event(core::request_submitted{meta}, now);
  }
  void grant(std::uint64_t number, time_us now) {
    core::grant_ticket made;
    made.granted.attempt = {{gateway_id(1), number}, 1};
    check_.on_command(made, now);
  }

  const duration_us bound_ = core::limits::starvation_us + 2 * limits::second_us;
  starvation_checker check_;
};

TEST_F(StarvationTest, AcceptsThatAYoungerOnePassesBeforeTheBound) {
  submit(1, 0);
  submit(2, 10);
  grant(2, core::limits::starvation_us / 2);
  grant(1, bound_);
  EXPECT_EQ(check_.violation(), std::nullopt);
}

TEST_F(StarvationTest, FindsAYoungerOneThatPassesAfterTheBound) {
  submit(1, 0);
  submit(2, bound_ - 10);
  grant(2, bound_);
  ASSERT_TRUE(check_.violation());
  EXPECT_NE(check_.violation()->find("req-1, waiting for 12s, was passed by req-2"),
            std::string::npos)
      << *check_.violation();
}

TEST_F(StarvationTest, TheOldestIsPassedByOtherClassesOnlyInSomeTurns) {
  submit(1, 0, 10, priority_class::batch);
  for (std::uint64_t number = 2; number < 2 + starvation_checker::passes_max; ++number) {
    submit(number, bound_ - 10, 10, priority_class::interactive);
    grant(number, bound_);
  }
  EXPECT_EQ(check_.violation(), std::nullopt);
  submit(100, bound_ - 10, 10, priority_class::interactive);
  grant(100, bound_);
  ASSERT_TRUE(check_.violation());
  EXPECT_NE(check_.violation()->find("req-1, waiting for 12s, was passed by req-100"),
            std::string::npos)
      << *check_.violation();
}

/// They wait again after an attempt, and keep their age; so the oldest that had none comes after
/// them. Not when fewer than one of aged_every grants is theirs.
TEST_F(StarvationTest, WhoCameBeforeTheOldestHasItsTurnsBefore) {
  constexpr std::uint64_t before = 40;
  const auto play = [&](std::uint32_t every) {
    check_ = {};
    for (std::uint64_t number = 1; number <= before; ++number) {
      submit(number, 0);
      grant(number, 1);
    }
    submit(before + 1, 2, 10, priority_class::batch);
    auto next = before + 2;
    const auto pass = [&](std::uint32_t count) {
      for (; count > 0; --count, ++next) {
        submit(next, bound_, 10, priority_class::interactive);
        grant(next, bound_);
      }
    };
    for (std::uint64_t number = 1; number <= before; ++number) {
      pass(every - 1);
      grant(number, bound_);
    }
    const bool quiet = !check_.violation();
    pass(starvation_checker::passes_max + 1);
    EXPECT_TRUE(check_.violation()) << "nobody is before it any more";
    return quiet;
  };
  EXPECT_TRUE(play(core::limits::aged_every));
  EXPECT_FALSE(play(2 * core::limits::aged_every));
}

TEST_F(StarvationTest, ATurnOfAnotherModelOrOfAHedgeIsNone) {
  submit(1, 0);
  grant(1, 1);
  submit(2, 2, 10, priority_class::batch);
  core::grant_ticket elsewhere;
  elsewhere.granted.attempt = {{gateway_id(1), 1}, 2};
  elsewhere.granted.model = model_name("other");
  auto beside = elsewhere;
  beside.granted.model = {};
  beside.hedge = true;
  for (std::uint64_t number = 3; number < 4 + starvation_checker::passes_max; ++number) {
    submit(number, bound_, 10, priority_class::interactive);
    EXPECT_EQ(check_.violation(), std::nullopt);
    grant(number, bound_);
    check_.on_command(elsewhere, bound_);
    check_.on_command(beside, bound_);
  }
  EXPECT_TRUE(check_.violation());
}

TEST_F(StarvationTest, TheOldestIsPassedByEarlierDeadlinesOnlyInSomeTurns) {
  const auto in_a_second = limits::second_us;
  submit(1, 0);
  for (std::uint64_t number = 2; number < 2 + starvation_checker::passes_max; ++number) {
    submit(number, bound_ - 10, 10, priority_class::standard, in_a_second);
    grant(number, bound_);
  }
  EXPECT_EQ(check_.violation(), std::nullopt);
  submit(100, bound_ - 10, 10, priority_class::standard, in_a_second);
  grant(100, bound_);
  EXPECT_TRUE(check_.violation());
}

TEST_F(StarvationTest, FindsALaterDeadlineThatPasses) {
  submit(1, 0, 10, priority_class::standard, bound_ + limits::second_us);
  submit(2, bound_ - 10, 10, priority_class::standard, 2 * limits::second_us);
  grant(2, bound_);
  EXPECT_TRUE(check_.violation());
}

TEST_F(StarvationTest, NewsOfARequestThatComesTwiceIsNoRequest) {
  submit(1, 0);
  grant(1, 1);
  submit(1, 2); // The link brought it again.
  submit(2, bound_ - 10);
  grant(2, bound_);
  EXPECT_EQ(check_.violation(), std::nullopt);
}

TEST_F(StarvationTest, RemembersSoManyRequestsAndNoMore) {
  const auto come_and_go = [&](std::uint64_t number) {
    submit(number, 1);
    grant(number, 1);
  };
  for (std::uint64_t number = 1; number <= starvation_checker::told_max; ++number)
    come_and_go(number);
  submit(1, 2);
  submit(starvation_checker::told_max + 1, bound_);
  grant(starvation_checker::told_max + 1, bound_);
  EXPECT_EQ(check_.violation(), std::nullopt) << "the first was told of before";
  submit(1, bound_); // Forgotten for the last one's sake.
  submit(starvation_checker::told_max + 2, 2 * bound_);
  grant(starvation_checker::told_max + 2, 2 * bound_);
  EXPECT_TRUE(check_.violation());
}

TEST_F(StarvationTest, ASuccessorOfTheSchedulerCountsFromItsOwnBeginning) {
  submit(1, 0);
  check_.on_scheduler_lost(bound_ / 2);
  check_.on_event(core::request_restored{asked(1, 10), 0, 0, {}}, bound_ / 2);
  submit(2, bound_ - 10);
  grant(2, bound_);
  EXPECT_EQ(check_.violation(), std::nullopt);
  submit(3, 2 * bound_ - 10);
  grant(3, 2 * bound_);
  EXPECT_TRUE(check_.violation());
}

TEST_F(StarvationTest, AcceptsThatASmallerOneFitsWhereTheOlderDoesNot) {
  submit(1, 0, 1'000);
  submit(2, bound_ - 10, 10);
  grant(2, bound_);
  EXPECT_EQ(check_.violation(), std::nullopt);
}

TEST(LivenessChecker, SaysWhyTheOldestNeverEnded) {
  liveness_checker check([](const std::string& id) {
    core::explanation told;
    EXPECT_EQ(id, "req-1");
    auto& last = told.decisions.emplace_back();
    last.outcome = "queued";
    last.reason = "no device has room";
    return std::optional(told);
  });
  check.on_end({}, 5);
  EXPECT_EQ(check.violation(), std::nullopt);
  core::snapshot seen;
  auto& left = seen.requests.emplace_back();
  left.external_id = "req-1";
  left.state = "queued";
  check.on_end(seen, 9);
  ASSERT_TRUE(check.violation());
  EXPECT_NE(check.violation()->find("queued, no device has room"), std::string::npos);
}

} // namespace
} // namespace consort::sim
