// SPDX-License-Identifier: Apache-2.0
#include "scenarios/models/device_model.hpp"
#include "scenarios/models/operator_tables.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <string>

namespace consort::sim {
namespace {

const model_shape& llama8 = *find_model_shape("llama-3.1-8b");

double decode_us(const device_model& device, const model_shape& shape, std::uint32_t sequences,
                 double context) {
  const auto line = cost_of(device, shape)->line_of(sequences, sequences * context);
  return line.base_us + line.slope_us * sequences * context;
}

TEST(DeviceModel, EveryNameResolvesToConsistentFigures) {
  ASSERT_FALSE(device_model_names().empty());
  for (const auto& name : device_model_names()) {
    const auto model = find_device_model(name);
    ASSERT_NE(model, nullptr) << name;
    const auto claim = claim_of(*model, llama8);
    EXPECT_GT(claim.prefill_tokens_per_s, 0U) << name;
    EXPECT_GT(claim.decode_tokens_per_s, 0U) << name;
    EXPECT_GT(model->step_tokens, 0U) << name;
    EXPECT_GT(model->memory_bytes, 0U) << name;
    EXPECT_GE(model->tdp_mw, model->idle_mw) << name;
    EXPECT_EQ(model->build_profile.empty(), model->compile_us == 0) << name;
  }
  EXPECT_EQ(find_device_model("no-such-device"), nullptr);
}

TEST(DeviceModel, EveryChipSaysWhereItsFiguresComeFrom) {
  for (const auto& name : chip_spec_names()) {
    const auto* chip = find_chip_spec(name);
    ASSERT_NE(chip, nullptr);
    EXPECT_FALSE(chip->source.empty()) << name;
    EXPECT_GT(chip->memory_gbps, 0) << name;
    EXPECT_GE(chip->tdp_w, chip->idle_w) << name;
  }
  EXPECT_EQ(find_chip_spec("H100-SXM"), find_chip_spec("h100-sxm"));
}

TEST(DeviceModel, ShapesCountTheParametersThatTheirNamesSay) {
  const auto billions
      = [](const char* name) { return double(find_model_shape(name)->weight_bytes()) / 2e9; };
  EXPECT_NEAR(billions("llama-3.1-8b"), 8.03, 0.05);
  EXPECT_NEAR(billions("llama-3.1-70b"), 70.6, 0.3);
  EXPECT_NEAR(billions("llama-2-7b"), 6.74, 0.05);
  EXPECT_NEAR(billions("qwen3-32b"), 32.8, 0.3);
  EXPECT_NEAR(billions("mixtral-8x7b"), 46.7, 0.3);
  EXPECT_NEAR(billions("qwen3-30b-a3b"), 30.5, 0.3);
  EXPECT_NEAR(billions("gpt-oss-120b"), 116.8, 4);
  EXPECT_EQ(llama8.kv_bytes_per_token(), 131'072U);
  EXPECT_EQ(find_model_shape("llama-3.1-70b")->kv_bytes_per_token(), 327'680U);
}

TEST(DeviceModel, AMixtureTouchesFewExpertsForOneTokenAndAllForMany) {
  const auto& moe = *find_model_shape("qwen3-30b-a3b");
  EXPECT_NEAR(moe.touched_bytes(1) / 2, moe.active_params() + moe.head_params(), 1e3);
  EXPECT_NEAR(moe.touched_bytes(1'000) / double(moe.weight_bytes()), 1, 0.02);
}

TEST(DeviceModel, RatesMakeAStepGrowWithBatchAndPrefill) {
  const auto npu = find_device_model("refnpu-1");
  const auto cost = cost_of(*npu, llama8);
  EXPECT_DOUBLE_EQ(decode_us(*npu, llama8, 1, 0), 1'000);
  EXPECT_DOUBLE_EQ(decode_us(*npu, llama8, 8, 0), 1'840);
  step_load load;
  load.chunks = {{200, 0}};
  EXPECT_DOUBLE_EQ(cost->step_us(load), 10'000);
  load.decoding = 1;
  EXPECT_DOUBLE_EQ(cost->step_us(load), 11'000);
}

TEST(DeviceModel, ADecodeStepOfARooflineReadsTheWeightsAndTheCache) {
  auto device = *find_device_model("h100-sxm");
  device.constants = {0, 1, 1, 1, 0, 0, 0};
  // Without overheads and at full efficiency: bytes over bandwidth.
  const double weights = llama8.touched_bytes(1) / 3'350e3;
  EXPECT_NEAR(decode_us(device, llama8, 1, 0), weights, 1);
  const double cache = 32 * 2'000 * 131'072.0 / 3'350e3;
  EXPECT_NEAR(decode_us(device, llama8, 32, 2'000), weights + cache, 1);
  // A long prompt is bound by arithmetic: two operations for each parameter and token, and
  // attention's four for each pair, layer and head.
  step_load load;
  load.chunks = {{8'192, 0}};
  load.rows = 1;
  const double flops = 2 * (llama8.active_params() * 8'192 + llama8.head_params())
                       + 4.0 * 32 * 4'096 * 8'192 * 4'096;
  EXPECT_NEAR(cost_of(device, llama8)->step_us(load), flops / 989e6, 1);
}

TEST(DeviceModel, TensorParallelChipsShareTheWorkAndPayForTheExchange) {
  const auto* chip = find_chip_spec("h100-sxm");
  const auto alone = device_of_chips(*chip, {});
  const auto four = device_of_chips(*chip, {4, 1, 0});
  EXPECT_EQ(four.memory_bytes, 4 * alone.memory_bytes);
  EXPECT_EQ(four.tdp_mw, 4 * alone.tdp_mw);
  const auto& big = *find_model_shape("llama-3.1-70b");
  const auto ratio = decode_us(alone, big, 8, 1'000) / decode_us(four, big, 8, 1'000);
  EXPECT_GT(ratio, 2);
  EXPECT_LT(ratio, 4);
}

TEST(DeviceModel, APipelineKeepsABatchInEachStage) {
  const auto* chip = find_chip_spec("a100-80g");
  const auto& big = *find_model_shape("llama-3.1-70b");
  const auto alone = device_of_chips(*chip, {});
  const auto four = device_of_chips(*chip, {1, 4, 0});
  // 32 sequences in four batches of 8: a step as long as 8 take on one chip, and the hops.
  EXPECT_NEAR(decode_us(four, big, 32, 1'000), decode_us(alone, big, 8, 1'000), 100);
}

/// Operators whose times are lines, so that what is expected can be added up by hand.
std::shared_ptr<const operator_tables> lines() {
  const std::map<std::string, std::string> files{
      {"dense.csv", "layer,tokens,time_us\nqkv,1,10\nqkv,1001,1010\n"},
      {"per_sequence.csv", "layer,sequences,time_us\nlm_head,1,100\nlm_head,101,200\n"},
      {"attention.csv", "prefill_chunk,kv_prefill,n_decode,kv_decode,time_us\n"
                        "0,0,0,0,0\n0,0,0,1000,0\n0,0,1,0,1\n0,0,1,1000,11\n"
                        "1000,0,0,0,50\n1000,0,0,1000,50\n1000,1000,0,0,150\n"
                        "1000,0,1,0,51\n1000,0,1,1000,61\n"}};
  std::string wrong;
  auto made = operator_tables::load(
      [&](const std::string& name) -> std::optional<std::string> {
        const auto found = files.find(name);
        return found == files.end() ? std::nullopt : std::optional(found->second);
      },
      wrong);
  EXPECT_EQ(wrong, "");
  return made;
}

TEST(DeviceModel, APipelineOfATableKeepsABatchInEachStage) {
  auto alone = device_of_chips(*find_chip_spec("a100-80g"), {});
  alone.fidelity = fidelity_kind::table;
  alone.constants = {0, 1, 1, 1, 0, 0, 7};
  alone.tables = lines();
  auto four = alone;
  four.group.pp = 4;
  constexpr double hops_us = 4 * 7;
  EXPECT_NEAR(decode_us(four, llama8, 32, 500), decode_us(alone, llama8, 8, 500) + hops_us, 1e-6);
  EXPECT_LT(decode_us(four, llama8, 32, 500), decode_us(alone, llama8, 32, 500));
  // One sequence alone passes every stage: nothing is gained.
  EXPECT_NEAR(decode_us(four, llama8, 1, 500), decode_us(alone, llama8, 1, 500) + hops_us, 1e-6);
  // The line passes through what a step takes.
  step_load decode;
  decode.decoding = decode.rows = 32;
  decode.decode_kv = 32 * 500;
  EXPECT_NEAR(cost_of(four, llama8)->step_us(decode), decode_us(four, llama8, 32, 500), 1e-6);
  // A prompt is cut into as many parts, which have its pairs together: 800 tokens are four times
  // 200 behind a past of 300.
  step_load whole;
  whole.chunks = {{800, 0}};
  whole.rows = 1;
  auto part = whole;
  part.chunks = {{200, 300}};
  EXPECT_NEAR(cost_of(four, llama8)->step_us(whole),
              cost_of(alone, llama8)->step_us(part) + hops_us, 1e-6);
}

TEST(DeviceModel, AnNpuComputesTheBatchThatWasCompiled) {
  auto npu = *find_device_model("rngd");
  ASSERT_FALSE(npu.batch_buckets.empty());
  npu.constants.c2_us = 0;
  EXPECT_DOUBLE_EQ(decode_us(npu, llama8, 5, 0), decode_us(npu, llama8, 8, 0));
  EXPECT_FALSE(npu.build_profile.empty());
  EXPECT_GT(compile_us_of(npu, 16'000'000'000), npu.compile_us);
}

TEST(DeviceModel, MemoryThatComputesDecodesWellAndPrefillsBadly) {
  const auto pim = *find_device_model("cent-cxl-pim");
  const auto gpu = *find_device_model("a100-80g");
  const auto& shape = *find_model_shape("llama-2-7b");
  EXPECT_LT(decode_us(pim, shape, 1, 4'000), decode_us(gpu, shape, 1, 4'000));
  EXPECT_LT(claim_of(pim, shape).prefill_tokens_per_s, claim_of(gpu, shape).prefill_tokens_per_s);
}

/// Published by CENT (ASPLOS'25; Yufeng98/CENT, MIT): Llama 2, 512 tokens in and 3,584 out.
struct cent_figure {
  const char* shape;
  chip_group group;
  double prompt_ms;      ///< Of one prompt in each stage; 0 = not published.
  double token_ms;       ///< Mean of a decoded token; 0 = not published.
  double decoding_w = 0; ///< Of all devices.
};

TEST(DeviceModel, MemoryThatComputesIsAsFastAndAsFrugalAsPublished) {
  const std::array<cent_figure, 5> published{{{"llama-2-7b", {1, 8, 0}, 1'199, 3.278, 234},
                                              {"llama-2-7b", {8, 1, 0}, 534, 1.747, 93},
                                              {"llama-2-13b", {2, 10, 0}, 1'449, 4.148, 478},
                                              {"llama-2-70b", {1, 32, 0}, 9'941, 25.03, 1'076},
                                              {"llama-2-70b", {32, 1, 0}, 2'956, 0}}};
  for (const auto& one : published) {
    const auto device = device_of_chips(*find_chip_spec("cent-cxl-pim"), one.group);
    const auto& shape = *find_model_shape(one.shape);
    const auto cost = cost_of(device, shape);
    step_load prompts;
    prompts.chunks.assign(one.group.pp, {512, 0});
    prompts.rows = one.group.pp;
    EXPECT_NEAR(cost->step_us(prompts) / 1e3 / one.prompt_ms, 1, 0.17) << device.name;
    if (one.token_ms == 0)
      continue;
    const double context = 512 + 3'584 / 2.0;
    EXPECT_NEAR(decode_us(device, shape, one.group.pp, context) / 1e3 / one.token_ms, 1, 0.17)
        << device.name;
    step_load decode;
    decode.decoding = decode.rows = one.group.pp;
    decode.decode_kv = static_cast<std::uint64_t>(context) * one.group.pp;
    EXPECT_NEAR(power_mw(device, cost->intensity(decode)) / 1e3 / one.decoding_w, 1, 0.17)
        << device.name;
  }
}

TEST(DeviceModel, MemoryThatComputesGainsNothingByABatch) {
  const auto pim = *find_device_model("cent-cxl-pim");
  const double host = pim.constants.c0_us;
  const double alone = decode_us(pim, llama8, 1, 1'000) - host;
  EXPECT_NEAR(decode_us(pim, llama8, 8, 1'000) - host, 8 * alone, 0.03 * 8 * alone);
  // Nor by keeping one head's cache for four that ask.
  auto every_head = llama8;
  every_head.kv_heads = every_head.heads;
  const auto slope = [&](const model_shape& shape) { return cost_of(pim, shape)->line_of(1, 0); };
  EXPECT_DOUBLE_EQ(slope(llama8).slope_us, slope(every_head).slope_us);
}

TEST(DeviceModel, PowerRunsFromIdleToTheLimitAndACapSlowsDown) {
  auto cpu = *find_device_model("cpu-local");
  EXPECT_DOUBLE_EQ(power_mw(cpu, 0), double(cpu.idle_mw));
  EXPECT_DOUBLE_EQ(power_mw(cpu, 1), double(cpu.tdp_mw));
  EXPECT_DOUBLE_EQ(slowdown_of_cap(cpu, 1), 1);
  cpu.cap_mw = 20'000;
  EXPECT_DOUBLE_EQ(power_mw(cpu, 1), 20'000);
  EXPECT_GT(slowdown_of_cap(cpu, 1), 1.3);
  EXPECT_LT(slowdown_of_cap(cpu, 1), 2);
}

TEST(DeviceModel, AProfileIsReadWithTheLineOfWhatIsWrong) {
  const auto good = read_profile("# learned\nkind,size,us\ndecode,1,100\ndecode,8,170\n"
                                 "prefill,100,400\nprefill,200,700\n");
  ASSERT_TRUE(good.error.empty()) << good.error;
  const rates_cost cost(good.points);
  EXPECT_DOUBLE_EQ(cost.line_of(4, 0).base_us, 130);
  EXPECT_DOUBLE_EQ(cost.line_of(15, 0).base_us, 240);
  step_load load;
  load.chunks = {{150, 0}};
  EXPECT_DOUBLE_EQ(cost.step_us(load), 550);
  EXPECT_EQ(read_profile("kind,size,us\ndecode,1,nan\n").line, 2U);
  EXPECT_EQ(read_profile("kind,size,us\ndecode,8,1\ndecode,1,1\n").line, 3U);
  EXPECT_NE(read_profile("kind,size,us\ndecode,1,5\n").error.find("prefill"), std::string::npos);
  EXPECT_FALSE(read_profile("").error.empty());
}

/// A measurement that came out low was once a line down to no time at all.
TEST(DeviceModel, BeyondWhatWasMeasuredTimesNeverFall) {
  const rates_cost dip({{{1, 1'000}, {4, 1'100}, {8, 1'020}}, {{100, 20'000}, {1'000, 19'000}}});
  EXPECT_DOUBLE_EQ(dip.line_of(8, 0).base_us, 1'020);
  // The median of 33.3, 2.86 and -20 us a stream.
  EXPECT_NEAR(dip.line_of(64, 0).base_us, 1'020 + 56 * 20.0 / 7, 1e-6);
  step_load long_prompt;
  long_prompt.chunks = {{16'000, 0}};
  EXPECT_DOUBLE_EQ(dip.step_us(long_prompt), 19'000);
}

/// A tenth too much or too little at the last of doubling sizes is no slope.
TEST(DeviceModel, NoiseOfTheLastPointIsNotMultiplied) {
  for (const double noise : {0.9, 1.0, 1.1}) {
    rate_points points{{}, {{1'000, 100'000}}};
    for (double streams = 1; streams <= 32; streams *= 2)
      points.decode.push_back({streams, 5'000 + 50 * streams});
    points.decode.back().us *= noise;
    const double last = points.decode.back().us;
    EXPECT_NEAR(rates_cost(points).line_of(256, 0).base_us, last + 224 * 50, 1) << noise;
  }
  // Of two points or one there is no median.
  EXPECT_EQ(with_tail({{1, 10}, {2, 30}}).size(), 2U);
  EXPECT_EQ(with_tail({{1, 10}}).size(), 1U);
  // The largest few only, however many there are.
  std::vector<rate_point> many;
  for (int size = 1; size <= 1'000; ++size)
    many.push_back({double(size), size <= 1'000 - int(tail_points_max) ? 1.0 : 10.0 * size});
  EXPECT_NEAR(with_tail(many).back().us, 20'000, 1e-6);
}

/// An absurd time would leave the range of virtual time, which made it nothing.
TEST(DeviceModel, AProfileHasNoAbsurdPointAndNoFurtherColumn) {
  const auto wrong = [](const std::string& row) {
    const auto read = read_profile("kind,size,us\nprefill,1,1\n" + row + "\n");
    EXPECT_EQ(read.line, 3U) << row;
    return read.error;
  };
  for (const auto* row : {"decode,1,1e30", "decode,1,1e12", "decode,1,3600000001"})
    EXPECT_NE(wrong(row).find("no step takes longer than 3600000000 us"), std::string::npos) << row;
  for (const auto* row : {"decode,1.5,1", "decode,16777217,1", "decode,1e300,1"})
    EXPECT_NE(wrong(row).find("whole numbers"), std::string::npos) << row;
  EXPECT_NE(wrong("prefill,5,5,9").find("expected three columns, and there is `9`"),
            std::string::npos);
  EXPECT_EQ(read_profile("kind,size,us\nprefill,16777216,3600000000\ndecode,1,3600000000\n").error,
            "");
}

} // namespace
} // namespace consort::sim
