// SPDX-License-Identifier: Apache-2.0
// `engine_only`: one engine, its clients, and the same bounds as a whole cluster has.
#include "scenarios/sim/engine_replay.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace consort::sim {
namespace {

std::string lone_text(const std::string& work, const std::string& more = {}) {
  return R"({ "name": "alone", "duration": "20s", "settle": "20s", "engine_only": true,
"nodes": [{ "name": "n", "devices": ["cpu-local"] }],
"models": { "m": { "weights": "10MiB", "kv_bytes_per_token": 3072, "context": 512 } },
"workload": [)"
         + work + "]" + more + " }";
}

run_summary play_alone(const std::string& work, run_options options = {},
                       const std::string& more = {}) {
  const auto plan = parse_scenario(lone_text(work, more), "s.json");
  EXPECT_TRUE(plan.ok()) << plan.failure().message;
  return replay_engine(*plan, options);
}

std::string lone_complaint(const std::string& of) {
  const auto plan = parse_scenario(of, "s.json");
  return plan ? "" : plan.failure().message;
}

TEST(EngineReplay, AnswersEveryRequestAndTwiceTheSame) {
  const std::string work = R"({ "poisson": "5/s", "input": 40, "output": 20 })";
  const auto summary = play_alone(work, {}, R"(, "slo": { "ttft": "10s" })");
  EXPECT_TRUE(summary.passed());
  EXPECT_GT(summary.figures.at("finished"), 60);
  EXPECT_EQ(summary.figures.at("slo_attainment"), 1);
  EXPECT_EQ(summary.requests.front().device, "n/cpu0");
  EXPECT_EQ(summary.figures.at("tokens"), 20 * summary.figures.at("finished"));
  EXPECT_EQ(play_alone(work, {}, R"(, "slo": { "ttft": "10s" })").run_digest, summary.run_digest);
}

TEST(EngineReplay, AClosedLoopSendsAgainAndAWorkloadEndsWhenItSays) {
  const auto loop
      = play_alone(R"({ "closed": { "clients": 2, "think_s": 1 }, "input": 4, "output": 2 })");
  EXPECT_NEAR(loop.figures.at("requests"), 40, 3) << "two clients, once a second each";
  const auto early = play_alone(R"({ "poisson": "5/s", "until": "2s", "input": 4, "output": 2 })");
  for (const auto& one : early.requests)
    EXPECT_LT(one.submitted_at, 2 * limits::second_us);
  EXPECT_GT(early.requests.size(), 3U);
}

TEST(EngineReplay, WhatNeverFitsIsRejectedAndWhatDoesNotEndIsAViolation) {
  const auto rejected = play_alone(R"j({ "poisson": "5/s", "input": "lognormal(400,2)" })j");
  EXPECT_GT(rejected.figures.at("rejected"), 5);
  EXPECT_EQ(rejected.figures.at("rejected") + rejected.figures.at("finished"),
            rejected.figures.at("requests"));
  EXPECT_TRUE(rejected.passed());
  ASSERT_GE(rejected.notes.size(), 1U);
  EXPECT_NE(rejected.notes[0].find("prompts leave no room in its context of"), std::string::npos);
  const auto slow = play_alone(R"({ "poisson": "50/s", "input": 400, "output": 400 })");
  ASSERT_EQ(slow.violations.size(), 1U);
  EXPECT_NE(slow.violations[0].find("requests did not end within `settle`"), std::string::npos);
}

TEST(EngineReplay, AnAnswerThatTheContextCutsIsNoted) {
  const auto cut = play_alone(R"({ "poisson": "1/s", "input": 500, "output": 32 })");
  EXPECT_EQ(cut.requests.front().completion_tokens, 12U);
  ASSERT_EQ(cut.notes.size(), 1U);
  EXPECT_NE(cut.notes[0].find("s.json:3: models.m.context: "), std::string::npos) << cut.notes[0];
  EXPECT_NE(
      cut.notes[0].find("answers end where its context of 512 tokens does: the longest was to "
                        "have 32, the first was req-1"),
      std::string::npos)
      << cut.notes[0];
}

TEST(EngineReplay, SaysHowFarItIs) {
  std::vector<std::uint32_t> seen;
  run_options options;
  options.on_progress = [&](std::uint32_t done_pm) { seen.push_back(done_pm); };
  play_alone(R"({ "poisson": "5/s", "input": 4, "output": 2 })", options);
  ASSERT_GT(seen.size(), 10U);
  EXPECT_TRUE(std::is_sorted(seen.begin(), seen.end()));
  EXPECT_GT(seen.back(), 900U);
  EXPECT_LE(seen.back(), 1'000U);
}

TEST(EngineReplay, SaysWhoHasNotEndedOnceArrivalsAreOver) {
  std::vector<std::uint64_t> left;
  run_options options;
  options.on_settling = [&](duration_us spent, std::uint64_t live) {
    EXPECT_GT(spent, 0);
    left.push_back(live);
  };
  play_alone(R"({ "poisson": "50/s", "input": 400, "output": 100 })", options);
  ASSERT_FALSE(left.empty());
  EXPECT_GT(left.front(), 0U);
  EXPECT_LE(left.back(), left.front());
}

TEST(EngineReplay, StopsAtTheLimitsOfEveryRun) {
  const std::string work = R"({ "poisson": "5/s", "input": 4, "output": 2 })";
  run_options options;
  options.requests_max = 10;
  const auto many = play_alone(work, options);
  ASSERT_TRUE(many.input_failure);
  EXPECT_NE(many.input_failure->message.find("more than 10 requests"), std::string::npos);
  options = {};
  options.steps_max = 50;
  const auto long_one = play_alone(work, options);
  ASSERT_EQ(long_one.violations.size(), 1U);
  EXPECT_NE(long_one.violations[0].find("more than 50 steps"), std::string::npos);
}

TEST(EngineReplay, RefusesWhatOnlyAClusterHas) {
  const std::string work = R"({ "poisson": "1/s" })";
  const auto expect = [&](const std::string& of, const std::string& part) {
    EXPECT_NE(lone_complaint(of).find(part), std::string::npos) << lone_complaint(of);
  };
  expect(lone_text(work, R"(, "faults": [{ "at": "1s", "kill": "n" }])"),
         "faults: an `engine_only` run");
  expect(lone_text(work, R"(, "policy": "energy")"),
         "policy: an `engine_only` run has no scheduler");
  expect(lone_text(R"({ "poisson": "1/s", "cancel": 0.5 })"),
         "workload[0].cancel: an `engine_only`");
  expect(lone_text(R"({ "poisson": "1/s", "deadline": "1s" })"), "workload[0].deadline: an ");
}

} // namespace
} // namespace consort::sim
