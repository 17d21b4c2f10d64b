// SPDX-License-Identifier: Apache-2.0
// What devices say of power and money, added up over their lives.
#include "scenarios/sim/recorder.hpp"

#include <gtest/gtest.h>

namespace consort::sim {
namespace {

class RecorderTest : public testing::Test {
protected:
  void advertise(const char* device, resource_type type) {
    core::device_advertised told;
    told.spec.id = device_id(device);
    told.spec.node = node_id("n");
    told.spec.type = type;
    recorder_.on_event(told, 0);
  }
  void report(const char* device, std::uint64_t life, std::uint64_t energy_mj, std::uint64_t micros,
              std::uint64_t power_mw) {
    core::device_reported told;
    told.device = device_id(device);
    told.life = incarnation(life);
    told.reading.energy_mj = energy_mj;
    told.reading.charged_mj = energy_mj / 4;
    told.reading.idle_mj = energy_mj - energy_mj / 4;
    told.reading.cost_micros = micros;
    told.reading.power_mw = power_mw;
    recorder_.on_event(told, 0);
  }

  run_summary summary_;
  recorder recorder_{summary_, false};
};

TEST_F(RecorderTest, AddsUpWhatDevicesSpendAndHowMuchTheyDrawAtOnce) {
  advertise("n/gpu0", resource_type::gpu);
  advertise("n/remote0", resource_type::remote);
  report("n/gpu0", 1, 100, 10, 50);
  report("n/gpu0", 1, 300, 30, 70);
  report("n/remote0", 1, 0, 5, 20);
  report("n/gpu0", 1, 400, 40, 10);
  EXPECT_EQ(summary_.spent.energy_mj, 400);
  EXPECT_EQ(summary_.spent.micros, 45);
  EXPECT_EQ(summary_.spent.remote_micros, 5);
  EXPECT_EQ(summary_.spent.power_mw_max, 90U);
}

TEST_F(RecorderTest, ANewLifeCountsFromNothingAndALateRepetitionForNothing) {
  report("n/gpu0", 1, 300, 30, 70);
  report("n/gpu0", 1, 200, 20, 70); // Overtaken by the one above.
  EXPECT_EQ(summary_.spent.energy_mj, 300);
  report("n/gpu0", 2, 50, 5, 70);
  EXPECT_EQ(summary_.spent.energy_mj, 350);
  EXPECT_EQ(summary_.spent.charged_mj, 75 + 12);
  EXPECT_EQ(summary_.spent.idle_mj, 225 + 38);
  EXPECT_EQ(summary_.spent.micros, 35);
}

TEST_F(RecorderTest, AddsUpWhatNodesTellOfAttempts) {
  recorder_.on_drawn({{gateway_id(1), 1}, 1}, 70, 0);
  recorder_.on_drawn({{gateway_id(1), 2}, 1}, std::nullopt, 0);
  recorder_.on_drawn({{gateway_id(1), 2}, 2}, 30, 0);
  EXPECT_EQ(summary_.spent.told_mj, 100);
  EXPECT_EQ(summary_.spent.attempts_told, 2U);
  EXPECT_EQ(summary_.spent.attempts_unknown, 1U);
}

/// A run in which nothing was served must say why.
TEST_F(RecorderTest, CountsByReasonWhatWasNotServed) {
  const auto end = [&](std::uint64_t number, request_outcome outcome, const char* code) {
    request_meta meta;
    meta.id = {gateway_id{1}, number};
    recorder_.on_submitted(meta, 0);
    client_answer ended;
    ended.request = meta.id;
    ended.outcome = outcome;
    ended.code = code;
    recorder_.on_answered(ended, 5);
  };
  end(1, request_outcome::rejected, "queue_full");
  end(2, request_outcome::failed, "attempts_exhausted");
  end(3, request_outcome::rejected, "queue_full");
  end(4, request_outcome::finished, "");
  end(5, request_outcome::cancelled, "client_left");
  EXPECT_EQ(summary_.codes,
            (std::map<std::string, std::uint64_t>{{"attempts_exhausted", 1}, {"queue_full", 2}}));
  compute_figures(summary_, 1'000'000);
  EXPECT_NE(render_summary(summary_).find("1 attempts_exhausted, 2 queue_full"), std::string::npos);
}

/// They are tickets beyond the first like failovers, and nothing failed.
TEST_F(RecorderTest, TellsPreemptionsByTheirName) {
  compute_figures(summary_, 1'000'000);
  EXPECT_EQ(render_summary(summary_).find("made room"), std::string::npos);
  core::snapshot seen;
  seen.counters.preemptions = 3;
  recorder_.on_end(seen, 9);
  compute_figures(summary_, 1'000'000);
  EXPECT_EQ(summary_.figures["preemptions"], 3);
  EXPECT_NE(render_summary(summary_).find("mid-stream; 3 made room for others"), std::string::npos);
}

TEST_F(RecorderTest, AddsUpHowLongBuildsTook) {
  const auto start = [&](std::uint64_t number, const char* node, time_us now) {
    core::start_compile wanted;
    wanted.node = node_id(node);
    wanted.compile = compile_id(number);
    recorder_.on_command(wanted, now);
  };
  start(1, "n", 1'000'000);
  start(2, "n", 2'000'000);
  start(3, "m", 2'000'000);
  start(4, "m", 2'000'000);
  core::compile_finished done;
  done.compile = compile_id(1);
  recorder_.on_event(done, 11'000'000); // 10 s.
  core::node_lost lost;
  lost.node = node_id("n");
  recorder_.on_event(lost, 5'000'000); // The second after 3 s.
  recorder_.on_command(core::cancel_compile{node_id("m"), compile_id(3)}, 4'000'000); // 2 s.
  recorder_.on_end({}, 6'000'000);                                                    // 4 s.
  EXPECT_EQ(summary_.counts.builds, 4U);
  EXPECT_EQ(summary_.counts.build_us, 19'000'000);
  EXPECT_EQ(summary_.counts.build_us_most, 10'000'000);
  compute_figures(summary_, 1'000'000);
  EXPECT_EQ(summary_.figures.at("build_s"), 19);
  EXPECT_EQ(summary_.figures.at("build_max_s"), 10);
  EXPECT_NE(render_summary(summary_).find("4 (19s in all, 10s the longest; they draw nothing "
                                          "without `compile_w`), 0"),
            std::string::npos)
      << render_summary(summary_);
}

TEST_F(RecorderTest, TellsWhenEachKindOfDeviceFirstGaveAToken) {
  for (std::uint64_t number = 1; number <= 3; ++number) {
    request_meta meta;
    meta.id = {gateway_id(1), number};
    recorder_.on_submitted(meta, 0);
  }
  recorder_.on_tokens({gateway_id(1), 1}, device_id("n/gpu12"), 1, 2'000'000);
  recorder_.on_tokens({gateway_id(1), 2}, device_id("m/gpu0"), 1, 3'000'000);
  recorder_.on_tokens({gateway_id(1), 3}, device_id("n/npu0"), 1, 900'000'000);
  compute_figures(summary_, 1'000'000);
  EXPECT_EQ(summary_.figures.at("first_served_gpu_s"), 2);
  EXPECT_EQ(summary_.figures.at("first_served_npu_s"), 900);
  EXPECT_EQ(summary_.figures.count("first_served_cpu_s"), 0U);
  EXPECT_NE(render_summary(summary_).find("gpu after 2s, npu after 15m"), std::string::npos)
      << render_summary(summary_);
}

TEST_F(RecorderTest, ALostNodeDrawsNothing) {
  advertise("n/gpu0", resource_type::gpu);
  report("n/gpu0", 1, 0, 0, 70);
  core::node_lost lost;
  lost.node = node_id("n");
  recorder_.on_event(lost, 0);
  report("m/gpu0", 1, 0, 0, 60);
  EXPECT_EQ(summary_.spent.power_mw_max, 70U) << "never both at once";
}

} // namespace
} // namespace consort::sim
