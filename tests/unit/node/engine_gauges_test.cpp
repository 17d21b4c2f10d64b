// SPDX-License-Identifier: Apache-2.0
// Goal: whatever a server's metrics look like, what is in them is read and what is not is unknown.
#include "node/runtimes/engine_gauges.hpp"

#include <gtest/gtest.h>

namespace consort::node {
namespace {

metrics_rule vllm_rule() {
  metrics_rule rule;
  rule.path = "/metrics";
  rule.figures["running"] = {{"vllm:num_requests_running", "", 1}};
  rule.figures["waiting"] = {{"vllm:num_requests_waiting", "", 1}};
  rule.figures["kv_used"]
      = {{"vllm:kv_cache_usage_perc", "", 1}, {"vllm:gpu_cache_usage_perc", "", 1}};
  rule.figures["kv_blocks"] = {{"vllm:cache_config_info", "num_gpu_blocks", 1}};
  rule.figures["kv_block_tokens"] = {{"vllm:cache_config_info", "block_size", 1}};
  return rule;
}

engine_gauges read(const metrics_rule& rule, std::string_view text) {
  const auto gauges = read_gauges(rule, text);
  EXPECT_TRUE(gauges) << (gauges ? "" : gauges.failure().message);
  return gauges ? gauges->gauges : engine_gauges{};
}

std::string absent(const metrics_rule& rule, std::string_view text) {
  const auto gauges = read_gauges(rule, text);
  return gauges ? gauges->absent : "";
}

TEST(EngineGauges, PrometheusTextIsReadByItsNames) {
  const auto gauges = read(vllm_rule(), R"(# HELP vllm:num_requests_running Number of requests
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="a } b \" c"} 3.0
vllm:num_requests_running{engine="1",model_name="m"} 4.0 1767225600000
vllm:num_requests_running_total 99
vllm:num_requests_waiting{engine="0"} 2
vllm:gpu_cache_usage_perc{engine="0"} 0.25
vllm:gpu_cache_usage_perc{engine="1"} 0.5
vllm:cache_config_info{block_size="16",engine="0",num_gpu_blocks="2048"} 1.0
vllm:cache_config_info{block_size="16",engine="1",num_gpu_blocks="2048"} 1.0
)");
  EXPECT_EQ(gauges, (engine_gauges{7, 2, 500, 65'536}));
}

TEST(EngineGauges, WhatIsAbsentOrNonsenseIsUnknown) {
  EXPECT_EQ(read(vllm_rule(), ""), engine_gauges{});
  EXPECT_EQ(read(vllm_rule(), "vllm:num_requests_running NaN\nvllm:num_requests_waiting -1\n"
                              "vllm:kv_cache_usage_perc{x=\"\nvllm:num_requests_running\n<html>"),
            engine_gauges{});
  EXPECT_FALSE(read_gauges(vllm_rule(), std::string(limits::server_metrics_bytes_max + 1, '\n')));
}

TEST(EngineGauges, NamesThatTheMetricsLackAreTold) {
  EXPECT_EQ(absent(vllm_rule(), "vllm:num_requests_running 0\nvllm:num_requests_waitin 0\n"
                                "vllm:cache_config_info{block_size=\"16\"} 1\n"),
            "`vllm:cache_config_info{num_gpu_blocks}`, `vllm:kv_cache_usage_perc` or "
            "`vllm:gpu_cache_usage_perc`, `vllm:num_requests_waiting`");
  EXPECT_EQ(absent(vllm_rule(), ""), "") << "nothing was told";
  metrics_rule rule;
  rule.json = true;
  rule.figures["running"] = {{"/active", "", 1}};
  EXPECT_EQ(absent(rule, R"([{"busy": 1}])"), "`/active`");
  EXPECT_EQ(absent(rule, R"([{"active": 1}])"), "");
  EXPECT_EQ(absent(rule, "[]"), "") << "reading emptied it";
  EXPECT_EQ(absent(rule, "nothing"), "");
}

TEST(EngineGauges, OfAListOfIterationsTheLastIsNow) {
  metrics_rule rule;
  rule.json = true;
  rule.figures["running"] = {{"/numActiveRequests", "", 1}};
  rule.figures["kv_blocks"] = {{"/kvCacheStats/maxNumBlocks", "", 1}};
  rule.figures["kv_block_tokens"] = {{"/kvCacheStats/tokensPerBlock", "", 1}};
  rule.figures["kv_used_blocks"] = {{"/kvCacheStats/usedNumBlocks", "", 1}};
  EXPECT_EQ(read(rule, R"([{"numActiveRequests": 9}, {"numActiveRequests": 2, "kvCacheStats":
            {"maxNumBlocks": 100, "tokensPerBlock": 32, "usedNumBlocks": 25}}])"),
            (engine_gauges{2, std::nullopt, 250, 3'200}));
  EXPECT_EQ(read(rule, "[]"), (engine_gauges{0, std::nullopt, std::nullopt, std::nullopt}))
      << "reading emptied it, and nothing ran since";
  EXPECT_EQ(read(rule, R"({"numActiveRequests": "x"})"), engine_gauges{});
  EXPECT_FALSE(read_gauges(rule, "nothing"));
}

TEST(EngineGauges, WhatOthersRunAndHoldIsNotOurs) {
  capacity_vector declared;
  declared.sequences = {8, figure_source::declared, 0};
  const auto seen = capacity_by(declared, {6, 2, 500, 80'000}, 2, 1'000);
  EXPECT_EQ(seen.sequences, declared.sequences);
  EXPECT_EQ(seen.foreign_sequences, (capacity_figure{6, figure_source::engine, 1'000}));
  EXPECT_EQ(seen.kv_tokens, (capacity_figure{50'000, figure_source::engine, 1'000}));
  const auto alone = capacity_by(declared, {1, 0, 500, 80'000}, 2, 0);
  EXPECT_EQ(alone.foreign_sequences.value, 0U) << "gauges lag";
  EXPECT_EQ(alone.kv_tokens.value, 80'000U);
  EXPECT_EQ(capacity_by(declared, {}, 2, 0), declared);
}

TEST(EngineGauges, SharesOfASmallOrOfAHugeCacheAreExact) {
  // Half of 999 is used, two thirds of that by others.
  EXPECT_EQ(capacity_by({}, {3, 0, 500, 999}, 1, 0).kv_tokens.value, 999U - 332U);
  EXPECT_EQ(capacity_by({}, {7, 0, 1'000, 10}, 1, 0).kv_tokens.value, 2U);
  constexpr auto most = std::numeric_limits<std::uint64_t>::max();
  const auto huge = capacity_by({}, {most, 0, 1'000, most}, 0, 0);
  EXPECT_EQ(huge.kv_tokens.value, 0U) << "and no overflow: all of it is others'";
}

} // namespace
} // namespace consort::node
