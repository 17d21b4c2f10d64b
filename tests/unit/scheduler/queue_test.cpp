// SPDX-License-Identifier: Apache-2.0
#include "scheduler/queue.hpp"

#include "scheduler/limits.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace consort::core {

namespace {

struct row {
  lane_key key;
  queue_place place;
  waiting_request who;
};

row waiting(std::uint64_t sequence, priority_class priority, time_us deadline = 0,
            time_us since = 0) {
  return {{0, priority, deadline != 0},
          {deadline, sequence},
          {static_cast<std::uint32_t>(sequence), since}};
}

std::vector<std::uint64_t> order_of(std::vector<row> rows, time_us now) {
  std::sort(rows.begin(), rows.end(), [&](const row& a, const row& b) {
    return goes_before(a.key, a.place, a.who, b.key, b.place, b.who, now);
  });
  std::vector<std::uint64_t> order;
  for (const auto& one : rows)
    order.push_back(one.place.sequence);
  return order;
}

TEST(Queue, ClassesThenDeadlinesThenFirstCome) {
  const std::vector<row> rows
      = {waiting(1, priority_class::batch),           waiting(2, priority_class::standard),
         waiting(3, priority_class::standard, 9'000), waiting(4, priority_class::standard, 5'000),
         waiting(5, priority_class::interactive),     waiting(6, priority_class::interactive)};
  EXPECT_EQ(order_of(rows, 100), (std::vector<std::uint64_t>{5, 6, 4, 3, 2, 1}));
}

TEST(Queue, WhoStarvesGoesFirstAndTheOldestOfThemFirst) {
  const auto now = limits::starvation_us + 100;
  const std::vector<row> rows
      = {waiting(1, priority_class::batch, 0, 10), waiting(2, priority_class::standard, 0, 20),
         waiting(3, priority_class::interactive, 0, now)};
  EXPECT_EQ(order_of(rows, now), (std::vector<std::uint64_t>{1, 2, 3}));
  EXPECT_FALSE(starving({0, 0}, limits::starvation_us));
  EXPECT_TRUE(starving({0, 0}, limits::starvation_us + 1));
}

TEST(Queue, LanesGoWhenEmpty) {
  request_queue queue;
  const auto one = waiting(1, priority_class::standard);
  const auto two = waiting(2, priority_class::batch);
  queue.add(one.key, one.place, one.who);
  queue.add(two.key, two.place, two.who);
  queue.add(two.key, two.place, two.who);
  EXPECT_EQ(queue.size(), 2U);
  EXPECT_EQ(queue.lanes().size(), 2U);
  EXPECT_TRUE(queue.remove(one.key, one.place));
  EXPECT_FALSE(queue.remove(one.key, one.place));
  EXPECT_EQ(queue.lanes().size(), 1U);
  EXPECT_EQ(queue.size(), 1U);
}

TEST(Queue, PositionCountsWhoIsServedBefore) {
  request_queue queue;
  const auto rows = std::vector<row>{
      waiting(1, priority_class::standard), waiting(2, priority_class::standard),
      waiting(3, priority_class::interactive), waiting(4, priority_class::standard, 50)};
  for (const auto& one : rows)
    queue.add(one.key, one.place, one.who);
  EXPECT_EQ(queue.position(rows[2].key, rows[2].place), 1U);
  EXPECT_EQ(queue.position(rows[3].key, rows[3].place), 2U);
  EXPECT_EQ(queue.position(rows[0].key, rows[0].place), 3U);
  EXPECT_EQ(queue.position(rows[1].key, rows[1].place), 4U);
}

} // namespace

} // namespace consort::core
