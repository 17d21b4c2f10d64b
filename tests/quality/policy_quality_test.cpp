// SPDX-License-Identifier: Apache-2.0
// The policies keep the quality that docs/PERFORMANCE.md reports, at a smaller size: what reaches
// its aim must go on reaching it, what misses it must not get worse.
#include "tests/quality/policy_proofs.hpp"

#include <gtest/gtest.h>

namespace consort::quality {
namespace {

constexpr std::size_t few = 1'600;

TEST(PolicyQuality, FirstTokensComeInHalfTheTimeOfLeastLoadedAtHalfTheLoad) {
  const auto seen = prove_first_tokens(0.5, few);
  EXPECT_LE(seen.latency.first_p99_ms, 0.5 * seen.least_loaded.first_p99_ms);
  EXPECT_GE(seen.latency.slo_share, 0.98);
  EXPECT_LT(seen.least_loaded.slo_share, seen.latency.slo_share);
}

TEST(PolicyQuality, ThroughputComesNearTheBestStaticAssignment) {
  const auto seen = prove_throughput(240, 12);
  EXPECT_GE(seen.static_seconds / seen.seconds, 0.9);
}

TEST(PolicyQuality, WhatIsCachedIsKnownAsWellAsByWhoSeesTheCaches) {
  const auto seen = prove_prefix(300, 4);
  EXPECT_GE(seen.prefix_only, 0.95 * seen.all_seeing);
  EXPECT_GE(seen.latency, 0.9 * seen.all_seeing) << "it weighs what is cached against the wait";
  EXPECT_LE(seen.latency, seen.bound);
  EXPECT_LE(seen.prefix_only, seen.bound);
}

class HybridQuality : public ::testing::TestWithParam<double> {};

/// Where the load is high nearly all have to be awake, and few requests tell the two apart by no
/// more than some percent; at the size that docs/PERFORMANCE.md reports it is 0.95 there.
TEST_P(HybridQuality, KeepsPromisesAsLatencyDoesForTheJoulesThatItsLoadNeeds) {
  const auto seen = prove_energy(GetParam(), few, 0);
  EXPECT_GE(seen.hybrid.slo_share, 0.95 * seen.latency.slo_share);
  EXPECT_LE(seen.hybrid.joules, (0.5 + 0.75 * GetParam()) * seen.latency.joules);
  EXPECT_GE(seen.hybrid.joules, seen.floor_joules);
  for (const auto& one : {seen.latency, seen.hybrid}) {
    EXPECT_NEAR(one.told_share + one.idle_share, 1, 0.03) << "charged to requests and idle";
    EXPECT_GT(one.told_share, 0.2);
  }
}

INSTANTIATE_TEST_SUITE_P(Loads, HybridQuality, ::testing::Values(0.2, 0.5, 0.8));

} // namespace
} // namespace consort::quality
