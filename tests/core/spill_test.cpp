// SPDX-License-Identifier: Apache-2.0
// Work leaves for a REMOTE only as configured, and comes back.
#include "scheduler/units.hpp"
#include "tests/support/core_fixture.hpp"

namespace consort::core::testing {

namespace {

device_spec away_spec(std::uint64_t price_per_hour = 0) {
  auto away = cpu_spec("local", 1);
  away.id = device_id{"local/remote0"};
  away.type = resource_type::remote;
  away.model = "api";
  away.spec.prefill_tokens_per_s *= 10;
  away.spec.decode_tokens_per_s *= 10;
  away.spec.cost_micros_per_hour = price_per_hour;
  return away;
}

/// A CPU and a REMOTE ten times as fast, both ready; each takes one and another in its backlog.
void home_and_away(core_fixture& t, std::uint64_t price_per_hour = 0) {
  t.join("local");
  auto model = story_spec();
  model.replicas_min = 2;
  t.declare(model);
  t.advertise(cpu_spec());
  t.finish_load(1);
  t.advertise(away_spec(price_per_hour));
  t.finish_load(100);
}

core_config using_remote(remote_use use, std::uint64_t budget = 0) {
  auto config = core_fixture::quiet();
  config.remote = use;
  config.remote_budget_micros_per_hour = budget;
  return config;
}

std::vector<std::string> where(core_fixture& t, int requests,
                               std::optional<duration_us> deadline = {}) {
  std::vector<std::string> devices;
  for (int at = 0; at < requests; ++at) {
    auto meta = t.request();
    meta.deadline_us = deadline;
    t.submit(meta);
    for (const auto& one : t.take_all<grant_ticket>())
      devices.push_back(one.granted.device.value.substr(6));
  }
  t.take_all<queue_notice>();
  return devices;
}

TEST(Spill, FreelyTheFastestServes) {
  core_fixture t(using_remote(remote_use::free));
  home_and_away(t);
  EXPECT_EQ(where(t, 1), (std::vector<std::string>{"remote0"}));
}

TEST(Spill, AsOverflowOnlyWhatCannotStartHereLeavesAndTheNextComesBack) {
  core_fixture t(using_remote(remote_use::overflow));
  home_and_away(t);
  t.submit();
  const auto first = t.expect<grant_ticket>();
  EXPECT_EQ(first.granted.device.value, "local/cpu0");
  EXPECT_EQ(where(t, 3), (std::vector<std::string>{"cpu0", "remote0", "remote0"}));
  t.finish(first);
  t.expect<record_request>();
  EXPECT_EQ(where(t, 1), (std::vector<std::string>{"cpu0"}));
}

TEST(Spill, ADeadlineIsMetByWhoeverMeetsIt) {
  core_fixture t(using_remote(remote_use::overflow));
  home_and_away(t);
  EXPECT_EQ(where(t, 1, 30 * second), (std::vector<std::string>{"remote0"}));
}

TEST(Spill, NeverMeansNever) {
  core_fixture t(using_remote(remote_use::never));
  home_and_away(t);
  EXPECT_EQ(where(t, 5), (std::vector<std::string>{"cpu0", "cpu0"}));
  EXPECT_EQ(t.view().queue_depth, 3U);
}

TEST(Spill, WhatMayNotLeaveIsLoadedHere) {
  core_fixture t(using_remote(remote_use::never));
  t.join("local");
  t.advertise(cpu_spec());
  t.advertise(away_spec());
  t.declare(story_spec());
  t.submit();
  const auto asked = t.take_all<reserve_allocation>();
  ASSERT_EQ(asked.size(), 1U);
  EXPECT_EQ(asked[0].grant.shares.at(0).device.value, "local/cpu0") << "slower, but it may serve";
  t.drop_all();
}

TEST(Spill, OnceItsBudgetIsUsedUpTheModelIsLoadedHere) {
  core_fixture t(using_remote(remote_use::free, 3'000));
  t.join("local");
  t.advertise(away_spec(72'000'000));
  t.declare(story_spec());
  t.submit();
  t.grant_next_allocation();
  t.take_all<queue_notice>();
  t.loaded(t.expect<load_replica>(), 100);
  t.advertise(cpu_spec());
  EXPECT_TRUE(t.take_all<reserve_allocation>().empty());
  std::vector<reserve_allocation> asked;
  for (int at = 0; at < 20 && asked.empty(); ++at) {
    t.submit();
    asked = t.take_all<reserve_allocation>();
  }
  ASSERT_EQ(asked.size(), 1U) << "somebody waits for an API that may not be used now";
  EXPECT_EQ(asked[0].grant.shares.at(0).device.value, "local/cpu0");
  t.drop_all();
}

TEST(Spill, WhatOnlyARemoteCouldServeIsRefusedAtOnceWhereThatIsNeverUsed) {
  core_fixture t(using_remote(remote_use::never));
  t.join("local");
  t.declare(story_spec());
  t.advertise(away_spec());
  const auto told = t.tested().explain(t.request(), t.now());
  ASSERT_TRUE(told);
  EXPECT_EQ(told->decisions.at(0).outcome, "rejected");
  EXPECT_EQ(told->decisions[0].candidates.at(0).removed_by, "remote");
  t.submit();
  const auto refused = t.expect<reject_request>();
  EXPECT_EQ(refused.http_status, 422);
  EXPECT_NE(refused.reason.message.find("remote.use is never"), std::string::npos)
      << refused.reason.message;
  t.expect<record_request>();
}

TEST(Spill, WhatOnlyARemoteCouldServeWaitsForAnotherDeviceNoLongerThanItMakesSense) {
  core_fixture t(using_remote(remote_use::never));
  home_and_away(t);
  t.submit();
  const auto running = t.expect<grant_ticket>();
  EXPECT_EQ(running.granted.device.value, "local/cpu0");
  t.fail(running);
  const auto failed = t.take_all<reject_request>();
  ASSERT_EQ(failed.size(), 1U) << "a REMOTE is no device that could take over";
  EXPECT_EQ(failed[0].http_status, 502);
  t.drop_all();
}

TEST(DryRun, KnowsWhatMayBeSpentOnRemotes) {
  core_fixture t(using_remote(remote_use::free, 3'000));
  home_and_away(t, 72'000'000);
  const auto told = [&] { return t.tested().explain(t.request(), t.now())->decisions.at(0); };
  EXPECT_EQ(told().winner.value, "local/remote0");
  for (int i = 0; i < 12 && told().winner.value == "local/remote0"; ++i)
    t.submit();
  EXPECT_EQ(told().winner.value, "local/cpu0") << "its budget is used up";
  EXPECT_EQ(t.take_all<grant_ticket>().back().granted.device.value, "local/remote0");
  t.submit();
  EXPECT_EQ(t.take_all<grant_ticket>().back().granted.device.value, "local/cpu0");
  t.drop_all();
}

TEST(Spill, EndsWithItsBudgetWhichComesBackOverAnHour) {
  // Half a second each at 7,200,000 an hour: 1,000 and a little; the budget has room for three.
  core_fixture t(using_remote(remote_use::overflow, 3'000));
  home_and_away(t, 72'000'000);
  t.pass_time_renewing(second);
  const auto devices = where(t, 12);
  const auto away = std::count(devices.begin(), devices.end(), "remote0");
  EXPECT_GE(away, 1);
  EXPECT_LT(away, 10) << "the rest waits here";
  EXPECT_GT(t.view().queue_depth, 0U);
  t.drop_all();
}

/// Tokens of an API at 10 and 20 per million, ten times as fast as the CPU.
device_spec paid_spec() {
  auto away = away_spec();
  away.capability.prices["storyteller"] = {10'000'000, 5'000'000, 20'000'000};
  return away;
}

/// Asks at once for the shortest story: 100 tokens to read and 50 to write are 2,000 micros.
grant_ticket ask(core_fixture& t) {
  t.submit();
  const auto granted = t.take_all<grant_ticket>();
  t.take_all<queue_notice>();
  return granted.empty() ? grant_ticket{} : granted.front();
}

/// A REMOTE whose tokens are paid for, and nobody else; one request runs there.
void only_away(core_fixture& t, const device_spec& away = paid_spec()) {
  t.join("local");
  t.declare(story_spec());
  t.advertise(away);
  t.submit();
  t.grant_next_allocation();
  t.take_all<queue_notice>();
  t.loaded(t.expect<load_replica>(), 100);
  ASSERT_EQ(t.take_all<grant_ticket>().size(), 1U);
}

void end_paid(core_fixture& t, const grant_ticket& granted,
              std::optional<std::uint64_t> cost_micros) {
  attempt_measurement measured;
  measured.usage = {100, 50, 0};
  measured.first_token_us = 5'000;
  measured.total_us = 55'000;
  measured.cost_micros = cost_micros;
  t.feed(attempt_finished{granted.granted.attempt, measured});
  t.take_all<record_request>();
}

/// How many requests start before no other does.
int starts(core_fixture& t, int most = 40) {
  int count = 0;
  while (count < most && ask(t).granted.attempt.number != 0)
    ++count;
  return count;
}

/// That device and a CPU of a low price, each with a replica.
void beside_a_cheap_cpu(core_fixture& t, const device_spec& away) {
  t.join("local");
  auto model = story_spec();
  model.replicas_min = 2;
  t.declare(model);
  auto here = cpu_spec();
  here.spec.cost_micros_per_hour = 100'000; // 28e-12 a microsecond: some 14 micros a request.
  t.advertise(here);
  t.finish_load(4);
  t.advertise(away);
  t.finish_load(100);
}

TEST(Spend, AStayThatWasShorterThanPredictedGivesTheRestBack) {
  core_fixture t(using_remote(remote_use::free, 3'000));
  only_away(t, away_spec(72'000'000)); // Half a second of it is 1,000 and a little.
  for (int at = 0; at < 12; ++at) {
    const auto granted = ask(t);
    ASSERT_FALSE(granted.granted.device.value.empty()) << at;
    t.finish(granted);
    t.drop_all();
  }
}

TEST(Spend, APriceOfTokensIsWeighed) {
  auto config = core_fixture::quiet();
  config.policy = policy_name{"cost"};
  for (const bool paid : {false, true}) {
    core_fixture t(config);
    beside_a_cheap_cpu(t, paid ? paid_spec() : away_spec());
    EXPECT_EQ(ask(t).granted.device.value, paid ? "local/cpu0" : "local/remote0");
    t.drop_all();
  }
}

TEST(Spend, AModelWithoutAPriceIsNoCheaperThanTheDearestOfItsProvider) {
  auto config = core_fixture::quiet();
  config.policy = policy_name{"cost"};
  core_fixture t(config);
  auto away = away_spec();
  away.capability.prices["another"] = {10'000'000, 10'000'000, 20'000'000};
  beside_a_cheap_cpu(t, away);
  EXPECT_EQ(ask(t).granted.device.value, "local/cpu0") << "nobody said that it is free";
  t.drop_all();
}

TEST(Spend, IsExplained) {
  for (const bool known : {true, false}) {
    auto config = core_fixture::quiet();
    config.policy = policy_name{"cost"};
    core_fixture t(config);
    auto away = paid_spec();
    if (!known)
      away.capability.prices = {{"another", {10'000'000, 10'000'000, 20'000'000}}};
    only_away(t, away);
    const auto told = t.tested().explain(t.request(), t.now());
    ASSERT_TRUE(told);
    const auto& one = told->decisions.at(0).candidates.at(0);
    EXPECT_EQ(one.reason.find("is not known") == std::string::npos, known) << one.reason;
    std::int64_t money = 0;
    for (const auto& term : one.terms)
      if (term.name == "money")
        money = term.value;
    EXPECT_GE(money, 1'000'000'000) << "100 tokens to read are 1,000 micros";
    t.drop_all();
  }
}

TEST(Spend, TokensAreTakenFromTheBudgetAsPredicted) {
  core_fixture t(using_remote(remote_use::free, 9'000));
  only_away(t);
  const auto more = starts(t);
  EXPECT_GE(more, 1);
  EXPECT_LT(more, 9) << "each is to cost 1,000 micros at least";
  t.drop_all();
}

TEST(Spend, WhatWasCheaperThanPredictedGivesTheRestBack) {
  core_fixture dear(using_remote(remote_use::free, 9'000));
  core_fixture cheap(using_remote(remote_use::free, 9'000));
  int begun_dear = 0, begun_cheap = 0;
  only_away(dear);
  only_away(cheap);
  for (int round = 0; round < 30; ++round) {
    if (const auto one = ask(dear); one.granted.attempt.number != 0) {
      ++begun_dear;
      end_paid(dear, one, 3'000);
    }
    if (const auto one = ask(cheap); one.granted.attempt.number != 0) {
      ++begun_cheap;
      end_paid(cheap, one, 10);
    }
  }
  EXPECT_LE(begun_dear, 4) << "3,000 each";
  EXPECT_EQ(begun_cheap, 30) << "300 in all";
  dear.drop_all();
  cheap.drop_all();
}

TEST(Spend, WhatWasRefusedCostsNothing) {
  core_fixture t(using_remote(remote_use::free, 9'000));
  only_away(t);
  int begun = 0;
  for (int round = 0; round < 30; ++round)
    if (const auto one = ask(t); one.granted.attempt.number != 0) {
      ++begun;
      attempt_failed failed{one.granted.attempt, {recovery::refuse, "bad", "no"}, 0, false};
      failed.cost_micros = 0;
      t.feed(failed);
      t.take_all<reject_request>();
      t.take_all<record_request>();
    }
  EXPECT_EQ(begun, 30);
  t.drop_all();
}

/// By those of the whole answer, also where none were told of on the way.
TEST(Spend, WhatIsNotToldIsReckonedByItsTokens) {
  for (const bool streamed : {true, false}) {
    core_fixture t(using_remote(remote_use::free, 9'000));
    only_away(t);
    int begun = 0;
    for (int round = 0; round < 30; ++round)
      if (const auto one = ask(t); one.granted.attempt.number != 0) {
        ++begun;
        t.start(one);
        if (streamed)
          t.progress(one, 50);
        end_paid(t, one, std::nullopt);
      }
    EXPECT_GE(begun, 3);
    EXPECT_LE(begun, 6) << "2,000 each";
    t.drop_all();
  }
}

/// 1,000 an hour, of which one answer took 3,001: two hours and 7.2 seconds of debt.
void overspend(core_fixture& t, std::uint64_t cost_micros = 3'000) {
  t.join("local");
  t.declare(story_spec());
  t.advertise(paid_spec());
  t.submit();
  t.grant_next_allocation();
  t.take_all<queue_notice>();
  t.loaded(t.expect<load_replica>(), 100);
  const auto granted = t.take_all<grant_ticket>();
  ASSERT_EQ(granted.size(), 1U);
  end_paid(t, granted[0], cost_micros);
}
constexpr duration_us debt_us = 7'207'200'000;

TEST(Spend, WhoWaitsForTheBudgetIsToldSoAndUntilWhen) {
  for (const auto use : {remote_use::free, remote_use::overflow}) {
    core_fixture t(using_remote(use, 1'000));
    overspend(t);
    auto meta = t.request();
    meta.wait_us = 0;
    t.submit(meta);
    const auto words = "the budget for remote APIs is used up for now; some of it is back in "
                       + format_duration(debt_us);
    t.take_all<queue_notice>();
    const auto refused = t.take_all<reject_request>();
    ASSERT_EQ(refused.size(), 1U);
    EXPECT_EQ(refused[0].http_status, 503);
    EXPECT_EQ(refused[0].reason.message, "not available now: " + words);
    EXPECT_EQ(refused[0].eta_us, debt_us);
    EXPECT_EQ(refused[0].retry_after_us, limits::retry_after_max_us);
    const auto told = t.tested().explain(t.request(), t.now());
    ASSERT_TRUE(told);
    EXPECT_EQ(told->decisions.at(0).reason, words);
    EXPECT_EQ(told->starts_in_us, debt_us);
    EXPECT_EQ(told->decisions[0].candidates.at(0).reason,
              "is a remote API, and the budget for those is used up for now");
    t.drop_all();
  }
}

/// A debt of more than 100 million years, of a bill that nobody would believe.
TEST(Spend, TheEndOfAnEndlessDebtCanBeTold) {
  core_fixture t(using_remote(remote_use::free, 1));
  overspend(t, std::uint64_t{1} << 60U);
  t.submit();
  const auto told = t.take_all<queue_notice>();
  ASSERT_FALSE(told.empty());
  EXPECT_EQ(told.back().eta_us, limits::told_span_us_max);
  EXPECT_NE(
      told.back().reason.find("some of it is back in " + format_duration(limits::told_span_us_max)),
      std::string::npos)
      << told.back().reason;
  auto meta = t.request();
  meta.wait_us = 0;
  t.submit(meta);
  const auto refused = t.take_all<reject_request>();
  ASSERT_EQ(refused.size(), 1U);
  EXPECT_EQ(refused[0].eta_us, limits::told_span_us_max);
  const auto explained = t.tested().explain(t.request(), t.now());
  ASSERT_TRUE(explained);
  EXPECT_EQ(explained->starts_in_us, limits::told_span_us_max);
  t.drop_all();
}

TEST(Spend, OfOwnDevicesItIsToldWhatTheyDo) {
  core_fixture t(using_remote(remote_use::overflow, 1'000));
  overspend(t);
  t.advertise(cpu_spec());
  t.submit();
  EXPECT_EQ(t.take_all<queue_notice>().back().reason, "loading for local/cpu0");
  t.drop_all();
}

TEST(Spend, MoreThanAnHourOfDebtIsPaidOffInTime) {
  core_fixture t(using_remote(remote_use::free, 1'000));
  overspend(t);
  t.pass_time_renewing(debt_us - 2 * second);
  EXPECT_EQ(starts(t, 1), 0);
  t.drop_all();
  t.pass_time_renewing(4 * second);
  EXPECT_EQ(t.take_all<grant_ticket>().size(), 1U) << "who waited";
  t.drop_all();
}

/// Keeps what is told, as a scheduler's owner does.
struct keeper {
  std::uint64_t micros = 0;
  int times = 0;
  void look(core_fixture& t) {
    const auto told = t.tested().remote_spent_to_keep();
    if (!told)
      return;
    micros = *told;
    ++times;
  }
  [[nodiscard]] core_config next_life(std::uint64_t budget, duration_us away_us) const {
    auto config = using_remote(remote_use::free, budget);
    config.remote_spent_micros = micros;
    config.remote_spent_age_us = away_us;
    return config;
  }
};

TEST(Spend, ARestartGivesNothingBackThatTimeDoesNot) {
  constexpr std::uint64_t budget
      = 9'000; // Five answers at 2,001 micros, the last of which overdraws.
  core_fixture first(using_remote(remote_use::free, budget));
  only_away(first);
  const auto begun = static_cast<std::uint64_t>(1 + starts(first));
  keeper kept;
  kept.look(first);
  EXPECT_GT(kept.micros, budget);
  EXPECT_GE(kept.micros, begun * 2'001);
  EXPECT_LE(kept.micros, begun * 2'001 + 200) << "a part of 64 more";
  first.drop_all();
  for (const auto away : {duration_us{0}, second, 1'800 * second, 100'000 * second}) {
    core_fixture next(kept.next_life(budget, away));
    home_and_away(next);
    const auto* there = away > 60 * second ? "remote0" : "cpu0";
    EXPECT_EQ(where(next, 1), std::vector<std::string>{there}) << away;
    next.drop_all();
  }
}

TEST(Spend, IsKeptRarelyAndNeverForLessThanItIs) {
  constexpr std::uint64_t budget = 1'000'000; // A part of 64 is eight answers at 2,001.
  core_fixture t(using_remote(remote_use::free, budget));
  EXPECT_FALSE(t.tested().remote_spent_to_keep()) << "nothing was spent";
  only_away(t);
  keeper kept;
  for (std::uint64_t spent = 2'001; spent < 200'000; spent += 2'001) {
    kept.look(t);
    EXPECT_GE(kept.micros, spent);
    const auto one = ask(t);
    ASSERT_NE(one.granted.attempt.number, 0U);
    end_paid(t, one, 2'000);
  }
  EXPECT_GE(kept.times, 10);
  EXPECT_LE(kept.times, 14);
  t.drop_all();
}

TEST(Spend, WhatCameBackOfAPredictionIsKeptASecondLater) {
  constexpr std::uint64_t budget = 9'000;
  core_fixture t(using_remote(remote_use::free, budget));
  only_away(t);
  keeper kept;
  const auto one = ask(t);
  kept.look(t);
  EXPECT_GE(kept.micros, 4'000U);
  end_paid(t, one, 10);
  kept.look(t);
  EXPECT_EQ(kept.times, 1) << "a burst is one note";
  t.pass_time(second + second / 10);
  kept.look(t);
  EXPECT_EQ(kept.times, 2);
  EXPECT_LE(kept.micros, 2'200U) << "the first still runs";
  t.drop_all();
}

TEST(Spend, WithoutABudgetNothingIsKept) {
  core_fixture t(using_remote(remote_use::free));
  only_away(t);
  EXPECT_GT(starts(t, 3), 0);
  EXPECT_FALSE(t.tested().remote_spent_to_keep());
  t.drop_all();
}

/// A budget that nobody used is one hour's, not two.
TEST(Spend, WhatWasNotSpentIsNotSavedUp) {
  core_fixture t(using_remote(remote_use::free, 9'000));
  t.pass_time(3'600 * second);
  only_away(t);
  EXPECT_LE(starts(t), 4) << "each is to cost 2,001 micros";
  t.drop_all();
}

} // namespace

} // namespace consort::core::testing
