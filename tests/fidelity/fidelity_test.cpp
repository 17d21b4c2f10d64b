// SPDX-License-Identifier: Apache-2.0
// Device models against recorded runs of a real server, request by request:
// tests/fidelity/README.md.
#include "scenarios/sim/simulation.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <fstream>
#include <sstream>

namespace consort::sim {
namespace {

struct spans {
  double ttft_ms = 0, tpot_ms = 0, e2e_ms = 0;
};

/// real_queue_ms, real_ttft_ms, real_tpot_ms, real_e2e_ms are columns 4 to 7.
std::vector<spans> measured(const std::string& data) {
  std::ifstream file(CONSORT_SOURCE_DIR "/tests/fidelity/data/" + data + "/measured.csv");
  std::vector<spans> made;
  std::string line;
  std::getline(file, line);
  while (std::getline(file, line)) {
    std::array<double, 8> fields{};
    std::istringstream text(line);
    std::string field;
    for (auto& one : fields)
      if (std::getline(text, field, ','))
        one = std::stod(field);
    made.push_back({fields[5], fields[6], fields[7]});
  }
  return made;
}

struct fidelity_case {
  const char* scenario;
  const char* data;
  std::size_t fitted; ///< So many requests, from the first on, were looked at to fit something.
  spans most;         ///< Mean error of a request of the others, per cent.
};

/// Mean error in per cent over requests `from` to `to`.
spans mean_error(const run_summary& seen, const std::vector<spans>& real, std::size_t from,
                 std::size_t to) {
  spans error;
  for (std::size_t at = from; at < to; ++at) {
    const auto& one = seen.requests[at];
    const double first = double(*one.first_token_at - one.submitted_at) / 1e3;
    const double all = double(*one.ended_at - one.submitted_at) / 1e3;
    const double each = (all - first) / std::max(one.completion_tokens - 1.0, 1.0);
    const double share = 100.0 / double(to - from);
    error.ttft_ms += share * std::abs(first / real[at].ttft_ms - 1);
    error.tpot_ms += share * std::abs(each / real[at].tpot_ms - 1);
    error.e2e_ms += share * std::abs(all / real[at].e2e_ms - 1);
  }
  return error;
}

class Fidelity : public testing::TestWithParam<fidelity_case> {};

TEST_P(Fidelity, EveryRequestTakesWhatItTookOnTheRealServer) {
  const auto& given = GetParam();
  const auto plan = load_scenario(CONSORT_SOURCE_DIR "/tests/fidelity/"
                                  + std::string(given.scenario) + ".json");
  ASSERT_TRUE(plan.ok()) << plan.failure().message;
  run_options options;
  const auto seen = run_scenario(*plan, options);
  const auto real = measured(given.data);
  ASSERT_FALSE(seen.input_failure) << seen.input_failure->message;
  ASSERT_EQ(seen.requests.size(), real.size());
  for (const auto& one : seen.requests)
    ASSERT_TRUE(one.first_token_at && one.ended_at) << one.external_id;
  const auto held = mean_error(seen, real, given.fitted, real.size());
  RecordProperty("held_out_ttft_percent", std::to_string(held.ttft_ms));
  RecordProperty("held_out_tpot_percent", std::to_string(held.tpot_ms));
  RecordProperty("held_out_e2e_percent", std::to_string(held.e2e_ms));
  EXPECT_LE(held.ttft_ms, given.most.ttft_ms);
  EXPECT_LE(held.tpot_ms, given.most.tpot_ms);
  EXPECT_LE(held.e2e_ms, given.most.e2e_ms);
  // What was looked at must not hide what the rest shows, or the other way round.
  const auto all = mean_error(seen, real, 0, real.size());
  EXPECT_LE(all.tpot_ms, given.most.tpot_ms);
  EXPECT_LE(all.e2e_ms, given.most.e2e_ms);
}

INSTANTIATE_TEST_SUITE_P(
    Servers, Fidelity,
    testing::Values(
        fidelity_case{"rtx4090-table", "rtx4090-llama-3.1-8b", 0, {5, 2, 1}},
        fidelity_case{"rtx4090-roofline", "rtx4090-llama-3.1-8b", 150, {8, 4, 3}},
        fidelity_case{"rtx-pro-6000x2-table", "rtx-pro-6000x2-qwen3-32b", 150, {5, 3, 2}},
        fidelity_case{"rtx-pro-6000x2-roofline", "rtx-pro-6000x2-qwen3-32b", 150, {8, 12, 5}}));

} // namespace
} // namespace consort::sim
