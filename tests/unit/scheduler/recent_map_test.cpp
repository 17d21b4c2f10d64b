// SPDX-License-Identifier: Apache-2.0
#include "scheduler/recent_map.hpp"

#include <algorithm>
#include <deque>
#include <gtest/gtest.h>

namespace consort::core {

namespace {

/// 0 = not there.
int value_of(const recent_map<int>& map, std::uint64_t key) {
  const auto* found = map.find(key);
  return found == nullptr ? 0 : *found;
}

TEST(RecentMap, KeepsWhatWasWrittenUntilItIsTheOldest) {
  recent_map<int> map(2);
  map.touch(7) = 70;
  map.touch(8) = 80;
  EXPECT_EQ(value_of(map, 7), 70);
  map.touch(9) = 90;
  EXPECT_EQ(map.size(), 2U);
  EXPECT_EQ(value_of(map, 7), 0) << "to be looked at makes nobody newer";
  EXPECT_EQ(value_of(map, 8), 80);
  EXPECT_EQ(value_of(map, 9), 90);
}

TEST(RecentMap, WhatIsTouchedStaysAsItWasAndIsForgottenLast) {
  recent_map<int> map(2);
  map.touch(7) = 70;
  map.touch(8) = 80;
  EXPECT_EQ(map.touch(7), 70);
  map.touch(9) = 90;
  EXPECT_EQ(value_of(map, 7), 70);
  EXPECT_EQ(value_of(map, 8), 0);
}

TEST(RecentMap, WhoeverComesHasNothingOfWhoWasForgotten) {
  recent_map<int> map(1);
  map.touch(7) = 70;
  EXPECT_EQ(map.touch(8), 0);
  EXPECT_EQ(map.size(), 1U);
  EXPECT_EQ(map.touch(7), 0);
}

TEST(RecentMap, KeyNoneTakesNobodysPlace) {
  recent_map<int> map(1);
  map.touch(7) = 70;
  map.touch(0) = 1;
  EXPECT_EQ(map.touch(0), 0);
  EXPECT_EQ(map.find(0), nullptr);
  EXPECT_EQ(value_of(map, 7), 70);
  EXPECT_EQ(map.size(), 1U);
}

// Goal: links and places stay one list, whatever the order of touches. Against a queue of keys.
TEST(RecentMap, ForgetsInTheOrderOfTouches) {
  constexpr std::size_t most = 5;
  recent_map<int> map(most);
  std::deque<std::uint64_t> newest_last;
  prng chance(1);
  for (int step = 1; step <= 2'000; ++step) {
    const auto key = 1 + chance.below(9);
    map.touch(key) = step;
    std::erase(newest_last, key);
    newest_last.push_back(key);
    if (newest_last.size() > most)
      newest_last.pop_front();
    ASSERT_EQ(map.size(), newest_last.size());
    for (std::uint64_t each = 1; each <= 9; ++each)
      ASSERT_EQ(map.find(each) != nullptr,
                std::find(newest_last.begin(), newest_last.end(), each) != newest_last.end());
    ASSERT_EQ(value_of(map, key), step);
  }
}

} // namespace

} // namespace consort::core
