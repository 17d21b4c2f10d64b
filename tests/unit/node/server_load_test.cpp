// SPDX-License-Identifier: Apache-2.0
// Goal: how busy a server is, when it may be asked again and what its answers cost is known and
// told.
#include "tests/unit/node/server_fixture.hpp"

#include <gmock/gmock.h>
#include <thread>

namespace consort::node::test {
namespace {

using ::testing::HasSubstr;

TEST_F(ServerRuntime, OneThatIsBusyAndNamesNoTimeIsFullAndMayBeAskedAgain) {
  for (const auto status : {408, 498, 503, 529}) {
    const test_server server(
        {{"GET /health", {}}, {"POST /v1/completions", json_answer("{}", status)}});
    const auto loaded = attach(server);
    ASSERT_TRUE(loaded);
    for (const auto attempt : {1U, 2U}) {
      const auto said = submit(loaded, attempt)->failure();
      EXPECT_EQ(said.failure.code, "server_busy") << status << ": it was asked";
      EXPECT_EQ(said.failure.action, recovery::retry_later) << status;
      EXPECT_FALSE(said.device_fault) << status;
      EXPECT_EQ(said.retry_after_us, 0) << status;
    }
  }
}

TEST_F(ServerRuntime, WhatItAsksForIsWaitedForAndToldToTheScheduler) {
  auto busy = json_answer(R"({"error": {"message": "slow down"}})", 429);
  busy.headers["Retry-After"] = "30";
  const test_server server({{"GET /health", {}}, {"POST /v1/completions", busy}});
  const auto loaded = attach(server);
  ASSERT_TRUE(loaded);
  EXPECT_EQ(loaded->stats().capacity.foreign_sequences.value, std::nullopt);
  const auto first = submit(loaded, 1)->failure();
  EXPECT_EQ(first.failure.code, "server_busy");
  EXPECT_EQ(first.failure.action, recovery::retry_later);
  EXPECT_EQ(first.retry_after_us, 30'000'000);
  EXPECT_GT(loaded->stats().capacity.foreign_sequences.value, 100'000U) << "full";
  const auto asked = server.seen().size();
  const auto second = submit(loaded, 2)->failure();
  EXPECT_EQ(second.failure.code, "rate_limited");
  EXPECT_EQ(second.failure.action, recovery::retry_later);
  EXPECT_THAT(second.failure.message, HasSubstr("takes the next request in "));
  EXPECT_GT(second.retry_after_us, 0);
  EXPECT_LE(second.retry_after_us, 30'000'000);
  EXPECT_EQ(server.seen().size(), asked) << "it was not asked again";
}

TEST_F(ServerRuntime, DeclaredLimitsAreHonouredAheadOfTime) {
  const test_server server({{"GET /health", {}}, {"POST /v1/completions", story()}});
  spec.rates.requests_per_min = 2;
  const auto loaded = attach(server);
  ASSERT_TRUE(loaded);
  for (std::uint64_t number = 1; number <= 2; ++number)
    EXPECT_TRUE(
        std::holds_alternative<attempt_completed>(submit(loaded, number)->wait_end().back()));
  EXPECT_EQ(submit(loaded, 3)->failure().failure.code, "rate_limited");
}

TEST_F(ServerRuntime, TokensArePaidByTheModelsPrice) {
  const test_server server({{"GET /health", {}}, {"POST /v1/completions", story()}});
  spec.prices["*"] = {1, 1, 1};
  spec.prices["tale"] = {2'000'000, 0, 10'000'000}; // 2 and 10 per million tokens.
  const auto loaded = attach(server);
  ASSERT_TRUE(loaded);
  const auto end = submit(loaded, 1)->wait_end().back();
  ASSERT_TRUE(std::holds_alternative<attempt_completed>(end));
  EXPECT_EQ(std::get<attempt_completed>(end).cost_micros, 16U) << "3 to read, 1 to write";
  EXPECT_EQ(loaded->stats().cost_micros_total, 16U);
}

TEST_F(ServerRuntime, BillsAreWhatWasPaidInAllAndNobodyPaysForARefusal) {
  canned_answer no;
  no.status = 500;
  const test_server server(
      {{"GET /health", {}}, {"POST /v1/completions", story()}, {"POST /v1/chat/completions", no}});
  spec.prices["tale"] = {100'000, 0, 100'000}; // 0.4 micros each.
  const auto loaded = attach(server);
  ASSERT_TRUE(loaded);
  std::uint64_t paid = 0;
  for (std::uint64_t number = 1; number <= 5; ++number)
    paid += std::get<attempt_completed>(submit(loaded, number)->wait_end().back())
                .cost_micros.value_or(1'000);
  EXPECT_EQ(paid, 2U);
  const auto sink = std::make_shared<attempt_recorder>();
  loaded->submit(attempt(9),
                 {request_kind::chat, R"({"messages": [{"role": "user", "content": "x"}]})", {}},
                 sink);
  sink->wait_end();
  EXPECT_EQ(sink->failure().cost_micros, 0U);
}

TEST_F(ServerRuntime, WhatNobodyCountedOrCannotBeIsPaidByWhatIsKnown) {
  auto silent = story(), lying = story();
  silent.body = "data: {\"choices\": [{\"index\": 0, \"text\": \"once\", \"finish_reason\": "
                "\"stop\"}]}\n\ndata: [DONE]\n\n";
  lying.body = "data: {\"choices\": [{\"index\": 0, \"text\": \"once\", \"finish_reason\": "
               "\"stop\"}], \"usage\": {\"prompt_tokens\": 1000000000000000000, "
               "\"completion_tokens\": 1000000000000000000}}\n\ndata: [DONE]\n\n";
  spec.prices["*"] = {1'000'000, 0, 10'000'000}; // 1 and 10 per million tokens.
  const std::string body = R"({"max_tokens": 2, "prompt": ")" + std::string(36, 'x') + R"("})";
  for (const auto& [answer, paid] : {std::pair(silent, 20U), std::pair(lying, 30U)}) {
    const test_server server({{"GET /health", {}}, {"POST /v1/completions", answer}});
    const auto loaded = attach(server);
    ASSERT_TRUE(loaded);
    const auto sink = std::make_shared<attempt_recorder>();
    loaded->submit(attempt(1), {request_kind::completion, body, {}}, sink);
    const auto end = std::get<attempt_completed>(sink->wait_end().back());
    EXPECT_EQ(end.cost_micros, paid) << "36 bytes / 4 and one, and 1 or the 2 that were asked for";
    EXPECT_EQ(end.usage.prompt_tokens, 0U) << "nobody told what can be true";
  }
}

TEST_F(ServerRuntime, WithoutAPriceItIsUnknownWhatAnAnswerCost) {
  const test_server server({{"GET /health", {}}, {"POST /v1/completions", story()}});
  const auto loaded = attach(server);
  ASSERT_TRUE(loaded);
  const auto end = submit(loaded, 1)->wait_end().back();
  ASSERT_TRUE(std::holds_alternative<attempt_completed>(end));
  EXPECT_EQ(std::get<attempt_completed>(end).cost_micros, std::nullopt);
}

TEST_F(ServerRuntime, ItsGaugesBecomeCapacity) {
  canned_answer gauges;
  gauges.type = "text/plain";
  gauges.body = "running 5\nwaiting 2\n";
  const test_server server({{"GET /health", {}}, {"GET /metrics", gauges}});
  spec.metrics.path = "/metrics";
  spec.metrics.every_us = limits::second_us / 50;
  spec.metrics.figures["running"] = {{"running", "", 1}};
  spec.metrics.figures["waiting"] = {{"waiting", "", 1}};
  const auto loaded = attach(server);
  ASSERT_TRUE(loaded);
  const auto until = std::chrono::steady_clock::now() + patience;
  while (!loaded->stats().capacity.foreign_sequences.value
         && std::chrono::steady_clock::now() < until)
    std::this_thread::yield();
  EXPECT_EQ(loaded->stats().capacity.foreign_sequences.value, 7U);
  EXPECT_EQ(loaded->stats().capacity.foreign_sequences.source, figure_source::engine);
}

} // namespace
} // namespace consort::node::test
