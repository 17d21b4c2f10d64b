// SPDX-License-Identifier: Apache-2.0
// Devices, shapes and workloads as scenario files write them, and what is said about bad ones.
#include "scenarios/sim/measured_notes.hpp"
#include "scenarios/sim/scenario.hpp"
#include "scenarios/sim/simulation.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace consort::sim {
namespace {

namespace fs = std::filesystem;

/// A scenario with one device, one model and one workload, each given.
std::string text(const std::string& device, const std::string& model, const std::string& work) {
  return R"({ "name": "x",
"nodes": [{ "name": "n", "devices": [)"
         + device + R"(] }],
"models": { "m": )"
         + model + R"( },
"workload": [)"
         + work + "] }";
}

constexpr const char* shape = R"({ "shape": "llama-3.1-8b", "context": 16384 })";
constexpr const char* work = R"({ "poisson": "1/s" })";

class ScenarioDevicesTest : public testing::Test {
protected:
  ScenarioDevicesTest()
      : folder_(fs::temp_directory_path()
                / (std::string("scenario-devices-")
                   + testing::UnitTest::GetInstance()->current_test_info()->name())) {
    fs::create_directories(folder_);
  }
  ~ScenarioDevicesTest() override { fs::remove_all(folder_); }

  void write(const std::string& name, const std::string& content) {
    std::ofstream(folder_ / name) << content;
  }
  /// The smallest table.
  void write_table() {
    write("dense.csv", "layer,tokens,time_us\nqkv,1,10\nqkv,100,20\nembedding,1,5\n");
    write("per_sequence.csv", "layer,sequences,time_us\nlm_head,1,100\nlm_head,2,110\n");
    write("attention.csv", "prefill_chunk,kv_prefill,n_decode,kv_decode,time_us\n"
                           "0,0,0,0,0\n0,0,1,0,1\n0,0,1,100,3\n100,0,0,0,7\n");
  }
  result<scenario> parse(const std::string& of) {
    return parse_scenario(of, (folder_ / "s.json").string());
  }
  std::string complaint(const std::string& of) {
    const auto plan = parse(of);
    return plan ? "" : plan.failure().message;
  }
  device_model device(const std::string& of) {
    const auto plan = parse(text(of, shape, work));
    EXPECT_TRUE(plan.ok()) << plan.failure().message;
    return *plan->nodes[0].devices[0];
  }

  fs::path folder_;
};

TEST_F(ScenarioDevicesTest, ADeviceIsASpecAndWhatDiffersFromIt) {
  const auto made = device(R"({ "spec": "h100-sxm", "tp": 4, "max_sequences": 32, "kv_blocks": 1000,
    "step_overhead": "2ms", "mfu": 0.3, "link_efficiency": 0.5, "power_cap_w": 1000, "load": "3s",
    "usd_per_h": 12.5 })");
  EXPECT_EQ(made.name, "h100-sxm-tp4");
  EXPECT_EQ(made.type, "gpu");
  EXPECT_EQ(made.memory_bytes, 288'000'000'000U);
  EXPECT_EQ(made.max_sequences, 32U);
  EXPECT_EQ(made.kv_blocks, 1'000U);
  EXPECT_DOUBLE_EQ(made.constants.c0_us, 2'000);
  EXPECT_DOUBLE_EQ(made.constants.mfu, 0.3);
  EXPECT_DOUBLE_EQ(made.constants.eta_link, 0.5);
  EXPECT_EQ(made.cap_mw, 1'000'000U);
  EXPECT_EQ(made.load_us, 3'000'000);
  EXPECT_EQ(made.cost_micros_per_hour, 12'500'000U);
}

TEST_F(ScenarioDevicesTest, AModelIsItsShape) {
  const auto plan
      = parse(text("\"h200-sxm\"", R"({ "shape": "llama-3.1-70b", "dtype": "fp8" })", work));
  ASSERT_TRUE(plan.ok()) << plan.failure().message;
  EXPECT_NEAR(double(plan->models[0].weight_bytes), 70.6e9, 0.3e9);
  EXPECT_EQ(plan->models[0].kv_bytes_per_token, 327'680U);
  EXPECT_EQ(plan->models[0].context_tokens, 131'072U);
}

TEST_F(ScenarioDevicesTest, APrefillSideMakesAHybrid) {
  const auto made = device(R"({ "spec": "h100-sxm",
    "prefill": { "device": { "spec": "h100-sxm", "tp": 2 }, "transfer_gb_per_s": 40 } })");
  EXPECT_EQ(made.type, "hybrid");
  EXPECT_DOUBLE_EQ(made.prefill.transfer_gb_per_s, 40);
  EXPECT_EQ(made.prefill.device->group.tp, 2U);
  EXPECT_EQ(made.tdp_mw, 2'100'000U);
}

TEST_F(ScenarioDevicesTest, ARemoteServiceHasItsTerms) {
  const auto made = device(R"({ "spec": "remote-api", "name": "elsewhere", "requests_per_min": 5,
    "usd_per_1m_input": 2.5, "first_token": "1s", "tokens_per_s": 100 })");
  EXPECT_EQ(made.name, "elsewhere");
  EXPECT_EQ(made.remote.requests_per_min, 5U);
  EXPECT_EQ(made.remote.micros_per_1k_input, 2'500U);
  EXPECT_EQ(made.remote.first_token_us, 1'000'000);
  EXPECT_EQ(claim_of(made, *find_model_shape("llama-3.1-8b")).decode_tokens_per_s, 100U);
}

TEST_F(ScenarioDevicesTest, ReadsARecordedProfileBesideTheFile) {
  write("p.csv", "kind,size,us\ndecode,1,10000\ndecode,4,16000\nprefill,100,5000\n");
  const auto made = device(R"({ "spec": "cpu-local", "memory": "64GiB", "profile": "p.csv" })");
  EXPECT_DOUBLE_EQ(cost_of(made, {})->line_of(2, 0).base_us, 12'000);
  write("p.csv", "kind,size,us\ndecode,0,1\n");
  const auto said = complaint(text(R"({ "spec": "cpu-local", "profile": "p.csv" })", shape, work));
  EXPECT_NE(said.find("nodes[0].devices[0].profile: "), std::string::npos) << said;
  EXPECT_NE(said.find("p.csv:2: expected"), std::string::npos) << said;
}

TEST_F(ScenarioDevicesTest, AProfileSaysOfWhichModelAndHowManyChipsItIs) {
  const std::string points = "kind,size,us\ndecode,1,1000\nprefill,100,2000\n";
  const auto notes_of = [&](const std::string& comments, const std::string& more = {},
                            const std::string& of = shape) {
    write("p.csv", comments + points);
    const auto plan
        = parse(text(R"({ "spec": "h100-sxm", "profile": "p.csv")" + more + " }", of, work));
    EXPECT_TRUE(plan.ok()) << plan.failure().message;
    return plan.ok() ? plan->notes : std::vector<std::string>{};
  };
  const auto expect = [](const std::vector<std::string>& notes, const std::string& part) {
    ASSERT_EQ(notes.size(), 1U) << part;
    EXPECT_NE(notes[0].find("s.json:2: nodes[0].devices[0].profile: "), std::string::npos)
        << notes[0];
    EXPECT_NE(notes[0].find(part), std::string::npos) << notes[0];
  };
  EXPECT_TRUE(notes_of("").empty());
  EXPECT_TRUE(notes_of("# model: meta-llama/Llama-3.1-8B-Instruct\n").empty());
  expect(notes_of("# model: Qwen/Qwen3-32B\n"),
         "was measured with `Qwen/Qwen3-32B`, and `m` is played with its times");
  EXPECT_TRUE(notes_of("# chips: 2\n", R"(, "tp": 2)").empty());
  expect(notes_of("", R"(, "tp": 2)"), "does not say of how many chips its times are");
  const auto* int4 = R"({ "shape": "llama-3.1-8b", "context": 16384, "dtype": "int4" })";
  EXPECT_TRUE(notes_of("# dtype: int4\n", "", int4).empty());
  expect(notes_of("", "", int4), "does not say of which `dtype` its times are");
  expect(notes_of("# dtype: fp8\n", "", int4), "was measured with weights in fp8");
  expect(notes_of("", "", std::string(shape) + R"(, "n": )" + shape),
         "2 models have the same times there");

  write("p.csv", "# chips: 4\n" + points);
  const auto said
      = complaint(text(R"({ "spec": "h100-sxm", "tp": 2, "profile": "p.csv" })", shape, work));
  EXPECT_NE(said.find("p.csv was measured with 4 chips as one, and `tp` times `pp` are 2"),
            std::string::npos)
      << said;
  write("p.csv", "# chips: many\n" + points);
  EXPECT_NE(complaint(text(R"({ "spec": "l4", "profile": "p.csv" })", shape, work))
                .find("p.csv:1: expected `# chips: ` and a whole number"),
            std::string::npos);
}

TEST(SameModel, NamesOfServersMeanTheModelsWithinThem) {
  EXPECT_TRUE(same_model("meta-llama/Llama-3.1-8B-Instruct", "llama-3.1-8b"));
  EXPECT_TRUE(same_model("m", "M"));
  EXPECT_FALSE(same_model("meta-llama/Llama-3.1-8B", "llama-3.1-70b"));
  EXPECT_FALSE(same_model("llama", "m")) << "three letters and fewer are in anything";
}

TEST_F(ScenarioDevicesTest, WhatMeasuredTimesLeaveUnreadIsRefused) {
  write("p.csv", "kind,size,us\ndecode,1,1000\nprefill,100,2000\n");
  write_table();
  const auto expect = [&](const std::string& of, const std::string& part) {
    const auto said = complaint(text("{ " + of + " }", shape, work));
    EXPECT_NE(said.find("s.json:2: nodes[0].devices[0]." + part), std::string::npos) << said;
  };
  const std::string profile = R"("spec": "l4", "profile": "p.csv", )";
  for (const std::string name : {"mfu", "weight_efficiency", "kv_efficiency", "link_efficiency"})
    for (const auto& of : {profile, std::string(R"("spec": "l4", "table": ".", )")})
      expect(of + '"' + name + "\": 0.5", name + ": nothing reads it beside `");
  expect(profile + R"("step_overhead": "5s")", "step_overhead: nothing reads it beside `profile`");
  expect(profile + R"("link_gb_per_s": 5)", "link_gb_per_s: nothing reads it beside `profile`");
  expect(profile + R"("batch_buckets": [1, 2])", "batch_buckets: nothing reads it");
  expect(R"("spec": "cpu-local", "mfu": 0.5)", "mfu: nothing reads it of `cpu-local`");
  expect(profile + R"("table": ".")", "table: a device has `table` or `profile`, not both");
  EXPECT_EQ(complaint(text(R"({ "spec": "l4", "table": ".", "step_overhead": "1ms", "hop_us": 3,
    "sequence_overhead_us": 1, "link_gb_per_s": 5 })",
                           shape, work)),
            "");
}

TEST_F(ScenarioDevicesTest, ColumnsOfTablesAreReadByTheirNames) {
  const auto step_us = [&] {
    const auto made = device(R"({ "spec": "l4", "table": "." })");
    step_load load;
    load.decoding = load.rows = 1;
    load.decode_kv = 50;
    return cost_of(made, *find_model_shape("llama-3.1-8b"))->step_us(load);
  };
  const auto said
      = [&] { return complaint(text(R"({ "spec": "l4", "table": "." })", shape, work)); };
  write_table();
  const auto as_is = step_us();
  write("attention.csv", "# another order\nkv_decode,time_us,n_decode,prefill_chunk,kv_prefill\n"
                         "0,0,0,0,0\n0,1,1,0,0\n100,3,1,0,0\n0,7,0,100,0\n");
  EXPECT_DOUBLE_EQ(step_us(), as_is);
  const auto refused
      = [&](const std::string& name, const std::string& content, const std::string& part) {
          write_table();
          write(name, content);
          EXPECT_NE(said().find(part), std::string::npos) << said();
        };
  refused("dense.csv", "layer,tokens,time_ms\nqkv,1,10\n",
          "dense.csv:1: unknown column `time_ms`: expected `layer,tokens,time_us`, times in "
          "microseconds");
  refused("dense.csv", "qkv,1,10\nembedding,1,5\n",
          "dense.csv:1: expected the header `layer,tokens,time_us`, and there is `qkv,1,10`");
  refused("dense.csv", "layer,tokens\nqkv,1\n", "each once: see `time_us`");
  refused("dense.csv", "layer,tokens,time_us\nqkv,1,10,9\n", "dense.csv:2: expected");
}

TEST_F(ScenarioDevicesTest, TablesOfAnotherKindOfModelAreNoted) {
  const auto notes_of = [&](const std::string& of) {
    const auto plan = parse(text(R"({ "spec": "h100-sxm", "table": "." })", of, work));
    EXPECT_TRUE(plan.ok()) << plan.failure().message;
    return plan.ok() ? plan->notes : std::vector<std::string>{};
  };
  write_table();
  EXPECT_TRUE(notes_of(shape).empty());
  const auto experts = notes_of(R"({ "shape": "qwen3-30b-a3b", "context": 1024 })");
  ASSERT_EQ(experts.size(), 1U);
  EXPECT_NE(experts[0].find("has no moe.csv: the experts of `m` take no time"), std::string::npos);
  write("dense.csv", "# model: qwen3-32b\nlayer,tokens,time_us\nqkv,1,10\n");
  ASSERT_EQ(notes_of(shape).size(), 1U);
  EXPECT_NE(notes_of(shape)[0].find("was measured with `qwen3-32b`"), std::string::npos);
}

TEST_F(ScenarioDevicesTest, ARunBeyondTwiceWhatWasMeasuredIsNoted) {
  const auto notes_of = [&](const std::string& sizes) {
    write("p.csv", "kind,size,us\n" + sizes);
    const auto plan = parse(R"({ "name": "x", "duration": "2s", "engine_only": true,
      "nodes": [{ "name": "n", "devices": [{ "spec": "cpu-local", "profile": "p.csv" }] }],
      "models": { "m": { "weights": "10MiB" } },
      "workload": [{ "closed": { "clients": 8, "think_s": 0 }, "input": 64, "output": 8 }] })");
    EXPECT_TRUE(plan.ok()) << plan.failure().message;
    return run_scenario(*plan, {}).notes;
  };
  EXPECT_TRUE(notes_of("decode,1,1000\ndecode,4,2000\nprefill,300,5000\n").empty());
  const auto notes = notes_of("decode,1,1000\ndecode,3,2000\nprefill,31,5000\n");
  ASSERT_EQ(notes.size(), 2U);
  EXPECT_NE(notes[0].find("p.csv: was measured up to 3 streams in a step, and the run had 8: "),
            std::string::npos)
      << notes[0];
  EXPECT_NE(notes[1].find("p.csv: was measured up to 31 prompt tokens in a step, and the run had "),
            std::string::npos)
      << notes[1];
}

TEST_F(ScenarioDevicesTest, ReadsTablesOfOperatorsBesideTheFile) {
  write("dense.csv", "layer,tokens,time_us\nqkv,1,10\nqkv,100,20\nembedding,1,5\n");
  write("per_sequence.csv", "layer,sequences,time_us\nlm_head,1,100\nlm_head,2,110\n");
  write("attention.csv", "prefill_chunk,kv_prefill,n_decode,kv_decode,time_us\n"
                         "0,0,0,0,0\n0,0,1,0,1\n0,0,1,100,3\n100,0,0,0,7\n");
  const auto made = device(R"({ "spec": "l4", "table": "." })");
  const auto& eight = *find_model_shape("llama-3.1-8b");
  const auto line = cost_of(made, eight)->line_of(1, 50);
  // 32 layers of 10 us and attention of 2, once the embedding and the head.
  EXPECT_NEAR(line.base_us + line.slope_us * 50, 32 * (10 + 2) + 5 + 100, 1e-6);
  write("attention.csv", "prefill_chunk,kv_prefill,n_decode,kv_decode,time_us\n0,0,1,nan,1\n");
  const auto said = complaint(text(R"({ "spec": "l4", "table": "." })", shape, work));
  EXPECT_NE(said.find("attention.csv:2: expected"), std::string::npos) << said;
}

TEST_F(ScenarioDevicesTest, ADamagedTableIsSaidToBeDamagedNotMissing) {
  write("dense.csv.xz", std::string("\xFD"
                                    "7zXZ\0 and then nothing of itYZ",
                                    32));
  const auto of = text(R"({ "spec": "l4", "table": "." })", shape, work);
  EXPECT_NE(complaint(of).find("dense.csv.xz:1: the xz stream is damaged"), std::string::npos)
      << complaint(of);
  write("dense.csv.xz", "layer,tokens,time_us\n");
  EXPECT_NE(complaint(of).find("dense.csv.xz: is not xz data"), std::string::npos) << complaint(of);
}

TEST_F(ScenarioDevicesTest, WorkloadsComeFromProcessesTracesAndClients) {
  write("t.csv", "time_s,prompt_tokens,output_tokens\n0,5,6\n1,5,6\n");
  const auto plan = parse(text("\"l4\"", shape, R"json(
    { "gamma": { "rate": "5/s", "cv": 3 }, "sessions": { "turns": 4, "think_s": "exponential(5)"
}
},
    { "closed": { "clients": 64, "think_s": 1 },
      "shared_prefix": { "groups": 150, "tokens": 6000, "skew": 1 } },
    { "bursts": { "rate": "1/s", "peak": "50/s", "on": "10s", "off": "50s" } },
    { "diurnal": { "rate": "5/s", "depth": 0.5, "period": "1h" } },
    { "trace": ["t.csv", "t.csv"], "speed": 2, "skip": "1s" })json"));
  ASSERT_TRUE(plan.ok()) << plan.failure().message;
  EXPECT_EQ(plan->workloads[0].drawn.process, arrival_process::gamma);
  EXPECT_EQ(plan->workloads[0].drawn.turns, 4U);
  EXPECT_EQ(plan->workloads[1].drawn.clients, 64U);
  EXPECT_EQ(plan->workloads[1].drawn.prefix_groups, 150U);
  EXPECT_EQ(plan->workloads[2].drawn.on_us, 10'000'000);
  EXPECT_EQ(plan->workloads[3].drawn.process, arrival_process::diurnal);
  EXPECT_EQ(plan->workloads[4].trace_paths.size(), 2U);
}

TEST_F(ScenarioDevicesTest, SaysWhatIsWrongAndWhere) {
  write("bad.csv", "a,b,c\n");
  const auto expect = [&](const std::string& of, const std::string& part) {
    const auto said = complaint(of);
    EXPECT_NE(said.find(part), std::string::npos) << said;
  };
  const auto device = [&](const std::string& of) { return text(of, shape, work); };
  expect(device("\"h100-sx\""), "s.json:2: nodes[0].devices[0]: unknown device `h100-sx` (did you "
                                "mean h100-sxm");
  expect(device(R"({ "spec": "h1000" })"), "devices[0].spec: unknown device `h1000`");
  expect(device(R"({ "spec": "l4", "tpp": 2 })"), "tpp: unknown key (did you mean pp, tp");
  expect(device(R"({ "spec": "l4", "tp": -1 })"), "tp: must be between 1 and 64");
  expect(device(R"({ "spec": "cpu-local", "tp": 2 })"), "only a chip's spec can be joined");
  expect(device(R"({ "spec": "l4", "mfu": 99 })"), "mfu: must be between");
  expect(device(R"({ "spec": "l4", "power_cap_w": 5 })"), "power_cap_w: must be above idle_w");
  expect(device(R"({ "spec": "l4", "tdp_w": 1 })"), "tdp_w: must be such that idle_w");
  expect(device(R"({ "spec": "l4", "idle_w": 900 })"),
         "idle_w: must be such that idle_w, here 900");
  expect(device(R"({ "spec": "l4", "name": "a\nb" })"), "name: must be 1 to 256 bytes of UTF-8");
  expect(device(R"({ "spec": "l4", "name": "" })"), "name: must be 1 to 256 bytes of UTF-8");
  expect(device(R"({ "spec": "l4", "name": ")" + std::string(257, 'x') + "\" }"),
         "name: must be 1 to 256 bytes of UTF-8");
  expect(device(R"({ "spec": "l4", "batch_buckets": [4, 2] })"), "must be ascending");
  expect(device(R"({ "spec": "l4", "batch_buckets": [1.5] })"), "must be ascending whole numbers");
  expect(device(R"({ "spec": "l4", "profile": "none.csv" })"), "cannot read ");
  expect(device(R"({ "spec": "l4", "prefill": { "device": "rngd" } })"), "built artifacts");
  expect(device("{}"), "devices[0]: `spec` is missing");
  const auto stages
      = [&](const std::string& of) { return device(R"("l4", { "stages": )" + of + " }"); };
  expect(stages("{}"), "`prefill` is missing");
  expect(stages(R"({ "prefill": "gpu0", "decode": "gpu0" })"), "`stages` must name two devices");
  expect(stages(R"({ "prefill": "gpu0", "decode": "gpu1" })"), "`stages` must name two devices");
  expect(stages(R"({ "prefill": "gpu0", "decode": "hybrid0" })"), "`stages` must name two devices");
  expect(stages(R"({ "prefill": "gpu0", "decode": "gpu1", "transfer_gb_per_s": 0 })"),
         "transfer_gb_per_s: must be between");
  // What these were called said gigabits.
  expect(stages(R"({ "prefill": "gpu0", "decode": "gpu1", "transfer_gbps": 10 })"),
         "transfer_gbps: is now `transfer_gb_per_s`, in gigabytes a second");
  expect(device(R"({ "spec": "l4", "prefill": { "device": "l4", "transfer_gbps": 10 } })"),
         "transfer_gbps: is now `transfer_gb_per_s`, in gigabytes a second");
  expect(device(R"({ "spec": "l4", "link_gbps": 10 })"),
         "link_gbps: is now `link_gb_per_s`, in gigabytes a second");
  expect(text("\"l4\"", R"({ "shape": "llama-3.1-8" })", work),
         "unknown shape `llama-3.1-8` (did you mean llama-3.1-8b");
  expect(text("\"l4\"", R"({ "shape": "llama-3.1-8b", "dtype": "bf17" })", work),
         "dtype: unknown number type `bf17`");
  expect(text("\"l4\"", "{}", work), "models.m: `weights` is missing");
  expect(text("\"l4\"", shape, R"({ "trace": "none.csv" })"), "workload[0].trace: cannot read ");
  expect(text("\"l4\"", shape, R"({ "trace": "bad.csv" })"), "bad.csv:1: no column");
  expect(text("\"l4\"", shape, R"({ "trace": [] })"), "must name 1 to 100 files");
  expect(text("\"l4\"", shape, R"({ "poisson": "1/s", "trace": "x" })"), "exactly one of");
  expect(text("\"l4\"", shape, "{}"), "workload[0]: needs one of poisson, gamma, bursts, diurnal, "
                                      "stages, closed, trace, servegen");
  expect(text("\"l4\"", shape, R"({ "poisso": "1/s", "input": 5 })"),
         "workload[0].poisso: unknown key (did you mean poisson");
  expect(text("\"l4\"", shape, R"({ "trcae": "x.csv" })"),
         "workload[0].trcae: unknown key (did you mean trace");
  expect(text("\"l4\"", shape, R"({ "closd": { "clients": 5 } })"),
         "workload[0].closd: unknown key (did you mean closed");
  expect(text("\"l4\"", shape, R"({ "servegen": "." })"), "holds no client");
  expect(text("\"l4\"", shape, R"({ "gamma": { "cv": 1 } })"), "gamma: `rate` is missing");
  expect(text("\"l4\"", shape, R"({ "closed": { "clients": 0 } })"), "clients: must be between");
}

} // namespace
} // namespace consort::sim
