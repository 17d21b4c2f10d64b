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

TEST(CostModel, GapGrowsWithTheBatch) {
  const auto speed = seeded_speed(sheet());
  EXPECT_EQ(speed.itl_ns(1), 10'000'000U);
  EXPECT_EQ(speed.itl_ns(11), 20'000'000U);
}

TEST(CostModel, LearnsPrefillAndDecode) {
  auto speed = seeded_speed(sheet());
  for (int i = 0; i < 60; ++i)
    EXPECT_TRUE(learn(speed, measured(1'000, 101, 50'000, 5'000), 1));
  EXPECT_NEAR(speed.prefill_ns, 50'000, 1'000);
  EXPECT_NEAR(speed.decode_ns, 5'000'000, 100'000);
  EXPECT_NEAR(static_cast<double>(rate_of(speed.decode_ns)), 200, 5);
}

TEST(CostModel, LearnsTheGrowthFromFullBatches) {
  auto speed = seeded_speed(sheet());
  for (int i = 0; i < 60; ++i)
    learn(speed, measured(1'000, 101, 100'000, 40'000, 4), 1);
  EXPECT_EQ(speed.decode_ns, 10'000'000U);
  EXPECT_NEAR(speed.gain_pm, 1'000, 20);
}

TEST(CostModel, OneOutlierMovesItByAtMostThreeEighths) {
  auto speed = seeded_speed(sheet());
  learn(speed, measured(1'000, 101, 900'000'000, 50'000'000), 1);
  EXPECT_LE(speed.prefill_ns, 100'000U * 11 / 8 + 1);
  EXPECT_LE(speed.decode_ns, 10'000'000U * 11 / 8 + 1);
}

TEST(CostModel, TakesOutQueueingAndCachedTokens) {
  auto speed = seeded_speed(sheet());
  auto one = measured(1'000, 1, 100'000, 0);
  one.engine_queue_us = 50'000;
  one.usage.cached_tokens = 500;
  learn(speed, one, 1);
  EXPECT_EQ(speed.prefill_ns, 100'000U);
}

TEST(CostModel, SaysNothingOfNonsense) {
  auto speed = seeded_speed(sheet());
  const auto before = speed;
  auto one = measured(1'000, 10, 1'000, 1'000);
  one.total_us = 10;
  EXPECT_FALSE(learn(speed, one, 1));
  one = {};
  EXPECT_FALSE(learn(speed, one, 0));
  EXPECT_EQ(speed, before);
}

TEST(CostModel, CountsSamplesOnlySoFar) {
  auto speed = seeded_speed(sheet());
  for (std::uint32_t i = 0; i < limits::explore_samples * 1'000 + 5; ++i)
    learn(speed, measured(1'000, 2, 100'000, 10'000), 1);
  EXPECT_EQ(speed.samples, limits::explore_samples * 1'000);
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
