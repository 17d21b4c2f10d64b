// SPDX-License-Identifier: Apache-2.0
#include "cli/load_client.hpp"

#include "tests/unit/cli/command_run.hpp"
#include "tests/unit/cli/test_server.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>

namespace consort::cli {
namespace {

canned_answer three_tokens() {
  canned_answer made;
  made.type = "text/event-stream";
  for (const auto* text : {"a", "b", "c"})
    made.body += std::string("data: {\"choices\":[{\"text\":\"") + text + "\"}]}\n\n";
  made.body += "data: {\"choices\":[],\"usage\":{\"completion_tokens\":4}}\n\ndata: [DONE]\n\n";
  return made;
}

load_options small(const std::string& url) {
  load_options made;
  made.url = url;
  made.model = "m";
  made.streams = 3;
  made.requests = 7;
  return made;
}

TEST(LoadClient, MeasuresEveryRequestOnce) {
  const test_server server({{"POST /v1/completions", three_tokens()}});
  const auto report = run_load(small(server.url()));
  ASSERT_TRUE(report.ok()) << report.failure().message;
  EXPECT_TRUE(report->errors.empty()) << report->errors.begin()->first;
  EXPECT_EQ(report->finished, 7U);
  EXPECT_EQ(report->tokens, 28U);
  EXPECT_EQ(report->chunks, 21U);
  EXPECT_EQ(report->first_token_us.size(), 7U);
  EXPECT_EQ(report->token_gap_us.size(), 14U);
  EXPECT_EQ(report->whole_us.size(), 7U);
  EXPECT_TRUE(std::is_sorted(report->whole_us.begin(), report->whole_us.end()));
  EXPECT_EQ(server.seen().size(), 7U);
}

TEST(LoadClient, CountsRefusalsAndBrokenStreamsByKind) {
  const test_server refusing({});
  const auto refused = run_load(small(refusing.url()));
  ASSERT_TRUE(refused.ok());
  EXPECT_EQ(refused->errors.at("HTTP 404"), 7U);
  auto early = three_tokens();
  early.body.resize(early.body.find("data: [DONE]"));
  const test_server breaking({{"POST /v1/completions", early}});
  const auto broken = run_load(small(breaking.url()));
  ASSERT_TRUE(broken.ok());
  EXPECT_EQ(broken->finished, 0U);
  EXPECT_EQ(broken->errors.at("stream ended early"), 7U);
  auto failing = three_tokens();
  failing.body = "event: error\ndata: {\"error\":{\"code\":\"model_loading\"}}\n\n";
  const test_server loading({{"POST /v1/completions", failing}});
  const auto failed = run_load(small(loading.url()));
  ASSERT_TRUE(failed.ok());
  EXPECT_EQ(failed->errors.at("error event: model_loading"), 7U);
}

TEST(LoadClient, TellsWhoAnsweredAndWhatTheServerSaid) {
  auto told = three_tokens();
  const std::string usage = "\"completion_tokens\":4";
  told.body.insert(told.body.find(usage), R"("consort":{"device":"local/npu0"},)");
  const test_server server({{"POST /v1/completions", told}});
  const auto report = run_load(small(server.url()));
  ASSERT_TRUE(report.ok()) << report.failure().message;
  EXPECT_EQ(report->devices, std::set<std::string>{"local/npu0"});
  EXPECT_TRUE(report->said.empty());
  canned_answer nobody;
  nobody.status = 422;
  nobody.body = R"({"error":{"message":"no device is a gpu","code":"no_such_device"}})";
  const test_server refusing({{"POST /v1/completions", nobody}});
  const auto refused = run_load(small(refusing.url()));
  ASSERT_TRUE(refused.ok());
  EXPECT_EQ(refused->said.at("HTTP 422"), "no device is a gpu");
}

TEST(LoadClient, IsUnreachableWhenNobodyListens) {
  const auto report = run_load(small(dead_url()));
  ASSERT_FALSE(report.ok());
  EXPECT_EQ(report.failure().code, "unreachable");
}

TEST(LoadClient, MadeUpPromptsDifferAndRepeat) {
  EXPECT_EQ(made_up_prompt(20, 3), made_up_prompt(20, 3));
  EXPECT_NE(made_up_prompt(20, 3), made_up_prompt(20, 4));
  const auto prompt = made_up_prompt(20, 3);
  EXPECT_EQ(std::count(prompt.begin(), prompt.end(), ' '), 19);
}

TEST(LoadClient, ARateSaysWhenRequestsBegin) {
  constexpr double rate = 400;
  core::prng chance(1);
  duration_us mean_us = 0;
  duration_us seventh_us = 0;
  for (int at = 1; at <= 10'000; ++at) {
    mean_us += next_arrival_us(chance, rate);
    if (at == 7)
      seventh_us = mean_us;
  }
  EXPECT_NEAR(static_cast<double>(mean_us) / 10'000, 1e6 / rate, 75); // 3 %: three deviations.
  const test_server server({{"POST /v1/completions", three_tokens()}});
  auto wanted = small(server.url());
  wanted.rate = rate;
  const auto report = run_load(wanted);
  ASSERT_TRUE(report.ok()) << report.failure().message;
  EXPECT_EQ(report->finished, 7U);
  EXPECT_GE(report->wall_us, seventh_us);
}

TEST(BenchCommand, ARateMustBeOne) {
  for (const auto* rate : {"0", "-1", "100001", "fast"})
    EXPECT_EQ(run_command({"bench", "--rate", rate}).code, exit_code::usage) << rate;
}

TEST(BenchCommand, PrintsPercentilesAndComparesServers) {
  const test_server server({{"POST /v1/completions", three_tokens()}});
  const test_server direct({{"POST /v1/completions", three_tokens()}});
  const auto text = run_command({"bench", "--server", server.url(), "-c", "2", "-n", "4", "--model",
                                 "m", "--direct", direct.url()});
  EXPECT_EQ(text.code, exit_code::done) << text.err;
  for (const auto* word :
       {"TTFT", "ITL", "E2E", "P50", "P90", "P99", "consort: 4 finished", "direct: 4 finished"})
    EXPECT_THAT(text.out, testing::HasSubstr(word));
  const auto parsed = nlohmann::json::parse(
      run_command({"bench", "--server", server.url(), "-n", "2", "-o", "json"}).out);
  EXPECT_EQ(parsed["runs"][0]["finished"], 2);
  EXPECT_TRUE(parsed["runs"][0]["ttft"]["p99_us"].is_number());
}

} // namespace
} // namespace consort::cli
