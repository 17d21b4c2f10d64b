// SPDX-License-Identifier: Apache-2.0
#include "cli/scheduler_clock.hpp"

#include <gtest/gtest.h>

namespace consort::cli {
namespace {

constexpr duration_us week_us = 7LL * 24 * 3'600 * 1'000'000;

TEST(SchedulerClock, FollowsEverySchedulerAndKeepsItsOwnSpans) {
  scheduler_clock clock;
  const auto began = clock.steady();
  clock.set(week_us);
  EXPECT_GE(clock.now(), week_us);
  clock.set(5); // Another one, which has just begun.
  EXPECT_LT(clock.now(), week_us / 2);
  const auto span = clock.steady() - began;
  EXPECT_GE(span, 0);
  EXPECT_LT(span, week_us / 2);
}

} // namespace
} // namespace consort::cli
