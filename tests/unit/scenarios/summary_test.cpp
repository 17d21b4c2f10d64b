// SPDX-License-Identifier: Apache-2.0
#include "scenarios/sim/summary.hpp"

#include "scenarios/sim/scenario.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>

namespace consort::sim {
namespace {

run_summary sample() {
  run_summary made;
  made.scenario = "sample";
  made.seed = 9;
  made.policy = "latency";
  for (int at = 0; at < 4; ++at) {
    auto& one = made.requests.emplace_back();
    one.external_id = "req-" + std::to_string(at + 1);
    one.submitted_at = at * 1'000;
    one.first_token_at = one.submitted_at + 10'000 * (at + 1);
    one.ended_at = *one.first_token_at + 5'000;
    one.outcome = request_outcome::finished;
    one.completion_tokens = 5;
    one.device = "n/cpu0";
  }
  made.requests[2].outcome = request_outcome::failed;
  made.requests[3].outcome.reset();
  for (const auto gap : {3'000, 1'000, 2'000})
    made.token_gaps.add(gap);
  made.device_tokens["n/cpu0"] = 20;
  compute_figures(made, 2'000'000);
  return made;
}

TEST(Summary, PercentilesAreByNearestRank) {
  EXPECT_EQ(percentile({}, 500), std::nullopt);
  EXPECT_EQ(percentile({7}, 0), 7);
  EXPECT_EQ(percentile({1, 2, 3, 4}, 500), 2);
  EXPECT_EQ(percentile({1, 2, 3, 4}, 501), 3);
  EXPECT_EQ(percentile({1, 2, 3, 4}, 1'000), 4);
}

TEST(Summary, CountsFailedAndUnansweredRequestsAsLost) {
  const auto summary = sample();
  EXPECT_EQ(summary.figures.at("requests"), 4);
  EXPECT_EQ(summary.figures.at("finished"), 2);
  EXPECT_EQ(summary.figures.at("lost_requests"), 2);
  EXPECT_EQ(summary.figures.at("tokens_per_s"), 10);
  EXPECT_EQ(summary.figures.at("ttft_p50_ms"), 10);
  EXPECT_EQ(summary.figures.at("ttft_p99_ms"), 20);
  EXPECT_EQ(summary.figures.at("itl_p50_ms"), 2);
}

/// Names of models are any words, paths any bytes.
TEST(Summary, FilesAreWellFormedWhateverNamesThereAre) {
  auto summary = sample();
  for (auto& one : summary.requests)
    one.model = "a, \"b\"";
  EXPECT_NE(requests_csv(summary).find("req-1,\"a, \"\"b\"\"\",finished,"), std::string::npos)
      << requests_csv(summary);
  summary.notes = {"odd\xff.json:1: x"};
  const auto parsed
      = nlohmann::json::parse(summary_json(summary, {"1", "consort sim odd\xff.json"}));
  EXPECT_EQ(parsed["notes"].size(), 1U);
}

TEST(Summary, EveryMetricItComputesMayBeExpected) {
  const auto summary = sample();
  const auto& known = summary_metrics();
  for (const auto& [name, value] : summary.figures)
    EXPECT_NE(std::find(known.begin(), known.end(), name), known.end()) << name;
}

TEST(Summary, NamesTheMetricValueAndBoundOfAMissedExpectation) {
  const auto summary = sample();
  EXPECT_TRUE(missed_expectations(summary, {{"finished", 2, 2}}).empty());
  const auto missed = missed_expectations(
      summary, {{"lost_requests", 0, 0}, {"tokens_per_s", 11, {}}, {"ttft_p99_ms", {}, 19.5}});
  ASSERT_EQ(missed.size(), 3U);
  EXPECT_EQ(missed[0], "lost_requests is 2, expected at most 0");
  EXPECT_EQ(missed[1], "tokens_per_s is 10, expected at least 11");
  EXPECT_EQ(missed[2], "ttft_p99_ms is 20, expected at most 19.5");
}

TEST(Summary, AFigureThatNobodyReachedIsAMiss) {
  run_summary empty;
  compute_figures(empty, 1'000'000);
  const auto missed = missed_expectations(empty, {{"ttft_p99_ms", {}, 100}});
  ASSERT_EQ(missed.size(), 1U);
  EXPECT_NE(missed[0].find("ttft_p99_ms is unknown"), std::string::npos);
}

TEST(Summary, SpansCountRequestsThatWereNotKeptToo) {
  auto summary = sample();
  EXPECT_EQ(finished_spans(summary, finished_spans::what::life).percentile(1'000), 25'000);
  summary.further.requests = 3;
  for (const auto span : {50'000, 60'000, 70'000})
    summary.further.first_tokens.add(span);
  const finished_spans first(summary, finished_spans::what::first_token);
  EXPECT_NEAR(double(*first.percentile(500)), 50'000, 50) << "the third of five";
  EXPECT_EQ(first.percentile(1'000), 70'000);
  EXPECT_EQ(first.mean_us(), (10'000 + 20'000 + 50'000 + 60'000 + 70'000) / 5.0);
}

TEST(Summary, SpendingIsKnownOnlyWhereDevicesReported) {
  auto summary = sample();
  EXPECT_EQ(summary.figures.count("energy_wh"), 0U);
  summary.spent.reports = 3;
  summary.spent.energy_mj = 7.2e6;
  summary.spent.told_mj = 1.8e6;
  summary.spent.idle_mj = 5.4e6;
  summary.spent.micros = 5e6;
  summary.spent.remote_micros = 2e6;
  summary.spent.power_mw_max = 150'000;
  compute_figures(summary, 2'000'000);
  EXPECT_EQ(summary.figures.at("energy_wh"), 2);
  EXPECT_EQ(summary.figures.at("joules_per_token"), 7'200 / summary.figures.at("tokens"));
  EXPECT_EQ(summary.figures.at("energy_requests_wh"), 0.5);
  EXPECT_EQ(summary.figures.at("energy_idle_wh"), 1.5);
  EXPECT_EQ(summary.figures.at("power_max_w"), 150);
  EXPECT_EQ(summary.figures.at("money"), 5);
  EXPECT_EQ(summary.figures.at("remote_money"), 2);
}

TEST(Summary, TheTableShowsTheBusiestDevicesAndCountsTheRest) {
  auto summary = sample();
  summary.device_tokens.clear();
  for (std::size_t at = 0; at < limits::table_devices_max + 3; ++at)
    summary.device_tokens["n/gpu" + std::to_string(at + 100)] = at + 1;
  const auto text = render_summary(summary);
  EXPECT_NE(text.find("  3 others      6 tokens"), std::string::npos) << text;
  EXPECT_EQ(text.find("n/gpu102"), std::string::npos) << text;
  EXPECT_LT(text.find("n/gpu103"), text.find("n/gpu104")) << text;
}

TEST(Summary, WritesOneCsvLinePerRequestAndJsonThatParses) {
  const auto summary = sample();
  const auto csv = requests_csv(summary);
  EXPECT_EQ(std::count(csv.begin(), csv.end(), '\n'), 5);
  EXPECT_NE(csv.find("req-4,,lost,"), std::string::npos);
  const auto parsed = nlohmann::json::parse(summary_json(summary, {"1.2.3", "consort sim x.json"}));
  EXPECT_EQ(parsed["seed"], 9);
  EXPECT_EQ(parsed["version"], "1.2.3");
  EXPECT_EQ(parsed["command"], "consort sim x.json");
  EXPECT_EQ(parsed["figures"]["finished"], 2);
  EXPECT_NE(render_summary(summary).find("TTFT"), std::string::npos);
}

} // namespace
} // namespace consort::sim
