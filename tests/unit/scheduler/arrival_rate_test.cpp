// SPDX-License-Identifier: Apache-2.0
#include "scheduler/arrival_rate.hpp"

#include <gtest/gtest.h>

namespace consort::core {

namespace {

/// So many, evenly spread from `from` on. Returns: when the last one came.
time_us come(arrival_rate& rate, int count, time_us from, duration_us apart) {
  for (int at = 0; at < count; ++at)
    rate.saw(from + at * apart);
  return from + (count - 1) * apart;
}

TEST(ArrivalRate, IsSeenSoonAfterTheBeginning) {
  arrival_rate rate;
  EXPECT_EQ(rate.per_1000_s(0), 0);
  const auto last = come(rate, 20, 1, limits::second_us / 2);
  EXPECT_NEAR(static_cast<double>(rate.per_1000_s(last)), 2'000, 200);
}

TEST(ArrivalRate, OneAloneIsNotTakenForManyAtOnce) {
  arrival_rate rate;
  rate.saw(5);
  EXPECT_LE(rate.per_1000_s(5), 4'000 * limits::second_us / limits::rate_window_us);
}

TEST(ArrivalRate, FollowsOverTwoWindows) {
  arrival_rate rate;
  auto last = come(rate, 120, 1, limits::second_us / 2);
  EXPECT_NEAR(static_cast<double>(rate.per_1000_s(last)), 2'000, 100);
  last = come(rate, 20, last + limits::second_us, 4 * limits::second_us);
  EXPECT_NEAR(static_cast<double>(rate.per_1000_s(last)), 250, 40);
}

TEST(ArrivalRate, ForgetsAfterTwoWindowsOfQuiet) {
  arrival_rate rate;
  const auto last = come(rate, 120, 1, limits::second_us / 2);
  rate.saw(last + 3 * limits::rate_window_us);
  EXPECT_LE(rate.per_1000_s(last + 3 * limits::rate_window_us), 134);
}

} // namespace

} // namespace consort::core
