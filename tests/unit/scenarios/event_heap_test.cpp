// SPDX-License-Identifier: Apache-2.0
#include "scenarios/sim/event_heap.hpp"

#include "scenarios/sim/random.hpp"

#include <gtest/gtest.h>

#include <array>
#include <functional>
#include <map>
#include <memory>
#include <vector>

namespace consort::sim {
namespace {

TEST(EventHeap, RunsByTimeAndThenByOrderOfScheduling) {
  event_heap heap;
  std::vector<int> ran;
  heap.at(20, [&] { ran.push_back(3); });
  heap.at(10, [&] { ran.push_back(1); });
  heap.at(20, [&] { ran.push_back(4); });
  heap.at(10, [&] { ran.push_back(2); });
  while (heap.run_next()) {
  }
  EXPECT_EQ(ran, (std::vector<int>{1, 2, 3, 4}));
  EXPECT_EQ(heap.now(), 20);
  EXPECT_EQ(heap.steps(), 4U);
}

TEST(EventHeap, KeepsTimeMonotonicWhateverIsScheduled) {
  event_heap heap;
  random_source chance(1, "heap");
  time_us last = 0;
  int left = 2'000;
  std::function<void()> again = [&] {
    EXPECT_GE(heap.now(), last);
    last = heap.now();
    if (left-- > 0)
      heap.at(static_cast<time_us>(chance.bits() % 5'000), again);
  };
  for (int at = 0; at < 10; ++at)
    heap.at(static_cast<time_us>(chance.bits() % 1'000), again);
  while (heap.run_next()) {
  }
  EXPECT_LE(left, 0);
}

TEST(EventHeap, TreatsThePastAsNow) {
  event_heap heap;
  bool ran = false;
  heap.at(50, [&] {
    heap.at(10, [&] { ran = true; });
    EXPECT_EQ(heap.next_time(), 50);
  });
  while (heap.run_next()) {
  }
  EXPECT_TRUE(ran);
  EXPECT_EQ(heap.now(), 50);
}

TEST(EventHeap, LookingAheadDoesNotKeepAnEarlierOneFromComingFirst) {
  event_heap heap;
  std::vector<int> ran;
  const auto note
      = [&](time_us when, int what) { heap.at(when, [&, what] { ran.push_back(what); }); };
  note(5'000, 3);
  note(5'000, 4);
  note(70'000, 6);
  EXPECT_EQ(heap.next_time(), 5'000);
  note(4'999, 2);
  note(5'000, 5);
  EXPECT_EQ(heap.next_time(), 4'999);
  note(1, 1);
  EXPECT_EQ(heap.next_time(), 1);
  while (heap.run_next()) {
  }
  EXPECT_EQ(ran, (std::vector<int>{1, 2, 3, 4, 5, 6}));
}

// Goal: any mixture of near, far and equal times, with looks ahead between them, runs in the order
// of a list that is sorted by time and keeps equal times as they came.
TEST(EventHeap, RunsInTheOrderOfAStableSort) {
  event_heap heap;
  random_source chance(7, "order");
  std::multimap<time_us, int> expected;
  std::vector<int> ran;
  int made = 0;
  for (int round = 0; round < 20'000; ++round) {
    const auto span = static_cast<time_us>(1) << (chance.bits() % 40);
    if (chance.unit() < 0.55) {
      const auto when = heap.now() + static_cast<time_us>(chance.bits() % 64) * span / 64;
      heap.at(when, [&ran, what = made] { ran.push_back(what); });
      expected.emplace(when, made++);
    } else if (!heap.empty()) {
      if (chance.unit() < 0.5) {
        EXPECT_EQ(heap.next_time(), expected.begin()->first);
        continue;
      }
      heap.run_next();
      ASSERT_EQ(ran.back(), expected.begin()->second);
      ASSERT_EQ(heap.now(), expected.begin()->first);
      expected.erase(expected.begin());
    }
    ASSERT_EQ(heap.size(), expected.size());
  }
  for (const auto& [when, what] : expected) {
    ASSERT_TRUE(heap.run_next());
    ASSERT_EQ(ran.back(), what);
  }
  EXPECT_FALSE(heap.run_next());
}

TEST(EventHeap, WhatRunsIsGoneAfterwardsAndWhatNeverRunsWithItsHeap) {
  const auto held = std::make_shared<int>(1);
  std::array<char, 200> large{};
  {
    event_heap heap;
    heap.at(1, [held] {});
    heap.at(2, [held, large] { EXPECT_EQ(large.front(), 0); });
    heap.at(3, [held] {});
    EXPECT_EQ(held.use_count(), 4);
    heap.run_next();
    heap.run_next();
    EXPECT_EQ(held.use_count(), 2);
  }
  EXPECT_EQ(held.use_count(), 1);
}

TEST(EventHeap, AnActionMayScheduleSoManyThatItsRoomGrows) {
  event_heap heap;
  int ran = 0;
  const auto first = std::make_shared<int>(42);
  heap.at(1, [&, first] {
    for (int at = 0; at < 10'000; ++at)
      heap.at(2, [&] { ++ran; });
    EXPECT_EQ(*first, 42) << "what runs stays where it is";
  });
  while (heap.run_next()) {
  }
  EXPECT_EQ(ran, 10'000);
}

} // namespace
} // namespace consort::sim
