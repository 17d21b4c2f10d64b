// SPDX-License-Identifier: Apache-2.0
// The shipped core and codec, whole runs in virtual time.
#include "scenarios/sim/simulation.hpp"
#include "scheduler/policy/profile.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <map>

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

/// The file's own run, played once however many tests look at it. Only a run's result is shared:
/// what proves that a second run is the same still plays it.
const run_summary& shipped_run(const std::string& name) {
  static std::map<std::string, run_summary> played;
  const auto found = played.find(name);
  if (found != played.end())
    return found->second;
  const auto plan = load(name);
  return played.emplace(name, run(plan, plan.seed.value_or(1))).first->second;
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
  const auto& summary = shipped_run("quickstart");
  EXPECT_TRUE(summary.passed()) << troubles(summary);
  EXPECT_GT(summary.figures.at("finished"), 300);
  EXPECT_GE(summary.figures.at("builds"), 1);
}

TEST(Simulation, TheSameSeedGivesTheSameDigestAndAnotherSeedAnother) {
  auto plan = load("quickstart");
  const auto& first = shipped_run("quickstart");
  const auto again = run(plan, first.seed);
  EXPECT_EQ(first.run_digest, again.run_digest);
  EXPECT_EQ(first.counts.frames, again.counts.frames);
  EXPECT_EQ(requests_csv(first), requests_csv(again));
  // The first seconds already differ.
  plan.faults.clear();
  plan.safety_us = plan.workloads[0].until = 5 * limits::second_us;
  EXPECT_NE(run(plan, 7).run_digest, run(plan, 8).run_digest);
}

TEST(Simulation, ANodeThatDiesMidStreamLosesNothingAndItsStreamsResume) {
  auto plan = load("quickstart");
  plan.safety_us = 12 * limits::second_us;
  plan.workloads[0].rate_per_s = 40; // Busy enough that the death always hits running work.
  plan.models[0].replicas_min = 9;   // Wherever it strikes.
  plan.workloads[0].output = {distribution::kind::constant, 200, 0};
  plan.workloads[0].until = plan.safety_us;
  plan.faults[0].at = 8 * limits::second_us;
  plan.faults[0].span_us = 2 * limits::second_us;
  plan.expectations = {{"lost_requests", 0, 0}, {"failovers", 1, {}}, {"resumes", 1, {}}};
  const auto summary = run(plan, 3);
  EXPECT_TRUE(summary.passed()) << troubles(summary);
}

TEST(Simulation, ANodeThatWakesOnADeadLinkLoadsItsModelOnce) {
  const auto& summary = shipped_run("live/pause");
  EXPECT_TRUE(summary.passed()) << troubles(summary);
  EXPECT_EQ(summary.figures.at("loads"), 4) << "three at first, one after the fence";
}

/// A scenario that keeps what it says it proves, whatever the seed.
class EveryScenario : public testing::TestWithParam<std::tuple<const char*, std::uint64_t>> {};

TEST_P(EveryScenario, KeepsItsExpectations) {
  const auto& [name, shift] = GetParam();
  const auto plan = load(name);
  const auto summary = shift == 0 ? shipped_run(name) : run(plan, *plan.seed + shift);
  EXPECT_TRUE(summary.passed()) << troubles(summary);
  EXPECT_GT(summary.figures.at("finished"), 100);
}

INSTANTIATE_TEST_SUITE_P(Live, EveryScenario,
                         testing::Combine(testing::Values("live/kill", "live/pause", "live/restart",
                                                          "live/slow", "live/batch"),
                                          testing::Values(0)));

// Every kind of fault has three seeds more in fault_test.cpp, and the swarm's.
INSTANTIATE_TEST_SUITE_P(Faults, EveryScenario,
                         testing::Combine(testing::Values("kill", "pause", "link-cut", "restart"),
                                          testing::Values(0, 100)));

/// Everything else that ships, with the seed of its file.
class ShippedScenario : public testing::TestWithParam<const char*> {};

TEST_P(ShippedScenario, ProvesWhatItSays) {
  const auto plan = load(GetParam());
  EXPECT_FALSE(plan.proves.empty());
  EXPECT_FALSE(plan.expectations.empty());
  const auto& summary = shipped_run(GetParam());
  EXPECT_TRUE(summary.passed()) << troubles(summary);
}

std::string scenario_test_name(const testing::TestParamInfo<const char*>& info) {
  std::string made;
  for (const char letter : std::string(info.param))
    if (letter != '-')
      made += letter;
  return made;
}

INSTANTIATE_TEST_SUITE_P(Files, ShippedScenario,
                         testing::Values("npu-cold-start", "rack-loss", "rolling-upgrade",
                                         "slow-device", "flapping-node", "batch-under-interactive",
                                         "thundering-herd", "scheduler-crash", "remote-spill",
                                         "energy-night", "prefix-heavy-agents",
                                         "ten-thousand-devices", "long-steps", "hedged-requests",
                                         "prefill-decode"),
                         scenario_test_name);

/// Of the finished ones of that size, the share that each device served, before or after.
double share_of(const run_summary& summary, const std::string& device, bool long_prompts) {
  double of_all = 0, of_it = 0;
  for (const auto& one : summary.requests) {
    if (one.submitted_at > 130 * limits::second_us || (one.prompt_tokens >= 4'000) != long_prompts)
      continue;
    ++of_all;
    of_it += one.device == device ? 1 : 0;
  }
  return of_it / of_all;
}

TEST(ShippedScenarios, APlanWinsForLongPromptsAndLosesForShortOnes) {
  const auto& summary = shipped_run("prefill-decode");
  EXPECT_GT(share_of(summary, "pair/hybrid0", true), 0.9);
  EXPECT_LT(share_of(summary, "pair/hybrid0", false), 0.1);
  // Without its GPU there is no plan, until the model is there again: the PIM device reads some of
  // the prompts, which it does slowly, and the rest are back sooner on the GPU.
  const auto served = [&](const std::string& device) {
    return std::count_if(summary.requests.begin(), summary.requests.end(), [&](const auto& one) {
      return one.submitted_at > 141 * limits::second_us
             && one.submitted_at < 146 * limits::second_us && one.device == device;
    });
  };
  EXPECT_EQ(served("pair/hybrid0"), 0);
  EXPECT_GT(served("pair/pim0"), 0);
  auto without = load("prefill-decode");
  without.nodes[0].devices.pop_back();
  without.models[0].replicas_min = 2;
  without.expectations.clear();
  const auto alone = run(without, *without.seed);
  EXPECT_TRUE(alone.passed()) << troubles(alone);
  EXPECT_LT(summary.figures.at("e2e_mean_ms"), alone.figures.at("e2e_mean_ms"));
}

std::string policy_test_name(const testing::TestParamInfo<std::string>& info) {
  auto made = info.param;
  std::erase(made, '-');
  return made;
}

class EveryPolicy : public testing::TestWithParam<std::string> {};

/// The file's own policy plays its hour; the others the half in which the NPU is compiled for and
/// serves, since what the rest of it costs is their figures (docs/SIMULATION.md), not a request.
TEST_P(EveryPolicy, ServesAzureOnAMixedFleet) {
  auto plan = load("mixed-fleet");
  if (GetParam() != plan.policy.value) {
    plan.safety_us = plan.workloads[0].until = 1'800 * limits::second_us;
    std::erase_if(plan.expectations, [](const auto& one) { return one.metric == "requests"; });
  }
  run_options options;
  options.seed = *plan.seed;
  options.policy = policy_name(GetParam());
  const auto summary = run_scenario(plan, options);
  EXPECT_TRUE(summary.passed()) << troubles(summary);
  for (const auto* device : {"gpu-0/gpu0", "npu-0/npu0", "pim-0/pim0"})
    EXPECT_GT(summary.device_tokens.count(device), 0U) << device;
  // Who sees how slowly the PIM device reads prompts keeps nearly all promises; the file's least is
  // that of blind choices.
  if (const auto own = {"latency", "throughput", "energy", "cost", "hybrid"};
      std::find(own.begin(), own.end(), GetParam()) != own.end()) {
    EXPECT_GT(summary.figures.at("slo_attainment"), 0.97);
  }
}

INSTANTIATE_TEST_SUITE_P(Policies, EveryPolicy, testing::ValuesIn(core::policy_words()),
                         policy_test_name);

/// An expectation that holds whatever happens proves nothing: without what a scenario is about, its
/// own are missed.
std::string missed(const scenario& plan) {
  const auto summary = run(plan, *plan.seed);
  EXPECT_TRUE(summary.violations.empty()) << troubles(summary);
  std::string made;
  for (const auto& line : summary.misses)
    made += line + "; ";
  return made;
}

TEST(ShippedScenarios, MissTheirExpectationsWithoutWhatTheyAreAbout) {
  auto spill = load("remote-spill");
  spill.remote_budget_micros_per_hour = 0;
  EXPECT_NE(missed(spill).find("remote_money"), std::string::npos) << missed(spill);
  auto night = load("energy-night");
  night.policy = policy_name("latency");
  EXPECT_NE(missed(night).find("energy_wh"), std::string::npos) << missed(night);
  night = load("energy-night");
  for (auto& node : night.nodes) {
    auto uncapped = *node.devices[0];
    uncapped.cap_mw = 0;
    node.devices[0] = std::make_shared<const device_model>(std::move(uncapped));
  }
  EXPECT_NE(missed(night).find("power_max_w"), std::string::npos) << missed(night);
  auto agents = load("prefix-heavy-agents");
  agents.policy = policy_name("least-loaded");
  EXPECT_NE(missed(agents).find("cached_share"), std::string::npos) << missed(agents);
}

TEST(ShippedScenarios, HedgesAreWhatKeepsTheFirstTokenFast) {
  auto hedged = load("hedged-requests");
  hedged.workloads[0].hedge = false;
  const auto said = missed(hedged);
  EXPECT_NE(said.find("ttft_max_ms"), std::string::npos) << said;
  EXPECT_NE(said.find("hedges is 0"), std::string::npos) << said;
}

duration_us longest_wait(const run_summary& summary) {
  duration_us longest = 0;
  for (const auto& one : summary.requests)
    if (one.first_token_at)
      longest = std::max(longest, *one.first_token_at - one.submitted_at);
  return longest;
}

/// One device of four turns fifty times slower for a while and says nothing: who asks for it need
/// not wait until that is found out.
TEST(Simulation, HedgesShortenTheWaitBehindASlowDeviceWithinTheirBudget) {
  auto plan = load("slow-device");
  plan.faults[0].factor = 50;
  plan.expectations = {{"lost_requests", 0, 0}};
  const auto plain = run(plan, *plan.seed);
  for (auto& work : plan.workloads)
    work.hedge = true;
  const auto hedged = run(plan, *plan.seed);
  EXPECT_TRUE(plain.passed()) << troubles(plain);
  EXPECT_TRUE(hedged.passed()) << troubles(hedged);
  EXPECT_EQ(plain.figures.at("hedges"), 0);
  EXPECT_GE(hedged.figures.at("hedges"), 3);
  const double earned = hedged.figures.at("requests") * core::limits::hedge_credit_pm
                        + core::limits::hedge_credit_max_pm;
  EXPECT_LE(hedged.figures.at("hedges") * core::limits::hedge_cost_pm, earned);
  EXPECT_LT(longest_wait(hedged), longest_wait(plain) / 2);
}

class EverySeed : public testing::TestWithParam<std::uint64_t> {};

TEST_P(EverySeed, KeepsTheCheckersQuietUnderEveryFault) {
  const auto plan = load("partition");
  const auto summary = run(plan, GetParam());
  EXPECT_TRUE(summary.violations.empty()) << troubles(summary);
  EXPECT_EQ(summary.figures.at("lost_requests"), 0) << troubles(summary);
}

INSTANTIATE_TEST_SUITE_P(Seeds, EverySeed, testing::Range<std::uint64_t>(1, 11));

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

TEST(Simulation, SkippingTheCodecDecidesTheSame) {
  auto plan = load("quickstart");
  const auto& encoded = shipped_run("quickstart");
  plan.network.plain = true;
  const auto plain = run(plan, encoded.seed);
  EXPECT_TRUE(plain.passed()) << troubles(plain);
  EXPECT_EQ(requests_csv(encoded), requests_csv(plain));
  EXPECT_EQ(encoded.decisions_digest, plain.decisions_digest);
  EXPECT_NE(encoded.decisions_digest, run(plan, encoded.seed + 1).decisions_digest);
  EXPECT_NE(encoded.run_digest, plain.run_digest) << "one is of bytes";
  const auto told = [](const run_summary& of) { return render_summary(of); };
  EXPECT_NE(told(encoded).find(" through the codec\n"), std::string::npos) << told(encoded);
  EXPECT_NE(told(plain).find(" as values, without the codec\n"), std::string::npos) << told(plain);
  for (const auto* run : {&encoded, &plain})
    EXPECT_NE(told(*run).find("decisions: " + digest_text(encoded.decisions_digest)),
              std::string::npos);
  EXPECT_EQ(encoded.counts.frames, plain.counts.frames);
  EXPECT_EQ(encoded.device_tokens, plain.device_tokens);
}

TEST(Simulation, GatheredTokensEndAtTheSameTimeWithFewerFrames) {
  auto plan = load("quickstart");
  plan.faults.clear();
  // A client measures a gap with the jitter of two frames in it, an engine that gathers without: so
  // none here.
  plan.network.jitter_us = 0;
  const auto each = run(plan, 7);
  plan.gathers_tokens = true;
  const auto gathered = run(plan, 7);
  EXPECT_TRUE(gathered.passed()) << troubles(gathered);
  EXPECT_EQ(each.figures.at("tokens"), gathered.figures.at("tokens"));
  EXPECT_LT(gathered.counts.frames * 2, each.counts.frames);
  for (const auto* name : {"ttft_p50_ms", "itl_p50_ms", "itl_p99_ms", "e2e_p50_ms", "e2e_p99_ms"})
    EXPECT_NEAR(gathered.figures.at(name) / each.figures.at(name), 1, 0.02) << name;
}

/// Every kind of device serves, those that need an artifact once it is built.
TEST(Simulation, AMixedFleetServesOnEveryKindOfDevice) {
  const auto plan = parse_scenario(R"json({
    "name": "mixed", "duration": "300s", "tokens": "gathered",
    "nodes": [{ "name": "n", "devices": [
      "h100-sxm", { "spec": "rngd", "compile": "20s", "compile_per_s": "10GiB" },
      { "spec": "cent-cxl-pim", "tp": 2 },
      "epyc-9654", { "spec": "remote-api", "requests_per_min": 30 },
      { "spec": "a100-80g", "prefill": { "device": "h100-sxm" } } ] }],
    "models": { "m": { "shape": "llama-2-7b", "replicas_min": 6 } },
    "workload": [
      { "poisson": "4/s", "input": 300, "output": 60, "from": "100s" },
      { "poisson": "0.2/s", "device": "npu", "input": 100, "output": 20, "from": "100s" },
      { "poisson": "0.2/s", "device": "pim", "input": 100, "output": 20, "from": "100s" },
      { "poisson": "0.05/s", "device": "cpu", "input": 50, "output": 5, "from": "100s" },
      { "poisson": "0.2/s", "device": "remote", "input": 100, "output": 20, "from": "100s" },
      { "poisson": "0.2/s", "device": "hybrid", "input": 100, "output": 20, "from": "100s" } ]
  })json",
                                   "mixed.json");
  ASSERT_TRUE(plan.ok()) << plan.failure().message;
  const auto summary = run(*plan, 1);
  EXPECT_TRUE(summary.passed()) << troubles(summary);
  EXPECT_EQ(summary.figures.at("lost_requests"), 0) << troubles(summary);
  EXPECT_GE(summary.figures.at("builds"), 1);
  for (const auto* type : {"gpu", "npu", "pim", "cpu", "remote", "hybrid"})
    EXPECT_GT(summary.device_tokens.count(std::string("n/") + type + "0"), 0U) << type;
}

/// No device holds the model: four chips on two nodes do, and when a node dies, four others.
TEST(Simulation, AnInstanceOverTwoNodesServesAndFailsAsOne) {
  const auto plan = parse_scenario(R"json({
    "name": "ranks", "duration": "60s", "tokens": "gathered", "seed": 1,
    "nodes": [{ "name": "n-{n}", "count": 3, "devices": [
      { "spec": "a100-80g", "count": 2, "load": "1s", "load_per_s": "100GiB" } ] }],
    "models": { "m": { "shape": "llama-3.1-70b", "context": 4096, "devices_per_instance": 4,
                       "replicas_min": 1 } },
    "workload": [{ "poisson": "2/s", "input": 200, "output": 60, "from": "10s" }],
    "faults": [{ "at": "30s", "kill": "n-1", "for": "5s" }],
    "expect": { "lost_requests": 0, "failovers": { "min": 1 }, "loads": { "min": 2 } }
  })json",
                                   "ranks.json");
  ASSERT_TRUE(plan.ok()) << plan.failure().message;
  const auto summary = run(*plan, 1);
  EXPECT_TRUE(summary.passed()) << troubles(summary);
  EXPECT_GT(summary.figures.at("finished"), 60) << troubles(summary);
}

TEST(Simulation, MoreRequestsOrStepsThanARunMayHaveEndItAndSaySo) {
  auto plan = load("quickstart");
  run_options options;
  options.requests_max = 30;
  const auto crowded = run_scenario(plan, options);
  ASSERT_TRUE(crowded.input_failure);
  EXPECT_NE(crowded.input_failure->message.find("more than 30 requests"), std::string::npos);
  plan.workloads[0].drawn.process = arrival_process::closed;
  plan.workloads[0].drawn.clients = 5;
  EXPECT_TRUE(run_scenario(plan, options).input_failure) << "those of a closed loop count too";
  options = {};
  options.steps_max = 1'000;
  const auto stopped = run_scenario(plan, options);
  ASSERT_EQ(stopped.violations.size(), 1U) << troubles(stopped);
  EXPECT_NE(stopped.violations[0].find("more than 1000 steps"), std::string::npos);
}

/// What a trace asks for shows in the run only: it says which limit, in which line, was met by
/// whom.
TEST(Simulation, RequestsThatFitNowhereAreToldWithTheirLimit) {
  const auto path = testing::TempDir() + "/sizes.csv";
  const auto play = [&](const std::string& rows, const std::string& device) {
    std::ofstream(path) << "time_s,prompt_tokens,output_tokens\n" << rows;
    const auto plan = parse_scenario(
        R"({ "name": "sizes", "duration": "10s", "scheduler": { "queue_timeout": "5s" },
"nodes": [{ "name": "n", "devices": [)"
            + device + R"(] }],
"models": { "m": { "weights": "10MiB", "kv_bytes_per_token": 3072, "context": 512 } },
"workload": [{ "trace": ")"
            + path + R"(" }] })",
        "s.json");
    EXPECT_TRUE(plan.ok()) << plan.failure().message;
    return run(*plan, 1);
  };
  const auto mixed = play("1,20,5\n2,512,5\n3,511,5\n4,600,5\n", R"("cpu-local")");
  EXPECT_TRUE(mixed.passed()) << troubles(mixed);
  EXPECT_EQ(mixed.figures.at("finished"), 2);
  EXPECT_EQ(mixed.figures.at("rejected"), 2);
  EXPECT_EQ(mixed.requests[1].code, "context_length_exceeded");
  EXPECT_EQ(mixed.requests[2].completion_tokens, 1U) << "an engine ends where the context does";
  ASSERT_EQ(mixed.notes.size(), 2U);
  EXPECT_EQ(mixed.notes[0], "s.json:3: models.m.context: 2 of 4 prompts leave no room in its "
                            "context of 512 tokens: the largest takes 600, the first was req-2");
  EXPECT_EQ(mixed.notes[1], "s.json:3: models.m.context: 1 of 4 answers end where its context of "
                            "512 tokens does: the longest was to have 5, the first was req-3");
  const auto none = play("1,100,5\n", R"({ "spec": "l4", "kv_blocks": 4 })");
  ASSERT_EQ(none.violations.size(), 1U) << troubles(none);
  EXPECT_NE(none.violations[0].find("no request fits, so that the run shows nothing: s.json:3: "
                                    "models.m: 1 of 1 requests take more KV cache than any device "
                                    "has for it, 64 tokens: the largest takes 105"),
            std::string::npos)
      << troubles(none);
}

/// Known ahead where a file is read; a sweep plays such a cluster, and it has failed.
TEST(Simulation, AModelThatNoDeviceHoldsFailsTheRun) {
  const auto root = strict_json::parse(R"({ "name": "unheld", "duration": "10s",
"nodes": [{ "name": "n", "devices": ["rtx-4090"] }],
"models": { "m": { "shape": "llama-3.1-8b", "context": 131072 } },
"workload": [{ "poisson": "2/s", "input": 100, "output": 10 }] })",
                                       "s.json");
  const auto plan = read_scenario(*root, "s.json");
  ASSERT_TRUE(plan.ok()) << plan.failure().message;
  const auto summary = run(*plan, 1);
  EXPECT_EQ(summary.figures.at("finished"), 0);
  ASSERT_EQ(summary.violations.size(), 1U) << troubles(summary);
  EXPECT_NE(summary.violations[0].find("no request fits, so that the run shows nothing: s.json:3: "
                                       "models.m: no device of the cluster holds it: with the KV "
                                       "cache of its context of 131072 tokens it takes "),
            std::string::npos)
      << troubles(summary);
}

TEST(Simulation, ATraceThatIsWrongEndsTheRunAndSaysWhere) {
  auto plan = load("quickstart");
  const auto path = testing::TempDir() + "/backwards.csv";
  std::ofstream(path) << "time_s,prompt_tokens,output_tokens\n1,20,5\n2,20,5\n1,20,5\n";
  plan.workloads[0].trace_paths = {path};
  const auto summary = run(plan, 1);
  ASSERT_TRUE(summary.input_failure);
  EXPECT_NE(summary.input_failure->message.find("backwards.csv:4: time_s: goes back"),
            std::string::npos)
      << summary.input_failure->message;
  EXPECT_FALSE(summary.passed());
}

} // namespace
} // namespace consort::sim
