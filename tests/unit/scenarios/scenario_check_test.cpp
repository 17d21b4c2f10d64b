// SPDX-License-Identifier: Apache-2.0
// What is well written and no run could do is told before the run, with line and field.
#include "scenarios/sim/scenario_check.hpp"

#include "scenarios/limits.hpp"
#include "scenarios/sim/scheduler_shell.hpp"
#include "scenarios/sim/simulation.hpp"
#include "scheduler/units.hpp"

#include <gtest/gtest.h>

#include <fstream>

namespace consort::sim {
namespace {

/// Line 2 holds the nodes, 3 the model, 4 the workload, 5 more.
std::string checked_text(const std::string& work,
                         const std::string& model = R"({ "weights": "10MiB" })",
                         const std::string& more = {}) {
  return R"({ "name": "x", "duration": "10s",
"nodes": [{ "name": "n-{n}", "count": 2, "devices": ["cpu-local", "refnpu-1", "l4"] }],
"models": { "m": )"
         + model + R"( },
"workload": [)"
         + work + "]" + more + " }";
}

std::string refusal_of(const std::string& of) {
  const auto plan = parse_scenario(of, "s.json");
  return plan ? "" : plan.failure().message;
}

void expect_refusal(const std::string& of, const std::string& part) {
  EXPECT_NE(refusal_of(of).find(part), std::string::npos) << refusal_of(of);
}

/// An overloaded run is as long as its steps, not as their square.
TEST(ScenarioCheck, InvariantsAreLookedAtLessOftenTheMoreThereIs) {
  EXPECT_EQ(steps_between_checks(0, 0), 1U);
  EXPECT_EQ(steps_between_checks(0, 2 * limits::check_rows_max - 1), 1U);
  EXPECT_EQ(steps_between_checks(0, 20 * limits::check_rows_max), 20U);
  EXPECT_EQ(steps_between_checks(1, 20 * limits::check_rows_max), 1U) << "as the file says";
  EXPECT_EQ(parse_scenario(checked_text(R"({ "poisson": "1/s" })"), "s.json")->check_every, 0U);
}

TEST(ScenarioCheck, ARunWithoutRequestsSaysThatItShowsNothing) {
  const auto notes_at = [](const char* rate) {
    const auto plan = parse_scenario(
        checked_text(R"({ "poisson": ")" + std::string(rate) + R"(", "until": "2s" })"), "s.json");
    run_options once;
    return run_scenario(*plan, once).notes;
  };
  const auto notes = notes_at("0.001/m");
  ASSERT_EQ(notes.size(), 1U);
  EXPECT_NE(notes[0].find("no request arrived"), std::string::npos) << notes[0];
  EXPECT_TRUE(notes_at("10/s").empty());
}

TEST(ScenarioCheck, MoreReplicasThanDevicesGetANote) {
  const auto notes_of = [](const std::string& replicas) {
    const auto plan = parse_scenario(R"({ "name": "s", "duration": "2s",
      "nodes": [{ "name": "n-{n}", "count": 4, "devices": ["cpu-local"] }],
      "models": { "m": { "kv_bytes_per_token": 64, "context": 512, "replicas_min": )"
                                         + replicas + R"(, "weights": "1MiB" } },
      "workload": [{ "poisson": "5/s", "input": 20, "output": 20, "until": "1s" }] })",
                                     "s.json");
    EXPECT_TRUE(plan.ok()) << plan.failure().message;
    run_options once;
    return run_scenario(*plan, once).notes;
  };
  EXPECT_TRUE(notes_of("4").empty());
  const auto notes = notes_of("9");
  ASSERT_EQ(notes.size(), 1U);
  EXPECT_NE(notes[0].find("s.json:3: models.m.replicas_min: asks for 9, and the cluster has room "
                          "for 4"),
            std::string::npos)
      << notes[0];
}

/// What is left of a trace is looked at before a run of hours.
TEST(ScenarioCheck, ATraceMustNotBeOverBeforeItsBeginning) {
  const auto path = testing::TempDir() + "short-trace.csv";
  std::ofstream(path) << "time_s,input_tokens,output_tokens\n0,5,5\n60,5,5\n";
  const auto with = [&](const std::string& skip) {
    return refusal_of(checked_text(R"({ "trace": ")" + path + R"(", "skip": ")" + skip
                                   + R"(", "repeat": 1000000 })"));
  };
  EXPECT_EQ(with("59s"), "");
  EXPECT_NE(with("61s").find("s.json:4: workload[0].skip: leaves nothing"), std::string::npos)
      << with("61s");
}

TEST(ScenarioCheck, AModelMustFitSomewhere) {
  const std::string work = R"({ "poisson": "1/s" })";
  expect_refusal(checked_text(work, R"({ "weights": "1TiB" })"),
                 "s.json:3: models.m.weights: fits on no device");
  EXPECT_EQ(refusal_of(checked_text(work, R"({ "weights": "20GiB" })")), "");
  EXPECT_EQ(refusal_of(checked_text(work, R"({ "weights": "30GiB", "devices_per_instance": 2 })")),
            "");
  expect_refusal(checked_text(work, R"({ "weights": "30GiB", "devices_per_instance": 3 })"),
                 "s.json:3: models.m.devices_per_instance: no 3 chips of one spec");
  expect_refusal(checked_text(work, R"({ "weights": 0 })"), "models.m.weights: must be above 0");
}

/// The scheduler keeps room for the KV cache of one whole context, and for the weights as they are.
TEST(ScenarioCheck, AModelMustFitWithTheKvCacheOfItsContext) {
  const auto with
      = [](const char* device, const char* model) {
          return refusal_of(R"({ "name": "x", "duration": "10m",
"nodes": [{ "name": "n", "devices": [)"
                            + std::string(device) + R"(] }],
"models": { "m": )" + model + R"( },
"workload": [{ "poisson": "1/s" }] })");
        };
  const auto* whole = R"({ "shape": "llama-3.1-8b", "context": 131072 })";
  EXPECT_EQ(with(R"("rtx-4090")", whole)
                .find("s.json:3: models.m.context: fits on no device with "
                      "the KV cache of its context of 131072 tokens"),
            0U)
      << with(R"("rtx-4090")", whole);
  EXPECT_EQ(with(R"({ "spec": "rtx-4090", "tp": 2 })", whole), "");
  EXPECT_EQ(with(R"("rtx-4090")", R"({ "shape": "llama-3.1-8b", "context": 8192 })"), "");
  EXPECT_EQ(with(R"({ "spec": "rtx-4090", "count": 2 })",
                 R"({ "shape": "llama-3.1-8b", "context": 131072, "devices_per_instance": 2 })"),
            "");
  // What is built for it may be half of the weights, which the scheduler does not know.
  EXPECT_NE(with(R"("tpu-v5e")", R"({ "shape": "llama-3.1-8b", "context": 1024 })")
                .find("models.m: fits on no device: it takes"),
            std::string::npos);
  EXPECT_EQ(with(R"("remote-api")", whole), "");
}

TEST(ScenarioCheck, AModelMustRunBeforeTheRunIsOver) {
  const auto with = [](const std::string& load, const std::string& settle) {
    return R"({ "name": "x", "duration": "10s", "settle": ")" + settle + R"(",
"nodes": [{ "name": "n", "devices": [{ "spec": "refnpu-1", "load": ")"
           + load + R"(", "compile": "30s", "compile_per_s": "1000GiB" }] }],
"models": { "m": { "weights": "1MiB" } },
"workload": [{ "poisson": "1/s" }] })";
  };
  EXPECT_EQ(refusal_of(with("1s", "30s")), "");
  expect_refusal(with("1s", "20s"), "s.json:3: models.m: runs nowhere before the run is over");
  expect_refusal(with("20s", "30s"), "building and loading it takes 50");
}

TEST(ScenarioCheck, ASelectorMustNameADeviceThatHoldsTheModel) {
  const auto with = [](const char* device) {
    return checked_text(R"({ "poisson": "1/s", "device": ")" + std::string(device) + "\" }",
                        R"({ "weights": "20GiB" })");
  };
  EXPECT_EQ(refusal_of(with("gpu")), "");
  EXPECT_EQ(refusal_of(with("!npu")), "");
  for (const auto* bad : {"cpu", "npu", "n-0/cpu0", "!gpu"})
    expect_refusal(with(bad), "s.json:4: workload[0].device: no device that `" + std::string(bad)
                                  + "` names has room for `m`, which takes 20GiB");
}

TEST(ScenarioCheck, ASelectorMustNameADevice) {
  for (const auto* good :
       {"auto", "npu", "node=n-1", "n-0/cpu0", "vendor=nvidia", "model=l4,n-*/gpu0"})
    EXPECT_EQ(
        refusal_of(checked_text(R"({ "poisson": "1/s", "device": ")" + std::string(good) + "\" }")),
        "")
        << good;
  for (const auto* bad : {"pim", "n-1", "n-2/*", "n-0/npu1", "vendor=amd", "!cpu,!npu,!gpu"})
    expect_refusal(checked_text(R"({ "poisson": "1/s", "device": ")" + std::string(bad) + "\" }"),
                   "s.json:4: workload[0].device: `" + std::string(bad) + "` names no device");
  expect_refusal(checked_text(R"({ "poisson": "1/s", "device": "gpuu" })"),
                 "`gpuu` names no device of the cluster (did you mean gpu");
  expect_refusal(checked_text(R"({ "poisson": "1/s", "device": "n-1/gpu7" })"),
                 "`n-1/gpu7` names no device of the cluster (did you mean n-");
  expect_refusal(checked_text(R"({ "poisson": "1/s", "device": "warehouse" })"),
                 "`warehouse` names no device of the cluster (there are cpu, gpu, npu)");
  expect_refusal(checked_text(R"({ "poisson": "1/s", "device": "node=m-0" })"),
                 "`node=m-0` names no device of the cluster (did you mean node=n-0");
  expect_refusal(checked_text(R"({ "poisson": "1/s", "device": "model=warehouse" })"),
                 "(there are model=cpu-local, model=l4, model=refnpu-1)");
  expect_refusal(checked_text(R"({ "poisson": "1/s", "device": "," })"),
                 "s.json:4: workload[0].device: ");
}

TEST(ScenarioCheck, AWorkloadMustBeginAndEndWithinARunAndItsLimits) {
  expect_refusal(checked_text(R"({ "poisson": "1/s", "from": "10s" })"),
                 "workload[0].from: is not before");
  expect_refusal(checked_text(R"({ "poisson": "1/s", "from": "5s", "until": "5s" })"),
                 "workload[0].until: is not after");
  const auto week = [](const std::string& work) {
    auto made = checked_text(work);
    return made.replace(made.find("10s"), 3, "7d");
  };
  expect_refusal(
      week(R"({ "poisson": "100/s" })"),
      "s.json:4: workload[0]: asks for about 60480000 requests; a run has at most 10000000");
  expect_refusal(
      week(R"({ "bursts": { "rate": "1/s", "peak": "100/s", "on": "1s", "off": "1s" } })"),
      "asks for about 30542400 requests");
  EXPECT_EQ(refusal_of(week(R"({ "stages": [{ "rate": "1000/s", "for": "1s" }] })")), "");
  EXPECT_EQ(refusal_of(week(R"({ "closed": { "clients": 5 } })")), "");
}

TEST(ScenarioCheck, HalfOfTheRequestsMustFitTheContextAndAKvCache) {
  const std::string model = R"({ "weights": "10MiB", "kv_bytes_per_token": 3072, "context": 512 })";
  const auto said = [&](const std::string& work, const std::string& of) {
    return refusal_of(checked_text(R"({ "poisson": "1/s", )" + work + " }", of));
  };
  EXPECT_EQ(said(R"("input": 511)", model), "");
  for (const auto* work : {R"("input": 512)", R"j("input": "lognormal(512,1)")j",
                           R"j("input": "uniform(512,513)")j", R"j("input": "exponential(740)")j",
                           R"("input": 112, "shared_prefix": { "groups": 2, "tokens": 400 })"})
    EXPECT_NE(said(work, model)
                  .find("s.json:4: workload[0].input: half of its prompts have 512 tokens or more, "
                        "and the context of `m` is 512"),
              std::string::npos)
        << said(work, model);
  EXPECT_EQ(said(R"j("input": "lognormal(511,1)")j", model), "") << "which is for the run to see";
  // Its own word for it: 16 tokens.
  const auto small = [](const std::string& work) {
    return refusal_of(R"({ "name": "x", "duration": "10s",
"nodes": [{ "name": "n", "devices": [{ "spec": "l4", "kv_blocks": 1, "block_tokens": 16 }] }],
"models": { "m": { "weights": "10MiB", "kv_bytes_per_token": 3072, "context": 512 } },
"workload": [{ "poisson": "1/s", )"
                      + work + " }] }");
  };
  EXPECT_EQ(small(R"("input": 14, "output": 2)"), "");
  EXPECT_NE(small(R"("input": 14, "output": 3)")
                .find("workload[0].input: half of its requests take 17 tokens of KV cache or more, "
                      "and no device has more than 16 for `m`"),
            std::string::npos)
      << small(R"("input": 14, "output": 3)");
}

/// What the whole recording would show is not what was played.
TEST(ScenarioCheck, ATraceThatIsLongerThanTheRunSaysThatItWasCut) {
  const auto path = testing::TempDir() + "long-trace.csv";
  std::ofstream(path) << "time_s,prompt_tokens,output_tokens\n0,5,5\n5,5,5\n60,5,5\n";
  const auto notes_with = [&](const std::string& more) {
    const auto plan
        = parse_scenario(checked_text(R"({ "trace": ")" + path + "\"" + more + " }"), "s.json");
    EXPECT_TRUE(plan.ok()) << plan.failure().message;
    return run_scenario(*plan, {}).notes;
  };
  const auto notes = notes_with("");
  ASSERT_EQ(notes.size(), 1U);
  EXPECT_EQ(notes[0].find("workload[0].trace: goes on beyond `duration`, which is 10"), 0U)
      << notes[0];
  EXPECT_TRUE(notes_with(R"(, "take": "10s")").empty()) << "it is meant";
  EXPECT_TRUE(notes_with(R"(, "until": "8s")").empty()) << "likewise";
  EXPECT_EQ(notes_with(R"(, "until": "1h", "take": "1h")").size(), 1U) << "that was not played";
  EXPECT_TRUE(notes_with(R"(, "speed": 10)").empty()) << "it ends before";
}

TEST(ScenarioCheck, ATraceMustHoldARequest) {
  const auto path = testing::TempDir() + "header-only.csv";
  std::ofstream(path) << "time_s,prompt_tokens,output_tokens\n";
  expect_refusal(checked_text(R"({ "trace": ")" + path + "\" }"),
                 "workload[0].trace: " + path + ": holds no request");
  std::ofstream(path, std::ios::app) << "1,-5,1\n";
  expect_refusal(checked_text(R"({ "trace": ")" + path + "\" }"),
                 path + ":2: prompt_tokens: must be between");
}

TEST(ScenarioCheck, BoundsThatContradictEachOtherAreErrors) {
  const std::string work = R"({ "poisson": "1/s" })";
  const auto with
      = [&](const std::string& more) { return checked_text(work, R"({ "weights": 1 })", more); };
  expect_refusal(with(R"(, "expect": { "finished": { "min": 5, "max": 3 } })"),
                 "`min` is above `max`");
  expect_refusal(with(R"(, "expect": { "finished": {} })"), "expect.finished: needs a number");
  expect_refusal(with(R"(, "network": { "latency": "10m" })"),
                 "network.latency: must be at most 1m");
}

} // namespace
} // namespace consort::sim
