// SPDX-License-Identifier: Apache-2.0
// The shipped core and codec, whole runs in virtual time.
#include "scenarios/sim/simulation.hpp"

#include <gtest/gtest.h>

namespace consort::sim {
namespace {

scenario load(const std::string& name) {
  auto plan = load_scenario(CONSORT_SOURCE_DIR "/scenarios/" + name + ".json");
  EXPECT_TRUE(plan.ok()) << plan.failure().message;
  return *plan;
}

run_summary run(const scenario& plan, std::uint64_t seed) {
  run_options options;
  options.seed = seed;
  return run_scenario(plan, options);
}

std::string troubles(const run_summary& summary) {
  std::string made = "seed " + std::to_string(summary.seed);
  for (const auto& line : summary.violations)
    made += "; " + line;
  for (const auto& line : summary.misses)
    made += "; " + line;
  return made;
}

TEST(Simulation, QuickstartKeepsItsExpectations) {
  const auto plan = load("quickstart");
  const auto summary = run(plan, *plan.seed);
  EXPECT_TRUE(summary.passed()) << troubles(summary);
  EXPECT_GT(summary.figures.at("finished"), 300);
  EXPECT_GE(summary.figures.at("builds"), 1);
}

TEST(Simulation, TheSameSeedGivesTheSameDigestAndAnotherSeedAnother) {
  const auto plan = load("quickstart");
  const auto first = run(plan, 7);
  const auto again = run(plan, 7);
  const auto other = run(plan, 8);
  EXPECT_EQ(first.run_digest, again.run_digest);
  EXPECT_EQ(first.counts.frames, again.counts.frames);
  EXPECT_EQ(requests_csv(first), requests_csv(again));
  EXPECT_NE(first.run_digest, other.run_digest);
}

TEST(Simulation, ANodeThatDiesMidStreamLosesNothingAndItsStreamsResume) {
  auto plan = load("quickstart");
  plan.safety_us = 20 * limits::second_us;
  plan.workloads[0].rate_per_s = 40; // Busy enough that the death always hits running work.
  plan.models[0].replicas_min = 9;   // Wherever it strikes.
  plan.workloads[0].output = {distribution::kind::constant, 200, 0};
  plan.workloads[0].until = plan.safety_us;
  plan.faults[0].at = 12 * limits::second_us;
  plan.faults[0].span_us = 3 * limits::second_us;
  plan.expectations = {{"lost_requests", 0, 0}, {"failovers", 1, {}}, {"resumes", 1, {}}};
  const auto summary = run(plan, 3);
  EXPECT_TRUE(summary.passed()) << troubles(summary);
}

/// A scenario that keeps what it says it proves, whatever the seed.
class EveryScenario : public testing::TestWithParam<std::tuple<const char*, std::uint64_t>> {};

TEST_P(EveryScenario, KeepsItsExpectations) {
  const auto& [name, shift] = GetParam();
  const auto plan = load(name);
  const auto summary = run(plan, *plan.seed + shift);
  EXPECT_TRUE(summary.passed()) << troubles(summary);
  EXPECT_GT(summary.figures.at("finished"), 100);
}

INSTANTIATE_TEST_SUITE_P(Faults, EveryScenario,
                         testing::Combine(testing::Values("kill", "pause", "link-cut", "restart"),
                                          testing::Values(0, 100, 200)));

class EverySeed : public testing::TestWithParam<std::uint64_t> {};

TEST_P(EverySeed, KeepsTheCheckersQuietUnderEveryFault) {
  const auto plan = load("partition");
  const auto summary = run(plan, GetParam());
  EXPECT_TRUE(summary.violations.empty()) << troubles(summary);
  EXPECT_EQ(summary.figures.at("lost_requests"), 0) << troubles(summary);
}

INSTANTIATE_TEST_SUITE_P(Seeds, EverySeed, testing::Range<std::uint64_t>(1, 21));

TEST(Simulation, TheCanaryFailsItsChecker) {
  const auto plan = load("canary");
  const auto summary = run(plan, *plan.seed);
  ASSERT_FALSE(summary.violations.empty());
  EXPECT_NE(summary.violations.front().find("never answered"), std::string::npos)
      << troubles(summary);
  EXPECT_FALSE(summary.passed());
}

TEST(Simulation, AnImpossibleExpectationIsMissed) {
  auto plan = load("quickstart");
  plan.safety_us = 5 * limits::second_us;
  plan.faults.clear();
  plan.workloads[0].until = plan.safety_us;
  plan.expectations = {{"ttft_p99_ms", {}, 0}};
  const auto summary = run(plan, 1);
  ASSERT_EQ(summary.misses.size(), 1U) << troubles(summary);
  EXPECT_NE(summary.misses.front().find("ttft_p99_ms"), std::string::npos);
}

} // namespace
} // namespace consort::sim
