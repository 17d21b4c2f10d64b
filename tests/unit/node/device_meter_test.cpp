// SPDX-License-Identifier: Apache-2.0
#include "node/device_meter.hpp"

#include <gmock/gmock.h>

namespace consort::node {
namespace {

session_stats stats(std::uint64_t tokens, std::uint64_t cancelled, std::uint32_t running) {
  session_stats made;
  made.tokens_generated_total = tokens;
  made.steps_total = tokens / 2;
  made.cancelled_total = cancelled;
  made.sequences_running = running;
  return made;
}

TEST(DeviceMeter, KnowsNothingBeforeAnythingHappened) {
  device_meter meter(0);
  meter.count({});
  meter.pass(1'000'000, std::nullopt);
  EXPECT_EQ(meter.engines(), std::nullopt);
  EXPECT_EQ(meter.energy_mj(), std::nullopt);
  EXPECT_EQ(meter.cost_micros(), std::nullopt);
}

TEST(DeviceMeter, SumsOverEnginesAndKeepsWhatEndedOnesDid) {
  device_meter meter(0);
  meter.count({{instance_id(1), stats(10, 1, 2)}, {instance_id(2), stats(20, 0, 1)}});
  EXPECT_EQ(meter.engines(), (engine_counters{30, 15, 1, 3}));
  meter.count({{instance_id(2), stats(24, 2, 0)}});
  EXPECT_EQ(meter.engines(), (engine_counters{34, 17, 3, 0})) << "the first one is unloaded";
  meter.count({});
  EXPECT_EQ(meter.engines(), (engine_counters{34, 17, 3, 0})) << "counters never go back";
}

TEST(DeviceMeter, EnergyIsPowerTimesTimeOverSpansOfAnyLength) {
  device_meter meter(0);
  for (int i = 0; i < 1'000; ++i)
    meter.pass(333, 7); // 2,331 nJ each: far less than a millijoule.
  EXPECT_EQ(meter.energy_mj(), 2U);
  meter.pass(2'000'000, 12'500);
  EXPECT_EQ(meter.energy_mj(), 25'002U);
  meter.pass(2'000'000, std::nullopt);
  EXPECT_EQ(meter.energy_mj(), 25'002U) << "an unread span adds nothing";
}

TEST(DeviceMeter, CostIsTheRateTimesTimeAndTimeDoesNotGoBack) {
  device_meter meter(3'600'000); // 3.60 an hour = 1,000 micros a second.
  meter.pass(1'500'000, std::nullopt);
  EXPECT_EQ(meter.cost_micros(), 1'500U);
  meter.pass(-5, std::nullopt);
  EXPECT_EQ(meter.cost_micros(), 1'500U);
}

TEST(DeviceMeter, WhatEnginesPaidPerTokenIsPartOfTheCost) {
  device_meter meter(0);
  auto paying = stats(10, 0, 1);
  paying.cost_micros_total = 70;
  meter.count({{instance_id(1), paying}});
  EXPECT_EQ(meter.cost_micros(), 70U);
  meter.count({});
  EXPECT_EQ(meter.cost_micros(), 70U) << "counters never go back";
}

} // namespace
} // namespace consort::node
