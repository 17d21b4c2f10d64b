// SPDX-License-Identifier: Apache-2.0
// Safety and liveness over generated clusters: random events from a seed, invariants after every
// step, and at the end a healed cluster in which every accepted request must end exactly once.
#include "tests/support/core_chaos.hpp"

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

INSTANTIATE_TEST_SUITE_P(Seeds, CoreProperty, ::testing::Range<std::uint64_t>(1, 13));

} // namespace

} // namespace consort::core::testing
