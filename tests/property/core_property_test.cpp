// SPDX-License-Identifier: Apache-2.0
// Safety and liveness over generated clusters: random events from a seed, invariants after every
// step, and at the end a healed cluster in which every accepted request must end exactly once.
#include "tests/support/core_chaos.hpp"
#include "tests/support/core_fixture.hpp"

#include <gtest/gtest.h>

namespace consort::core::testing {

namespace {

constexpr int actions = 400;

core_chaos world(std::uint64_t seed) {
  auto chance = std::make_shared<prng>(seed);
  core_config config;
  config.seed = seed;
  config.queue_max = 4 + static_cast<std::uint32_t>(seed % 50);
  config.explore_pm = static_cast<std::uint32_t>(seed % 3 * 200);
  return core_chaos([chance](std::uint64_t bound) { return chance->below(bound); }, config);
}

class CoreProperty : public ::testing::TestWithParam<std::uint64_t> {};

TEST_P(CoreProperty, EveryAcceptedRequestEndsExactlyOnce) {
  for (std::uint64_t round = 0; round < 10; ++round) {
    const auto seed = GetParam() * 1'000 + round;
    auto chaos = world(seed);
    for (int i = 0; i < actions; ++i)
      chaos.act();
    ASSERT_EQ(chaos.failure(), "") << "seed " << seed;
    chaos.heal();
    ASSERT_EQ(chaos.failure(), "") << "seed " << seed;
    EXPECT_GT(chaos.ended(), 0U);
  }
}

TEST_P(CoreProperty, EqualSeedsGiveEqualDigests) {
  auto one = world(GetParam());
  auto two = world(GetParam());
  for (int i = 0; i < actions; ++i) {
    one.act();
    two.act();
    ASSERT_EQ(one.digest(), two.digest()) << "after action " << i;
  }
}

/// Tenants of drawn weights keep asking one device; what they really use is drawn too. Returns: the
/// widest gap between two of them in tokens over weight, as long as both have something waiting.
std::int64_t widest_gap(std::uint64_t seed, std::int64_t& largest) {
  prng chance(seed);
  const auto tenants = 2 + chance.below(4);
  auto config = core_fixture::quiet();
  config.seed = seed;
  std::vector<std::int64_t> weights;
  for (std::uint64_t at = 0; at < tenants; ++at) {
    weights.push_back(static_cast<std::int64_t>(1 + chance.below(4)));
    config.tenant_weights["t" + std::to_string(at)] = static_cast<std::uint32_t>(weights.back());
  }
  core_fixture t(config);
  t.join("local");
  t.advertise(cpu_spec());
  auto model = story_spec();
  model.replicas_min = 1;
  t.declare(model);
  t.finish_load(1 + chance.below(3), 10'000'000);
  std::map<request_id, std::uint64_t> owner;
  const auto submit = [&](std::uint64_t tenant) {
    auto meta = t.request();
    meta.tenant = tenant_id{"t" + std::to_string(tenant)};
    meta.prompt_tokens = static_cast<std::uint32_t>(1 + chance.below(500));
    owner[meta.id] = tenant;
    t.submit(meta);
  };
  for (int i = 0; i < 10; ++i)
    for (std::uint64_t at = 0; at < tenants; ++at)
      submit(at);
  std::vector<std::int64_t> used(tenants, 0);
  std::deque<grant_ticket> running;
  std::int64_t widest = 0;
  largest = 0;
  for (int round = 0; round < 300; ++round) {
    for (const auto& one : t.take_all<grant_ticket>())
      running.push_back(one);
    const auto next = running.front();
    running.pop_front();
    attempt_measurement measured;
    measured.usage = {static_cast<std::uint32_t>(1 + chance.below(500)),
                      static_cast<std::uint32_t>(1 + chance.below(300)), 0};
    measured.first_token_us = 1'000;
    measured.total_us = 2'000;
    const auto tokens
        = std::int64_t{measured.usage.prompt_tokens} + measured.usage.completion_tokens;
    largest = std::max(largest, tokens);
    const auto tenant = owner.at(next.granted.attempt.request);
    used[tenant] += tokens;
    t.feed(attempt_finished{next.granted.attempt, measured});
    submit(tenant); // Always as many waiting.
    t.take_all<queue_notice>();
    t.take_all<record_request>();
    for (std::uint64_t one = 0; one < tenants; ++one)
      for (std::uint64_t other = 0; other < one; ++other)
        widest
            = std::max(widest, std::abs(used[one] / weights[one] - used[other] / weights[other]));
  }
  t.drop_all();
  return widest;
}

TEST_P(CoreProperty, SharesStayWithinTheirBound) {
  for (std::uint64_t round = 0; round < 10; ++round) {
    std::int64_t largest = 0;
    const auto widest = widest_gap(GetParam() * 1'000 + round, largest);
    // One request of each, and those under way, at most four, counted by their expected length.
    EXPECT_LE(widest, 6 * largest) << "seed " << GetParam() * 1'000 + round;
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, CoreProperty, ::testing::Range<std::uint64_t>(1, 13));

} // namespace

} // namespace consort::core::testing
