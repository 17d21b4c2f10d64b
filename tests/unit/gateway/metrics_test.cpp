// SPDX-License-Identifier: Apache-2.0
#include "gateway/metrics.hpp"

#include <gtest/gtest.h>

namespace consort::gateway {
namespace {

bool has(const std::string& text, const std::string& line) {
  return text.find(line) != std::string::npos;
}

TEST(Metrics, NamesAreThoseThatDashboardsExpect) {
  metrics figures;
  auto& series = figures.of_model(model_name("m"));
  series.first_token.Observe(0.02);
  series.inter_token.Observe(0.002);
  series.whole.Observe(1);
  series.queued.Observe(0);
  series.completion_tokens.Increment(3);
  figures.count(request_end::finished);
  figures.count(attempt_end::failed);
  const auto text = figures.render(nullptr);
  for (const auto* line :
       {"consort_time_to_first_token_seconds_count{model=\"m\"} 1",
        "consort_inter_token_latency_seconds_count{model=\"m\"} 1",
        "consort_e2e_request_latency_seconds_count{model=\"m\"} 1",
        "consort_queue_wait_seconds_count{model=\"m\"} 1",
        "consort_requests_total{outcome=\"finished\"} 1",
        "consort_requests_total{outcome=\"invalid\"} 0",
        "consort_attempts_total{reason=\"failed\"} 1", "consort_requests_running 0",
        "consort_requests_waiting 0", "consort_http_connections 0",
        "consort_http_connections_displaced_total 0"})
    EXPECT_TRUE(has(text, line)) << line << "\n" << text;
  EXPECT_TRUE(has(text, "consort_tokens_total{kind=\"completion\",model=\"m\"} 3")) << text;
}

TEST(Metrics, ModelLabelsAreBounded) {
  metrics figures;
  for (std::size_t at = 0; at < limits::metric_models_max + 50; ++at)
    figures.of_model(model_name("model-" + std::to_string(at))).whole.Observe(1);
  const auto text = figures.render(nullptr);
  EXPECT_TRUE(has(text, "latency_seconds_count{model=\"other\"} 50")) << "the rest share one";
  EXPECT_FALSE(has(text, "model-" + std::to_string(limits::metric_models_max)));
}

TEST(Metrics, ChargesAreByModelAndTenantWithinABound) {
  metrics figures;
  figures.charge(model_name("m"), tenant_id("a"), {1'500, 20});
  figures.charge(model_name("m"), tenant_id("a"), {1'000, 5});
  figures.charge(model_name("m"), tenant_id(""), {250});
  auto text = figures.render(nullptr);
  EXPECT_TRUE(has(text, "consort_request_energy_joules_total{model=\"m\",tenant=\"a\"} 2.5"))
      << text;
  EXPECT_TRUE(has(text, "consort_request_energy_joules_total{model=\"m\",tenant=\"\"} 0.25"));
  EXPECT_TRUE(has(text, "consort_request_cost_total{model=\"m\",tenant=\"a\"} 2.5e-05")) << text;
  EXPECT_FALSE(has(text, "consort_request_cost_total{model=\"m\",tenant=\"\"}")) << "unknown";
  for (std::size_t at = 0; at < limits::metric_charges_max + 48; ++at)
    figures.charge(model_name("m"), tenant_id("t" + std::to_string(at)), {1'000});
  text = figures.render(nullptr);
  EXPECT_TRUE(has(text, "{model=\"other\",tenant=\"other\"} 50")) << "the rest share one";
}

TEST(Metrics, DevicesComeFromTheSnapshotAndUnknownReadingsHaveNoLine) {
  core::snapshot seen;
  seen.queue_depth = 4;
  seen.counters.builds_started = 2;
  seen.counters.builds_finished = 1;
  seen.counters.build_us_total = 1'500'000;
  core::device_view device;
  device.spec.id = device_id("local/npu0");
  device.alive = true;
  device.reading.power_mw = 12'500;
  device.reading.utilization_pm = 250;
  device.reading.engine = engine_counters{100, 40, 3, 2, 7};
  device.reading.cost_micros = 2'500'000;
  device.reading.energy_mj = 9'000;
  device.reading.charged_mj = 2'500;
  device.reading.idle_mj = 6'500;
  seen.devices.push_back(device);
  device.spec.id = device_id("local/npu1");
  device.reading.engine.reset();
  device.reading.charged_mj.reset();
  core::replica_view replica;
  replica.leader = device_id("local/npu0");
  replica.model = model_name("m");
  replica.energy_uj_per_token = 1'250'000;
  seen.replicas.push_back(replica);
  replica.leader = device_id("local/npu1");
  replica.energy_uj_per_token = 0;
  seen.replicas.push_back(replica);
  seen.devices.push_back(device);
  const auto text = metrics().render(&seen);
  EXPECT_TRUE(has(text, "consort_device_power_watts{device=\"local/npu0\"} 12.5")) << text;
  EXPECT_TRUE(has(text, "consort_device_utilization_ratio{device=\"local/npu0\"} 0.25"));
  EXPECT_TRUE(has(text, "consort_device_up{device=\"local/npu0\"} 1"));
  EXPECT_TRUE(has(text, "consort_artifact_builds_total{outcome=\"started\"} 2"));
  EXPECT_TRUE(has(text, "consort_artifact_builds_total{outcome=\"finished\"} 1"));
  EXPECT_TRUE(has(text, "consort_artifact_build_seconds_count 1"));
  EXPECT_TRUE(has(text, "consort_artifact_build_seconds_sum 1.5"));
  EXPECT_TRUE(has(text, "consort_engine_tokens_total{device=\"local/npu0\"} 100"));
  EXPECT_TRUE(has(text, "consort_engine_steps_total{device=\"local/npu0\"} 40"));
  EXPECT_TRUE(has(text, "consort_engine_cancelled_total{device=\"local/npu0\"} 3"));
  EXPECT_TRUE(has(text, "consort_engine_sequences_running{device=\"local/npu0\"} 2"));
  EXPECT_TRUE(has(text, "consort_engine_stages_missed_total{device=\"local/npu0\"} 7"));
  EXPECT_TRUE(has(text, "consort_cost_total{device=\"local/npu0\"} 2.5"));
  EXPECT_FALSE(has(text, "consort_engine_tokens_total{device=\"local/npu1\"}")) << "none ran yet";
  EXPECT_TRUE(has(text, "consort_energy_joules_total{device=\"local/npu0\"} 9"));
  EXPECT_TRUE(has(text, "consort_device_charged_joules_total{device=\"local/npu0\"} 2.5"));
  EXPECT_TRUE(has(text, "consort_device_idle_joules_total{device=\"local/npu0\"} 6.5"));
  EXPECT_FALSE(has(text, "consort_device_charged_joules_total{device=\"local/npu1\"}"));
  EXPECT_TRUE(has(text, "consort_token_energy_joules{device=\"local/npu0\",model=\"m\"} 1.25"));
  EXPECT_FALSE(has(text, "consort_token_energy_joules{device=\"local/npu1\"")) << "unknown";
  EXPECT_TRUE(has(text, "consort_queue_depth 4"));
  EXPECT_FALSE(has(text, "consort_device_memory_used_bytes{"));
}

TEST(Metrics, ADeviceThatMayGetNoWorkIsToldSoAndWhy) {
  core::snapshot seen;
  const auto add = [&](const char* id) -> core::device_view& {
    auto& made = seen.devices.emplace_back();
    made.spec.id = device_id(id);
    made.alive = true;
    return made;
  };
  add("well");
  add("fell").reading.health = device_health::unhealthy; // Off the bus, while its node is well.
  add("slow").reading.health = device_health::degraded;
  add("gone").alive = false;
  add("broken").breaker = "open";
  auto& held = add("held");
  held.draining = held.cordoned = true;
  const auto text = metrics().render(&seen);
  for (const auto* id : {"well", "slow", "broken", "held"})
    EXPECT_TRUE(has(text, "consort_device_up{device=\"" + std::string(id) + "\"} 1")) << text;
  EXPECT_TRUE(has(text, "consort_device_up{device=\"fell\"} 0")) << text;
  EXPECT_TRUE(has(text, "consort_device_up{device=\"gone\"} 0"));
  for (const auto* line :
       {"device=\"fell\",state=\"unhealthy\"} 1", "device=\"slow\",state=\"degraded\"} 1",
        "device=\"gone\",state=\"lost\"} 1", "device=\"broken\",state=\"breaker_open\"} 1",
        "device=\"held\",state=\"draining\"} 1", "device=\"held\",state=\"cordoned\"} 1",
        "device=\"held\",state=\"unhealthy\"} 0", "device=\"well\",state=\"unhealthy\"} 0"})
    EXPECT_TRUE(has(text, std::string("consort_device_state{") + line)) << line << "\n" << text;
  EXPECT_FALSE(has(text, "{device=\"well\",state=\"lost\"} 1"));
}

TEST(Metrics, DecisionTimesAreShownWhereTheSchedulerIs) {
  decision_times times;
  times.observe(4e-6);
  times.observe(2e-5);
  times.observe(5);
  const auto text = metrics().render(nullptr, &times);
  EXPECT_TRUE(has(text, "consort_decision_seconds_count 3")) << text;
  EXPECT_TRUE(has(text, "consort_decision_seconds_bucket{le=\"5e-06\"} 1")) << text;
  EXPECT_TRUE(has(text, "consort_decision_seconds_bucket{le=\"1\"} 2"));
  EXPECT_TRUE(has(text, "consort_decision_seconds_bucket{le=\"+Inf\"} 3"));
  EXPECT_FALSE(has(metrics().render(nullptr), "consort_decision_seconds"));
}

} // namespace
} // namespace consort::gateway
