// SPDX-License-Identifier: Apache-2.0
// Goal: every kind of fault strikes what it says, costs no request, and bad ones are refused with
// line, field and the nearest name.
#include "scenarios/sim/simulation.hpp"

#include <gtest/gtest.h>

namespace consort::sim {
namespace {

std::string cluster_with(const std::string& fault) {
  return R"json({
  "name": "one-fault", "duration": "20s",
  "nodes": [{ "name": "edge-{n}", "count": 3, "devices": ["cpu-local", "refnpu-1"] }],
  "models": { "storyteller": { "weights": "10MiB", "kv_bytes_per_token": 3072, "context": 512,
                               "replicas_min": 4 } },
  "workload": [{ "poisson": "12/s", "input": "lognormal(40,0.6)", "output": "lognormal(80,0.5)" }],
  "faults": [
    )json"
         + fault + R"json(
  ],
  "expect": { "lost_requests": 0 }
})json";
}

/// Remembers what the recorder does not keep.
struct struck {
  run_summary summary;
  std::string errors;
};

struck play(const std::string& fault, std::uint64_t seed) {
  const auto plan = parse_scenario(cluster_with(fault), "fault.json");
  if (!plan)
    return {{}, plan.failure().message};
  run_options options;
  options.seed = seed;
  struck done{run_scenario(*plan, options), {}};
  for (const auto& line : done.summary.violations)
    done.errors += line + "; ";
  for (const auto& line : done.summary.misses)
    done.errors += line + "; ";
  return done;
}

class EveryFault : public testing::TestWithParam<const char*> {};

TEST_P(EveryFault, CostsNoRequest) {
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    const auto done = play(GetParam(), seed);
    EXPECT_EQ(done.errors, "") << GetParam() << " with seed " << seed;
    EXPECT_GT(done.summary.figures.at("finished"), 100);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, EveryFault,
    testing::Values(
        R"({ "at": "8s", "kill": "edge-0", "for": "4s" })",
        R"({ "at": "8s", "restart": ["edge-0", "edge-1"] })",
        // The old link's end comes long after the new scheduler is there.
        R"({ "at": "5s", "reorder": ["gateway", "edge-1"], "by": "1s", "for": "8s" },
           { "at": "7s", "scheduler": "restart", "for": "100ms" })",
        // The new scheduler is there long before the gateway reaches it.
        R"({ "at": "7s", "scheduler": "restart", "for": "50ms" },
           { "at": "7.02s", "cut": ["gateway", "edge-0"], "for": "2s" })",
        R"({ "at": "8s", "pause": "edge-*", "for": "2s" })",
        R"({ "at": "8s", "partition": "edge-0", "for": "5s" })",
        R"({ "at": "8s", "partition": "edge-0", "direction": "in", "for": "5s" })",
        R"({ "at": "8s", "partition": "edge-0", "direction": "out", "for": "5s" })",
        R"({ "at": "8s", "slow": "edge-0/*", "factor": 20, "for": "5s" })",
        R"({ "at": "8s", "throttle": "edge-0/npu0", "factor": 3, "for": "5s" })",
        R"({ "at": "2s", "loss": ["edge-0", "gateway"], "share": 0.1 })",
        R"({ "at": "2s", "duplicate": ["edge-*", "gateway"], "share": 0.5 })",
        R"({ "at": "2s", "reorder": ["edge-*", "gateway"], "by": "300ms" })",
        R"({ "at": "8s", "skew": "edge-0", "by": "2s", "for": "6s" })",
        R"({ "at": "8s", "skew": "edge-0", "by": "10m", "for": "6s" })",
        R"({ "at": "8s", "skew": "edge-0", "by": "10m", "behind": true, "for": "6s" })",
        R"({ "at": "8s", "crash": "edge-0/cpu0" })",
        R"({ "at": "8s", "crash": ["edge-0/cpu0", "edge-1/npu0"], "for": "5s" })",
        R"({ "at": "8s", "oom": "edge-1/*", "for": "5s" })",
        R"({ "at": "8s", "storm": "edge-0/*", "status": 429, "share": 0.9, "for": "5s" })",
        R"({ "at": "8s", "storm": "edge-0/*", "status": 502, "share": 0.9, "for": "5s" })",
        R"({ "at": "0s", "compile_fail": "edge-*", "for": "6s" })",
        R"({ "at": "0s", "compile_fail": "edge-0", "transient": false })",
        R"({ "at": "0s", "compile_hang": "edge-*", "for": "6s" })",
        R"({ "at": "8s", "corrupt": "edge-*" }, { "at": "9s", "restart": "edge-*" })",
        R"({ "at": "4s", "upgrade": "edge-*", "for": "1s" })",
        R"({ "at": "8s", "scheduler": "restart", "for": "2s" })",
        R"({ "at": "8s", "cut": ["edge-0", "gateway"], "for": "2s" })",
        // Healed before its silence is noticed: the liveness phase begins at 20 s.
        R"({ "at": "19500ms", "cut": ["edge-0", "gateway"] })"));

TEST(Fault, AHangingCompilerIsGivenUpAndTheBuildIsTriedAgain) {
  const auto done = play(R"({ "at": "0s", "compile_hang": "edge-*", "for": "6s" })", 1);
  EXPECT_GE(done.summary.figures.at("builds"), 2) << done.errors;
}

TEST(Fault, AnUpgradeTakesEveryNodeOnceAndCutsNoStream) {
  const auto done = play(R"({ "at": "6s", "upgrade": "edge-*", "for": "500ms" })", 2);
  EXPECT_EQ(done.errors, "");
  EXPECT_GE(done.summary.figures.at("loads"), 7) << "every node loads again";
}

/// One of two devices that turns every request away for a minute: what production does then, with
/// its core, is to let the other one serve. A retry of each that is counted would end half of them.
TEST(Fault, AStormAtOneOfTwoDevicesFailsNoRequestWhateverTheStatus) {
  for (const auto* status : {"429", "500", "503", "529"}) {
    const auto plan = parse_scenario(R"json({
      "name": "storm", "seed": 1, "duration": "75s", "settle": "30s",
      "nodes": [{ "name": "n-{n}", "count": 2, "devices": ["refnpu-1"] }],
      "models": { "m": { "weights": "10MiB", "kv_bytes_per_token": 3072, "context": 512,
                         "replicas_min": 2 } },
      "workload": [{ "poisson": "20/s", "input": 20, "output": 100, "from": "8s" }],
      "faults": [{ "at": "10s", "storm": "n-0/npu0", "for": "60s", "status": )json"
                                         + std::string(status) + "}] }",
                                     "storm.json");
    ASSERT_TRUE(plan) << plan.failure().message;
    const auto done = run_scenario(*plan, {}).figures;
    EXPECT_GT(done.at("requests"), 1'000) << status;
    EXPECT_EQ(done.at("finished"), done.at("requests")) << status;
    EXPECT_EQ(done.at("failed"), 0) << status;
  }
}

struct refusal {
  const char* fault;
  std::vector<const char*> words;
};

TEST(Fault, BadOnesAreRefusedWithLineFieldAndTheNearestName) {
  const std::vector<refusal> bad{
      {R"({ "at": "8s", "kill": "edge-7" })", {"fault.json:8", "faults[0].kill", "edge-0"}},
      {R"({ "at": "8s", "kill": ["edge-0", "egde-1"] })", {"kill[1]", "did you mean edge-1"}},
      {R"({ "at": "8s", "kill": "rack-*" })", {"faults[0].kill", "unknown node"}},
      {R"({ "at": "8s", "slow": "edge-0" })", {"faults[0].slow", "edge-0/cpu0"}},
      {R"({ "at": "8s", "slow": "edge-0/npu1" })", {"unknown device", "edge-0/npu0"}},
      {R"({ "at": "8s", "kill": "edge-0/npu0" })", {"expected a node"}},
      {R"({ "at": "8s", "kil": "edge-0" })", {"unknown key", "kill"}},
      {R"({ "at": "8s" })", {"needs one of kill"}},
      {R"({ "at": "8s", "kill": "edge-0", "pause": "edge-0" })", {"one kind"}},
      {R"({ "at": "8s", "kill": "edge-0", "factor": 3 })", {"faults[0].factor", "unknown key"}},
      {R"({ "at": "21s", "kill": "edge-0" })", {"faults[0].at", "after the scenario's duration"}},
      {R"({ "at": "8s", "slow": "edge-0/npu0", "factor": -1 })", {"faults[0].factor", "between"}},
      {R"({ "at": "8s", "loss": "edge-0", "share": 0.9 })", {"faults[0].share", "0.5"}},
      {R"({ "at": "8s", "storm": "edge-0/npu0", "status": 404 })", {"faults[0].status", "429"}},
      {R"({ "at": "8s", "partition": "edge-0", "direction": "inn" })", {"direction", "in"}},
      {R"({ "at": "8s", "skew": "edge-0" })", {"`by` is missing"}},
      {R"({ "at": "8s", "scheduler": "dance" })", {"faults[0].scheduler", "`restart`"}},
      {R"({ "at": "8s", "forget": "one" })", {"faults[0].forget", "expected true"}},
      {R"({ "at": "8s", "kill": [] })", {"a name or a list"}}};
  for (const auto& [fault, words] : bad) {
    const auto done = play(fault, 1);
    for (const auto* word : words)
      EXPECT_NE(done.errors.find(word), std::string::npos)
          << fault << " said: " << done.errors << ", not: " << word;
  }
}

} // namespace
} // namespace consort::sim
