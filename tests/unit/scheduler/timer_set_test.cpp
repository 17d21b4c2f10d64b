// SPDX-License-Identifier: Apache-2.0
#include "scheduler/timer_set.hpp"

#include <gtest/gtest.h>

namespace consort::core {

namespace {

timer due(time_us at, std::uint64_t who = 0) {
  return {at, timer_kind::lease, who};
}

TEST(TimerSet, FiresInOrderAndEachOnce) {
  timer_set tested;
  for (const auto at : {5, 1, 3, 1})
    tested.insert(due(at));
  EXPECT_EQ(tested.size(), 3U);
  for (const auto at : {1, 3, 5})
    EXPECT_EQ(tested.take_first(), due(at));
  EXPECT_TRUE(tested.empty());
}

TEST(TimerSet, OfTheSameTimeGoByKindAndWho) {
  timer_set tested;
  tested.insert(due(1, 2));
  tested.insert({1, timer_kind::model, 0});
  tested.insert(due(1, 1));
  EXPECT_EQ(tested.take_first(), due(1, 1));
  EXPECT_EQ(tested.take_first(), due(1, 2));
  EXPECT_EQ(tested.first(), (timer{1, timer_kind::model, 0}));
}

TEST(TimerSet, WhatFiredIsArmedAgainLikeANewOne) {
  timer_set tested;
  for (std::size_t at = 0; at < 2 * timer_set::spare_max; ++at)
    tested.insert(due(static_cast<time_us>(at)));
  while (!tested.empty())
    tested.take_first();
  tested.insert(due(7));
  tested.insert(due(7)); // There already: its memory is kept for the next.
  tested.insert(due(4));
  tested.erase(due(9)); // Nothing.
  EXPECT_EQ(tested.size(), 2U);
  tested.erase(due(4));
  EXPECT_EQ(tested.first(), due(7));
}

TEST(TimerSet, ACopyGoesItsOwnWay) {
  timer_set tested;
  tested.insert(due(1));
  tested.insert(due(2));
  tested.take_first();
  auto copy = tested;
  copy.insert(due(3));
  EXPECT_EQ(copy.size(), 2U);
  EXPECT_EQ(tested.size(), 1U);
}

} // namespace

} // namespace consort::core
