// SPDX-License-Identifier: Apache-2.0
#include "scheduler/due_heap.hpp"

#include "scheduler/prng.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

namespace consort::core {

namespace {

TEST(DueHeap, EarliestFirstAndTiesBySlot) {
  due_heap heap;
  EXPECT_FALSE(heap.first());
  heap.set(3, 10);
  heap.set(1, 10);
  heap.set(2, 5);
  EXPECT_EQ(heap.first()->who, 2U);
  heap.drop(2);
  EXPECT_EQ(heap.first()->who, 1U);
}

TEST(DueHeap, SetAtMostLeavesAnEarlierOneAlone) {
  due_heap heap;
  heap.set(1, 10);
  heap.set_at_most(1, 20);
  EXPECT_EQ(heap.at(1), 10);
  heap.set_at_most(1, 5);
  EXPECT_EQ(heap.at(1), 5);
  heap.set(1, 30);
  EXPECT_EQ(heap.at(1), 30);
}

TEST(DueHeap, AgreesWithASortedMapUnderRandomUse) {
  due_heap heap;
  std::map<std::uint32_t, time_us> model;
  prng chance(7);
  for (int i = 0; i < 20'000; ++i) {
    const auto who = static_cast<std::uint32_t>(chance.below(50));
    const auto at = static_cast<time_us>(chance.below(100));
    if (chance.below(3) == 0) {
      heap.drop(who);
      model.erase(who);
    } else {
      heap.set(who, at);
      model[who] = at;
    }
    ASSERT_EQ(heap.size(), model.size());
    due_heap::entry best{1'000, 1'000};
    for (const auto& [slot, due] : model)
      best = std::min(best, due_heap::entry{due, slot});
    if (!model.empty()) {
      ASSERT_EQ(*heap.first(), best);
    }
  }
}

} // namespace

} // namespace consort::core
