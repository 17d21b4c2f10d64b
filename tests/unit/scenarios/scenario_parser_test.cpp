// SPDX-License-Identifier: Apache-2.0
#include "scenarios/sim/scenario.hpp"

#include <gtest/gtest.h>

#include <filesystem>

namespace consort::sim {
namespace {

/// A small valid scenario with one line replaced.
std::string with(const std::string& line, const std::string& replacement) {
  std::string text = R"text({
"name": "small",
"duration": "10s",
"nodes": [{ "name": "n-{n}", "count": 2, "devices": ["cpu-local", "refnpu-1"] }],
"models": { "m": { "weights": "10MiB", "kv_bytes_per_token": 100, "context": 512 } },
"workload": [{ "poisson": "2/s", "input": 20, "output": "lognormal(30,0.5)" }],
"network": { "latency": "1ms", "jitter": "0.5ms" },
"faults": [{ "at": "5s", "kill": "n-1", "for": "2s" }],
"policy": "latency",
"expect": { "lost_requests": 0, "ttft_p99_ms": { "max": 100 } }
})text";
  if (!line.empty()) {
    const auto at = text.find(line);
    EXPECT_NE(at, std::string::npos) << line;
    text.replace(at, line.size(), replacement);
  }
  return text;
}

TEST(ScenarioParser, ReadsEveryPartOfAScenario) {
  const auto plan = parse_scenario(with("", ""), "s.json");
  ASSERT_TRUE(plan.ok()) << plan.failure().message;
  ASSERT_EQ(plan->nodes.size(), 2U);
  EXPECT_EQ(plan->nodes[1].name, "n-1");
  EXPECT_EQ(plan->nodes[1].devices.at(1)->name, "refnpu-1");
  EXPECT_EQ(plan->safety_us, 10'000'000);
  EXPECT_EQ(plan->models.at(0).weight_bytes, 10U << 20U);
  EXPECT_DOUBLE_EQ(plan->workloads.at(0).rate_per_s, 2);
  EXPECT_EQ(plan->workloads[0].model, "m");
  EXPECT_EQ(plan->workloads[0].until, 10'000'000);
  EXPECT_EQ(plan->network.jitter_us, 500);
  EXPECT_EQ(plan->faults.at(0).kind, fault_kind::kill);
  EXPECT_EQ(plan->faults[0].span_us, 2'000'000);
  EXPECT_FALSE(plan->seed);
  ASSERT_EQ(plan->expectations.size(), 2U);
}

TEST(ScenarioParser, RequestsAreHedgedOnlyWhereTheWorkloadSaysSo) {
  EXPECT_FALSE(parse_scenario(with("", ""), "s.json")->workloads.at(0).hedge);
  const auto plan
      = parse_scenario(with("\"input\": 20", "\"hedge\": true, \"input\": 20"), "s.json");
  ASSERT_TRUE(plan.ok()) << plan.failure().message;
  EXPECT_TRUE(plan->workloads.at(0).hedge);
}

struct complaint_case {
  const char* line;
  const char* replacement;
  const char* expected; ///< Part of the message.
};

class ScenarioComplaint : public testing::TestWithParam<complaint_case> {};

TEST_P(ScenarioComplaint, NamesLineFieldAndWhatWasExpected) {
  const auto& [line, replacement, expected] = GetParam();
  const auto plan = parse_scenario(with(line, replacement), "s.json");
  ASSERT_FALSE(plan.ok());
  EXPECT_NE(plan.failure().message.find(expected), std::string::npos) << plan.failure().message;
}

INSTANTIATE_TEST_SUITE_P(
    Fields, ScenarioComplaint,
    testing::Values(
        complaint_case{"\"nodes\"", "\"nodez\"",
                       "s.json:4: nodez: unknown key (did you mean nodes"},
        complaint_case{"\"small\"", "\"\"", "s.json:2: name: must not be empty"},
        complaint_case{"\"input\": 20", "\"input\": \"exponential(0)\"",
                       "workload[0].input: `exponential(0)` is never 1 or more"},
        complaint_case{"lognormal(30,0.5)", "uniform(0,0.5)",
                       "workload[0].output: `uniform(0,0.5)` is never 1 or more"},
        complaint_case{"\"refnpu-1\"]", "{ \"spec\": \"refnpu-1\", \"memory\": 0 }]",
                       "s.json:4: nodes[0].devices[1].memory: must be above 0"},
        complaint_case{"\"policy\"", "\"polcy\"",
                       "s.json:9: polcy: unknown key (did you mean policy"},
        complaint_case{"\"latency\",", "\"latncy\",", "s.json:9: policy: unknown policy"},
        complaint_case{"\"10s\"", "\"10\"", "s.json:3: duration: `10` is not a duration"},
        complaint_case{"\"10s\"", "\"9d\"", "s.json:3: duration: must be above 0 and at most"},
        complaint_case{"\"count\": 2", "\"count\": 0", "s.json:4: nodes[0].count: must be between"},
        complaint_case{"\"count\": 2", "\"count\": 10001", "must be between 1 and 10000"},
        complaint_case{"n-{n}", "n-x", "needs `{n}`"}, complaint_case{"n-{n}", "a/{n}", "no slash"},
        complaint_case{"refnpu-1", "refnpu-2", "unknown device `refnpu-2` (did you mean refnpu-1"},
        complaint_case{"[\"cpu-local\", \"refnpu-1\"]", "[]", "must name 1 to 64 devices"},
        complaint_case{"\"10MiB\"", "\"10Mb\"", "expected a size"},
        complaint_case{"\"weights\": \"10MiB\", ", "", "`weights` is missing"},
        complaint_case{"\"10MiB\"", "\"10MiB\", \"replicas_min\": 3, \"replicas_max\": 2",
                       "models.m.replicas_max: is below `replicas_min`"},
        complaint_case{"[\"cpu-local\", \"refnpu-1\"]", "[3]",
                       "nodes[0].devices[0]: expected a device's name or an object"},
        complaint_case{"2/s", "2 per s", "is not a rate"},
        complaint_case{"2/s", "0/s", "is not a rate"},
        complaint_case{"\"input\": 20", "\"input\": 0", "s.json:6: workload[0].input: must be"},
        complaint_case{"lognormal(30,0.5)", "lognorml(30)", "workload[0].output: `lognorml(30)`"},
        complaint_case{"\"input\": 20", "\"model\": \"n\"", "unknown model `n`"},
        complaint_case{"\"n-1\", \"for\"", "\"n-7\", \"for\"",
                       "s.json:8: faults[0].kill: unknown node"},
        complaint_case{"\"kill\"", "\"kil\"", "faults[0].kil: unknown key (did you mean kill"},
        complaint_case{"\"kill\": \"n-1\"", "\"slow\": \"n-1\"", "expected a device such as"},
        complaint_case{"\"5s\"", "\"15s\"", "is after the scenario's duration"},
        complaint_case{"lost_requests", "lost_request",
                       "unknown figure (did you mean lost_requests"},
        complaint_case{"n-{n}", "rack a {n}", "s.json:4: nodes[0]: a node name has"},
        complaint_case{"n-{n}", "kn\u00f6ten-{n}", "s.json:4: nodes[0]: a node name has"},
        complaint_case{"n-{n}", "a\\n{n}", "s.json:4: nodes[0]: a node name has"},
        complaint_case{"\"m\": {", "\"\": {", "a model name has 1 to 256 bytes"},
        complaint_case{"\"m\": {", "\"a\\nb\": {", "a model name has 1 to 256 bytes"},
        complaint_case{"\"policy\": \"latency\"", "\"scheduler\": { \"lease\": \"1us\" }",
                       "s.json:9: scheduler.lease: must be at least 10ms"},
        complaint_case{"2/s", "200000/s", "above 0 and at most 100000/s"},
        complaint_case{"\"n-1\", \"for\"", "\"zebra\", \"for\"",
                       "unknown node `zebra` (there are n-0, n-1)"},
        complaint_case{"\"kill\": \"n-1\"", "\"cut\": \"gatway\"",
                       "unknown node `gatway` (did you mean gateway?)"},
        complaint_case{"\"latency\",", "\"zzz\",", "unknown policy `zzz` (there are latency, "},
        complaint_case{"\"kill\": \"n-1\"", "\"kill\": [\"n-1\", 3]",
                       "faults[0].kill[1]: expected a name"},
        complaint_case{"\"kill\": \"n-1\"", "\"partition\": \"n-1\", \"direction\": \"left\"",
                       "unknown direction `left` (there are both, in, out)"},
        complaint_case{"\"lost_requests\": 0", "\"lost_requests\": -1",
                       "expect.lost_requests: is below 0"},
        complaint_case{"\"lost_requests\": 0", "\"cached_share\": { \"min\": 1.5 }",
                       "expect.cached_share: is above 1"},
        complaint_case{"\"max\": 100 }", "\"maxi\": 100 }", "unknown key (did you mean max"}));

TEST(ScenarioParser, StopsAtItsLimits) {
  ASSERT_TRUE(parse_scenario(with("\"count\": 2", "\"count\": 9999"), "s").ok());
  auto two_groups = with("\"count\": 2, \"devices\": [\"cpu-local\", \"refnpu-1\"] }",
                         "\"count\": 9999, \"devices\": [\"cpu-local\"] }, { \"name\": \"o-{n}\", "
                         "\"count\": 2, \"devices\": [\"cpu-local\"] }");
  const auto plan = parse_scenario(two_groups, "s");
  ASSERT_FALSE(plan.ok());
  EXPECT_NE(plan.failure().message.find("more than 10000 nodes"), std::string::npos);
  const auto crowd = parse_scenario(
      with("\"count\": 2, \"devices\": [\"cpu-local\", \"refnpu-1\"]",
           "\"count\": 1563, \"devices\": [{ \"spec\": \"refnpu-1\", \"count\": 64 }]"),
      "s");
  ASSERT_FALSE(crowd.ok());
  EXPECT_NE(crowd.failure().message.find("more than 100000 devices in all"), std::string::npos);
}

TEST(ScenarioParser, EveryShippedScenarioIsValid) {
  int found = 0;
  for (const auto& entry : std::filesystem::directory_iterator(CONSORT_SOURCE_DIR "/scenarios"))
    if (entry.path().extension() == ".json") {
      const auto plan = load_scenario(entry.path().string());
      EXPECT_TRUE(plan.ok()) << plan.failure().message;
      ++found;
    }
  EXPECT_GE(found, 2);
}

TEST(ScenarioParser, SaysWhichFileItCannotRead) {
  const auto plan = load_scenario("no/such/file.json");
  ASSERT_FALSE(plan.ok());
  EXPECT_NE(plan.failure().message.find("no/such/file.json"), std::string::npos);
  const auto folder = load_scenario(testing::TempDir());
  ASSERT_FALSE(folder.ok());
  EXPECT_NE(folder.failure().message.find("is a folder"), std::string::npos);
}

} // namespace
} // namespace consort::sim
