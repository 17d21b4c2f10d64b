// SPDX-License-Identifier: Apache-2.0
#include "scheduler/cost_model.hpp"

#include "scheduler/limits.hpp"

#include <gtest/gtest.h>

namespace consort::core {

namespace {

speed_spec sheet() {
  speed_spec spec;
  spec.prefill_tokens_per_s = 10'000;
  spec.decode_tokens_per_s = 100;
  spec.decode_batch_gain_pm = 100;
  spec.load_us = 2'000'000;
  return spec;
}

attempt_measurement measured(std::uint32_t prompt, std::uint32_t completion, duration_us first_us,
                             duration_us gap_us, std::uint32_t batch = 1) {
  attempt_measurement one;
  one.usage = {prompt, completion, 0};
  one.first_token_us = first_us;
  one.total_us = first_us + gap_us * (completion - 1);
  one.batch = batch;
  return one;
}

TEST(CostModel, SeedsFromTheSpecSheet) {
  const auto speed = seeded_speed(sheet());
  EXPECT_EQ(speed.prefill_ns, 100'000U);
  EXPECT_EQ(speed.decode_ns, 10'000'000U);
  EXPECT_EQ(speed.load_us, 2'000'000);
  EXPECT_EQ(speed.samples, 0U);
}

TEST(CostModel, SilentSpecSheetGetsSlowGuesses) {
  const auto speed = seeded_speed({});
  EXPECT_GT(speed.prefill_ns, 0U);
  EXPECT_GT(speed.decode_ns, 0U);
  EXPECT_EQ(speed.load_us, limits::load_guess_us);
}

TEST(CostModel, ALoadMayTakeFourTimesWhatTheSpecSheetSaysWithinBounds) {
  device_spec device;
  auto& sheet = device.spec;
  EXPECT_EQ(load_timeout(device), limits::load_timeout_us);
  sheet.load_us = limits::load_timeout_us;
  EXPECT_EQ(load_timeout(device), 4 * limits::load_timeout_us);
  sheet.load_us = 100 * limits::load_timeout_us_max;
  EXPECT_EQ(load_timeout(device), limits::load_timeout_us_max);
  EXPECT_EQ(seeded_speed(sheet).load_us, limits::load_timeout_us_max);
}

TEST(CostModel, ALoadMayTakeLongerThanTheRuntimeItselfWaits) {
  device_spec device;
  device.capability.load_limit_us = 2 * 3'600 * limits::second_us;
  EXPECT_EQ(load_timeout(device), device.capability.load_limit_us + limits::load_timeout_us);
  device.capability.load_limit_us = 100 * limits::load_timeout_us_max;
  EXPECT_EQ(load_timeout(device), limits::load_timeout_us_max + limits::load_timeout_us);
}

/// An attempt of a second, beside others or alone, that drew so many watts of its device.
bool drew(power_estimate& power, std::uint64_t watts, std::uint32_t batch = 1,
          std::uint64_t sheet_mw = 100'000) {
  auto one = measured(100, 50, 20'000, 20'000);
  one.energy_mj = watts * static_cast<std::uint64_t>(one.total_us) / 1'000 / batch;
  return learn_power(power, one, sheet_mw, batch * 16);
}

TEST(CostModel, LearnsPowerOfWhatAttemptsWereCharged) {
  for (const std::uint32_t batch : {1U, 8U}) {
    power_estimate power;
    for (int i = 0; i < 20; ++i)
      drew(power, 40, batch);
    EXPECT_NEAR(power.learned_pm, 400, 4) << batch;
    EXPECT_NEAR(static_cast<double>(used_power_mw(power, 100'000)), 40'000, 2'500);
    EXPECT_NEAR(static_cast<double>(power.token_uj), 40e6 / 50 / batch, 1e6 / batch);
  }
}

TEST(CostModel, DecisionsFollowPowerByStepsOnceItIsKnown) {
  power_estimate power;
  for (std::uint32_t i = 1; i < limits::explore_samples; ++i)
    EXPECT_FALSE(drew(power, 40)) << "too few";
  EXPECT_EQ(power.used_pm, 1'000U);
  EXPECT_TRUE(drew(power, 40));
  EXPECT_NEAR(power.used_pm, 400, 4);
  for (int i = 0; i < 50; ++i)
    EXPECT_FALSE(drew(power, 41)) << "too near";
  int moved = 0;
  for (int i = 0; i < 50; ++i)
    moved += drew(power, 60) ? 1 : 0;
  EXPECT_GT(moved, 0);
  EXPECT_LT(moved, 4);
  EXPECT_NEAR(power.used_pm, 600, 120);
}

TEST(CostModel, OneOutlierMovesPowerByItsShareAndNoneBeyondItsBounds) {
  power_estimate power;
  for (int i = 0; i < 20; ++i)
    drew(power, 100);
  drew(power, 100'000);
  EXPECT_LT(power.learned_pm, 1'400U);
  for (int i = 0; i < 200; ++i)
    drew(power, 1'000'000);
  EXPECT_EQ(power.learned_pm, limits::power_pm_max);
  for (int i = 0; i < 200; ++i)
    drew(power, 0);
  EXPECT_EQ(power.learned_pm, limits::power_pm_min);
}

TEST(CostModel, EnergyThatIsUnknownOrCannotBeToldTeachesNothing) {
  power_estimate power;
  auto one = measured(100, 50, 20'000, 20'000);
  EXPECT_FALSE(learn_power(power, one, 100'000, 16));
  one.energy_mj = 1;
  EXPECT_FALSE(learn_power(power, one, 0, 16)) << "a device that draws nothing";
  one.total_us = one.first_token_us = 40;
  EXPECT_FALSE(learn_power(power, one, 100'000, 16)) << "4 mJ by its sheet";
  one.total_us = -1;
  EXPECT_FALSE(learn_power(power, one, 100'000, 16));
  EXPECT_EQ(power, power_estimate{});
}

TEST(CostModel, GapGrowsWithTheBatch) {
  const auto speed = seeded_speed(sheet());
  EXPECT_EQ(speed.itl_ns(1), 10'000'000U);
  EXPECT_EQ(speed.itl_ns(11), 20'000'000U);
}

/// One device of a kind of its own.
struct learner {
  speed_pool pool = seeded_pool(sheet());
  device_pace pace;
  speed_estimate speed = seeded_speed(sheet());
  bool learns(const attempt_measurement& from, const attempt_context& context = {}) {
    const bool learned = learn(pool, pace, from, context);
    derive(pool, pace, speed);
    return learned;
  }
  [[nodiscard]] double first_us(double tokens) const {
    return (speed.first_ns + speed.prefill_ns * tokens) / 1e3;
  }
};

TEST(CostModel, PoolOfASpecSheetSaysWhatTheSheetSays) {
  learner one;
  derive(one.pool, one.pace, one.speed);
  EXPECT_NEAR(one.speed.prefill_ns, 100'000, 100);
  EXPECT_NEAR(one.speed.decode_ns, 10'000'000, 10'000);
  EXPECT_NEAR(one.speed.gain_pm, 100, 1);
  EXPECT_LT(one.speed.first_ns, 100'000U);
}

TEST(CostModel, LearnsPrefillAndDecode) {
  learner one;
  for (int i = 0; i < 60; ++i)
    EXPECT_TRUE(one.learns(measured(1'000, 101, 50'000, 5'000)));
  EXPECT_NEAR(one.first_us(1'000), 50'000, 1'000);
  EXPECT_NEAR(one.speed.itl_ns(1), 5'000'000, 100'000);
}

TEST(CostModel, LearnsWhatComesBeforeAnyToken) {
  learner one;
  for (int i = 0; i < 200; ++i)
    one.learns(measured(i % 2 == 0 ? 100 : 4'000, 2, i % 2 == 0 ? 30'000 : 225'000, 10'000));
  EXPECT_NEAR(one.speed.first_ns / 1e3, 25'000, 2'500);
  EXPECT_NEAR(one.speed.prefill_ns, 50'000, 2'500);
}

TEST(CostModel, LearnsTheGrowthFromBatchesOfManySizes) {
  learner one;
  for (int i = 0; i < 400; ++i) {
    const auto batch = 1U + static_cast<std::uint32_t>(i % 16);
    one.learns(measured(1'000, 101, 100'000, 8'000 + 2'000 * (batch - 1), batch));
  }
  EXPECT_NEAR(one.speed.itl_ns(1) / 1e3, 8'000, 800);
  EXPECT_NEAR(one.speed.itl_ns(16) / 1e3, 38'000, 3'800);
}

TEST(CostModel, FullBatchesAloneDoNotMakeASequenceFree) {
  learner one;
  for (int i = 0; i < 600; ++i)
    one.learns(measured(1'000, 101, 100'000, 60'000, 30));
  EXPECT_NEAR(one.speed.itl_ns(30) / 1e3, 60'000, 3'000);
  EXPECT_GE(one.speed.itl_ns(1) / 1e3, 400);
}

TEST(CostModel, OneOutlierMovesLittle) {
  learner one;
  for (int i = 0; i < 50; ++i)
    one.learns(measured(1'000, 101, 100'000, 10'000));
  one.learns(measured(1'000, 101, 900'000'000, 50'000'000));
  EXPECT_LE(one.first_us(1'000), 120'000);
  EXPECT_LE(one.speed.itl_ns(1), 12'000'000U);
}

TEST(CostModel, DriftIsFollowedWithinTenAttempts) {
  learner one;
  for (int i = 0; i < 100; ++i)
    one.learns(measured(1'000, 101, 100'000, 10'000));
  for (int i = 0; i < 10; ++i)
    one.learns(measured(1'000, 101, 300'000, 30'000));
  EXPECT_NEAR(one.first_us(1'000), 300'000, 45'000);
  EXPECT_NEAR(one.speed.itl_ns(1) / 1e3, 30'000, 4'500);
}

TEST(CostModel, KindIsLearnedOnceForAllAndDevicesDiffer) {
  auto pool = seeded_pool(sheet());
  device_pace known, slow, fresh;
  for (int i = 0; i < 100; ++i) {
    learn(pool, known, measured(1'000, 101, 50'000, 5'000), {});
    learn(pool, slow, measured(1'000, 101, 100'000, 10'000), {});
  }
  speed_estimate fast_speed, slow_speed, fresh_speed;
  derive(pool, known, fast_speed);
  derive(pool, slow, slow_speed);
  derive(pool, fresh, fresh_speed);
  EXPECT_NEAR(static_cast<double>(slow_speed.itl_ns(1)) / fast_speed.itl_ns(1), 2, 0.2);
  EXPECT_LT(fresh_speed.itl_ns(1), 10'100'000U) << "better known than its spec sheet";
}

TEST(CostModel, TakesOutQueueingAndCachedTokens) {
  learner told;
  auto one = measured(1'000, 1, 100'000, 0);
  one.engine_queue_us = 50'000;
  one.usage.cached_tokens = 500;
  for (int i = 0; i < 20; ++i)
    told.learns(one);
  EXPECT_NEAR(told.first_us(1'000), 100'000, 2'000);

  learner ledger;
  for (int i = 0; i < 20; ++i)
    ledger.learns(measured(1'000, 1, 150'000, 0), {1, 50'000'000, 0, 0, 1});
  EXPECT_NEAR(ledger.first_us(1'000), 100'000, 2'000) << "by our own ledger";

  learner silent;
  for (int i = 0; i < 20; ++i)
    silent.learns(measured(1'000, 1, i % 2 == 0 ? 50'000 : 100'000, 0), {1, 0, 500, 0, 1});
  EXPECT_NEAR(silent.first_us(1'000), 100'000, 2'000) << "the time tells whether it was cached";
}

TEST(CostModel, MostlyQueueSaysNothingOfThePrompt) {
  learner one;
  EXPECT_FALSE(one.learns(measured(1'000, 1, 100'000, 0), {1, 90'000'000, 0, 0, 1}));
}

TEST(CostModel, SaysNothingOfNonsense) {
  learner one;
  auto wrong = measured(1'000, 10, 1'000, 1'000);
  wrong.total_us = 10;
  EXPECT_FALSE(one.learns(wrong));
  EXPECT_FALSE(one.learns({}, {0, 0, 0, 0, 0}));
  EXPECT_EQ(one.pace, device_pace{});
}

TEST(CostModel, CountsSamplesOnlySoFar) {
  learner one;
  for (std::uint32_t i = 0; i < limits::samples_max + 5; ++i)
    one.learns(measured(1'000, 2, 100'000, 10'000));
  EXPECT_EQ(one.pool.samples, limits::samples_max);
}

TEST(CostModel, LargestFiguresDoNotOverflow) {
  learner one;
  constexpr duration_us day = 86'400 * limits::second_us;
  for (const auto prompt : {1U, 16'777'216U, 5U, 4'000'000'000U})
    for (int i = 0; i < 50; ++i) {
      attempt_measurement wild;
      wild.usage = {prompt, 4'000'000'000U, 0};
      wild.first_token_us = i % 2 == 0 ? day : 1;
      wild.total_us = day;
      one.learns(wild, {1, i % 3 == 0 ? std::int64_t{1} << 59U : 0, prompt / 2, 1U << 20U, 65'536});
      EXPECT_GE(one.speed.prefill_ns, 1U);
      EXPECT_GE(one.speed.decode_ns, 1U);
    }
}

TEST(PredictionError, FollowsMedianAndNinetiethPercentile) {
  prediction_error error;
  for (int i = 0; i < 4'000; ++i)
    error.saw(1'000'000 + 10'000 * (i * 7 % 10), 1'000'000); // 0 to 9 per cent, all alike often.
  EXPECT_NEAR(error.p50_pm, 45, 12);
  EXPECT_NEAR(error.p90_pm, 85, 12);
  EXPECT_EQ(error.count, 4'000U);
}

TEST(LineFit, FindsALineThroughNoise) {
  line_fit line;
  line.seed(0, 1'000, 64, 4'096);
  for (int i = 0; i < 500; ++i) {
    const std::int64_t x = 32 << (i % 8);
    const std::int64_t exact = 400'000 + 250 * x;
    line.add(x, exact * (95 + i * 13 % 11) / 100);
  }
  for (const std::int64_t x : {64, 500, 2'000})
    EXPECT_NEAR(static_cast<double>(line.at(x)) / static_cast<double>(400'000 + 250 * x), 1, 0.05)
        << x;
}

TEST(DriftWatch, FiveInARowToOneSideAreNoOutliers) {
  drift_watch watch;
  for (const auto ratio : {1'500, 1'600, 900, 1'500, 1'400, 1'700, 1'600})
    EXPECT_EQ(watch.saw(ratio), 1'000);
  EXPECT_EQ(watch.saw(1'550), 1'550);
  EXPECT_EQ(watch.saw(1'550), 1'000) << "counts anew";
}

TEST(RobustMean, ArrivesFromBothSides) {
  std::int64_t mean = 1'000;
  for (int i = 0; i < 200; ++i)
    mean = robust_mean(mean, 3'000);
  EXPECT_EQ(mean, 3'000);
  for (int i = 0; i < 200; ++i)
    mean = robust_mean(mean, 7);
  EXPECT_EQ(mean, 7);
}

} // namespace

} // namespace consort::core
