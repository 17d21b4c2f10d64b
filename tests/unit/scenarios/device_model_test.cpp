// SPDX-License-Identifier: Apache-2.0
#include "scenarios/models/device_model.hpp"

#include <gtest/gtest.h>

namespace consort::sim {
namespace {

TEST(DeviceModel, EveryNameResolvesToConsistentFigures) {
  ASSERT_FALSE(device_model_names().empty());
  for (const auto& name : device_model_names()) {
    const auto* model = find_device_model(name);
    ASSERT_NE(model, nullptr) << name;
    EXPECT_GT(model->prefill_tokens_per_s, 0U) << name;
    EXPECT_GT(model->decode_tokens_per_s, 0U) << name;
    EXPECT_GT(model->step_tokens, 0U) << name;
    EXPECT_GE(model->tdp_mw, model->idle_mw) << name;
    EXPECT_EQ(model->build_profile.empty(), model->compile_us == 0) << name;
  }
  EXPECT_EQ(find_device_model("no-such-device"), nullptr);
}

TEST(DeviceModel, AStepGrowsWithBatchAndPrefillButBatchingPays) {
  const auto& npu = *find_device_model("refnpu-1");
  const auto one = step_us(npu, 1, 0);
  const auto eight = step_us(npu, 8, 0);
  EXPECT_EQ(one, 1'000);
  EXPECT_GT(eight, one);
  EXPECT_LT(eight, 8 * one);
  EXPECT_EQ(step_us(npu, 0, 200), 10'000);
  EXPECT_EQ(step_us(npu, 1, 200), 11'000);
  EXPECT_EQ(step_us(npu, 0, 0), 1);
}

TEST(DeviceModel, PowerRunsFromIdleToTheLimit) {
  const auto& cpu = *find_device_model("cpu-local");
  EXPECT_EQ(power_mw(cpu, 0), cpu.idle_mw);
  EXPECT_EQ(power_mw(cpu, cpu.max_sequences), cpu.tdp_mw);
  EXPECT_EQ(power_mw(cpu, 1'000), cpu.tdp_mw);
}

} // namespace
} // namespace consort::sim
