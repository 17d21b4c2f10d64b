// SPDX-License-Identifier: Apache-2.0
#include "scheduler/queue.hpp"

#include "scheduler/limits.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace consort::core {

namespace {

constexpr lane_key standard{0, priority_class::standard};
constexpr lane_key batch{0, priority_class::batch};
constexpr lane_key interactive{0, priority_class::interactive};

tenant_key tenant(std::uint32_t at, std::uint32_t weight = 1) {
  return {at, 1, weight};
}

void add(request_queue& queue, const lane_key& key, std::uint64_t sequence, std::uint32_t who = 0,
         time_us deadline = queue_place::no_deadline, time_us since = 0) {
  queue.add(key, tenant(who), {deadline, sequence}, {static_cast<std::uint32_t>(sequence), since});
}

/// Takes everybody in order of service, each using `tokens`.
std::vector<std::uint64_t> drain(request_queue& queue, time_us now = 0, std::int64_t tokens = 10) {
  std::vector<std::uint64_t> order;
  while (!queue.empty()) {
    const auto* due = queue.aged_lane(now);
    std::optional<queue_head> best;
    if (due != nullptr)
      best = queue.head(*due, true, {});
    const bool aged = best.has_value();
    for (const auto& [key, lane] : queue.lanes())
      if (const auto head = queue.head(key, false, {});
          !aged && head && (!best || goes_before(*head, *best)))
        best = head;
    queue.charge(tenant(best->tenant), tokens);
    order.push_back(best->place.sequence);
    queue.remove(best->key, best->tenant, best->place);
    queue.granted(aged, now);
  }
  return order;
}

TEST(Queue, ClassesThenDeadlinesThenFirstCome) {
  request_queue queue;
  add(queue, batch, 1);
  add(queue, standard, 2);
  add(queue, standard, 3, 0, 9'000);
  add(queue, standard, 4, 0, 5'000);
  add(queue, interactive, 5);
  add(queue, interactive, 6);
  EXPECT_EQ(drain(queue), (std::vector<std::uint64_t>{5, 6, 4, 3, 2, 1}));
}

TEST(Queue, TenantsTakeTurnsByTokensAndWeight) {
  request_queue queue;
  for (std::uint64_t at = 1; at <= 9; ++at)
    add(queue, standard, at, 1);
  queue.add(standard, tenant(2, 2), {queue_place::no_deadline, 10}, {10, 0});
  std::map<std::uint32_t, std::int64_t> used;
  for (std::uint64_t at = 11; at <= 18; ++at)
    queue.add(standard, tenant(2, 2), {queue_place::no_deadline, at},
              {static_cast<std::uint32_t>(at), 0});
  for (int turn = 0; turn < 9; ++turn) {
    const auto head = queue.head(standard, false, {});
    // The second's requests are twice as long, and it has twice the weight.
    const std::int64_t tokens = head->tenant == 1 ? 100 : 200;
    queue.charge(tenant(head->tenant, head->tenant == 1 ? 1 : 2), tokens);
    used[head->tenant] += tokens;
    queue.remove(standard, head->tenant, head->place);
    EXPECT_LE(std::abs(used[1] - used[2] / 2), 200) << "one request of each";
  }
  EXPECT_NEAR(static_cast<double>(used[2]) / static_cast<double>(used[1]), 2.0, 0.5);
}

TEST(Queue, RestEarnsNoCredit) {
  request_queue queue;
  for (int i = 0; i < 100; ++i)
    queue.charge(tenant(1), 1'000); // Alone, with nobody waiting.
  for (std::uint64_t at = 1; at <= 6; ++at)
    add(queue, standard, at, 1);
  for (std::uint64_t at = 7; at <= 12; ++at)
    add(queue, standard, at, 2);
  const auto order = drain(queue);
  EXPECT_EQ(std::count_if(order.begin(), order.begin() + 6, [](auto at) { return at > 6; }), 3)
      << "from now on they take turns";
}

TEST(Queue, WhatWasCountedTooMuchIsGivenBack) {
  request_queue queue;
  add(queue, standard, 1, 1);
  add(queue, standard, 2, 2);
  queue.charge(tenant(1), 500);
  EXPECT_EQ(queue.head(standard, false, {})->tenant, 2U);
  queue.charge(tenant(2), 100);
  queue.charge(tenant(1), -450);
  EXPECT_EQ(queue.head(standard, false, {})->tenant, 1U);
  EXPECT_EQ(queue.use_of(tenant(1)), 50 * use_unit);
  EXPECT_EQ(queue.use_of({1, 2, 1}), 0) << "the row belongs to another now";
}

TEST(Queue, AgedLaneGetsEveryFourthGrant) {
  request_queue queue;
  const auto now = limits::starvation_us + 100;
  for (std::uint64_t at = 1; at <= 3; ++at)
    add(queue, batch, at);
  for (std::uint64_t at = 4; at <= 15; ++at)
    add(queue, interactive, at, 0, queue_place::no_deadline, now);
  EXPECT_EQ(drain(queue, now),
            (std::vector<std::uint64_t>{4, 5, 6, 1, 7, 8, 9, 2, 10, 11, 12, 3, 13, 14, 15}));
  EXPECT_FALSE(starving({0, 0}, limits::starvation_us));
  EXPECT_TRUE(starving({0, 0}, limits::starvation_us + 1));
}

/// Others whose deadlines are near come time and again.
TEST(Queue, InAnAgedTurnTheOldestGoesFirstWhateverItsDeadline) {
  request_queue queue;
  add(queue, standard, 1, 0, 90'000);
  add(queue, standard, 2);
  add(queue, standard, 3, 0, 5'000);
  EXPECT_EQ(queue.head(standard, false, {})->place.sequence, 3U);
  const auto aged = queue.head(standard, true, {});
  EXPECT_EQ(aged->place, (queue_place{90'000, 1}));
  EXPECT_TRUE(queue.contains(standard, aged->tenant, aged->place));
  EXPECT_EQ(queue.head(standard, true, {1})->place.sequence, 2U);
}

/// A tenant that had less goes before the oldest of another, with the oldest of its own.
TEST(Queue, InAnAgedTurnTenantsKeepTheirShares) {
  request_queue queue;
  add(queue, standard, 1, 1);
  add(queue, standard, 2, 2, 90'000);
  add(queue, standard, 3, 2, 5'000);
  queue.charge(tenant(1), 100);
  EXPECT_EQ(queue.head(standard, true, {})->place.sequence, 2U);
}

TEST(Queue, InAnAgedTurnNoDeadlineGoesBeforeTheOldest) {
  request_queue queue;
  add(queue, standard, 1);
  add(queue, standard, 2, 0, 1);
  EXPECT_EQ(queue.head(standard, false, {})->place.sequence, 2U);
  EXPECT_EQ(queue.head(standard, true, {})->place.sequence, 1U);
  EXPECT_EQ(queue.head(standard, false, {2})->place.sequence, 1U) << "looked past";
  EXPECT_FALSE(queue.head(standard, false, {1, 2}));
}

TEST(Queue, LanesGoWhenEmpty) {
  request_queue queue;
  add(queue, standard, 1);
  add(queue, batch, 2);
  add(queue, batch, 2);
  EXPECT_EQ(queue.size(), 2U);
  EXPECT_EQ(queue.lanes().size(), 2U);
  const queue_place first{queue_place::no_deadline, 1};
  EXPECT_TRUE(queue.contains(standard, 0, first));
  EXPECT_FALSE(queue.remove(standard, 7, first)) << "another tenant's line";
  EXPECT_TRUE(queue.remove(standard, 0, first));
  EXPECT_FALSE(queue.remove(standard, 0, first));
  EXPECT_EQ(queue.lanes().size(), 1U);
  EXPECT_EQ(queue.size(), 1U);
}

TEST(Queue, PositionCountsWhoIsServedBefore) {
  request_queue queue;
  for (std::uint64_t at = 1; at <= 4; ++at)
    add(queue, standard, at);
  add(queue, interactive, 5);
  const auto position = [&](const lane_key& key, std::uint64_t sequence) {
    return queue.position(key, 0, {queue_place::no_deadline, sequence});
  };
  EXPECT_EQ(position(interactive, 5), 1U);
  EXPECT_EQ(position(standard, 1), 2U);
  EXPECT_EQ(position(standard, 2), 3U);
  EXPECT_EQ(position(standard, 4), 5U);
  add(queue, standard, 6, 1);
  EXPECT_EQ(queue.position(standard, 1, {queue_place::no_deadline, 6}), 3U)
      << "its line's first takes the second turn";
}

TEST(Queue, PositionCountsOtherLanesOfItsSelectorAndClass) {
  request_queue queue;
  constexpr lane_key late{0, priority_class::standard, true};
  const auto position = [&](const lane_key& key, std::uint64_t sequence) {
    return queue.position(key, 0, {queue_place::no_deadline, sequence});
  };
  for (std::uint64_t at = 1; at <= 4; ++at)
    add(queue, late, at);
  add(queue, standard, 5);
  add(queue, late, 6);
  EXPECT_EQ(position(late, 1), 1U);
  EXPECT_EQ(position(standard, 5), 5U);
  EXPECT_EQ(position(late, 6), 6U);
}

TEST(Queue, WhoWaitsByChoiceOrIsLessUrgentIsBeforeNobody) {
  request_queue queue;
  constexpr lane_key late{0, priority_class::standard, true};
  for (std::uint64_t at = 1; at <= 4; ++at)
    add(queue, late, at);
  add(queue, standard, 5);
  add(queue, batch, 6);
  EXPECT_EQ(queue.before(interactive), 0U);
  EXPECT_EQ(queue.before(standard), 1U);
  EXPECT_EQ(queue.before(late), 5U);
  EXPECT_EQ(queue.before(batch), 2U);
}

TEST(Queue, DrainIsPredictedFromThePaceOfGrants) {
  request_queue queue;
  EXPECT_FALSE(queue.predicted_drain(1, 0)) << "nothing was granted yet";
  for (std::uint64_t at = 1; at <= 10; ++at)
    add(queue, standard, at);
  time_us now = 1;
  for (std::uint64_t at = 1; at <= 5; ++at, now += 200'000) {
    queue.remove(standard, 0, {queue_place::no_deadline, at});
    queue.granted(false, now);
  }
  now -= 200'000;
  EXPECT_EQ(queue.predicted_drain(5, now), 1'000'000);
  EXPECT_EQ(queue.predicted_drain(5, now + 800'000), 2'000'000) << "a grant is overdue";
}

TEST(Queue, HowLongNobodyCameIsNoPace) {
  request_queue queue;
  const auto serve = [&](std::uint64_t at, time_us now) {
    queue.remove(standard, 0, {queue_place::no_deadline, at});
    queue.granted(false, now);
  };
  add(queue, standard, 1);
  serve(1, 1);
  constexpr time_us later = 1'000'000'000;
  for (std::uint64_t at = 2; at <= 4; ++at)
    add(queue, standard, at);
  EXPECT_FALSE(queue.predicted_drain(1, later));
  serve(2, later);
  EXPECT_FALSE(queue.predicted_drain(1, later)) << "nobody waited before";
  serve(3, later + 200'000);
  serve(4, later + 400'000);
  add(queue, standard, 5);
  EXPECT_EQ(queue.predicted_drain(5, 2 * later), 1'000'000) << "nor is one overdue";
}

} // namespace

} // namespace consort::core
