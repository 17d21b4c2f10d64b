// SPDX-License-Identifier: Apache-2.0
#include "scenarios/sim/event_heap.hpp"

#include "scenarios/sim/random.hpp"

#include <gtest/gtest.h>

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

} // namespace
} // namespace consort::sim
