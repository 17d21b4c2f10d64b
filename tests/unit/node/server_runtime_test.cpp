// SPDX-License-Identifier: Apache-2.0
// Goal: a model server is found or not, relays what it is asked, and gives up attempts as it is
// told: each ends once.
#include "tests/unit/node/server_fixture.hpp"

#include <chrono>
#include <gmock/gmock.h>

namespace consort::node::test {
namespace {

using ::testing::HasSubstr;

TEST_F(ServerRuntime, AttachesToOneThatRunsAndRelaysItsAnswers) {
  const test_server server({{"GET /health", {}},
                            {"GET /v1/models", json_answer(R"({"data": [{"id": "tale"}]})")},
                            {"POST /v1/completions", story()}});
  const auto loaded = attach(server);
  ASSERT_TRUE(loaded);
  const auto events = submit(loaded, 1)->wait_end();
  ASSERT_EQ(events.size(), 4U);
  EXPECT_EQ(events[0], attempt_event(attempt_opened{}));
  EXPECT_EQ(events[1], attempt_event(attempt_tokens{0, "once", {}, ""}));
  EXPECT_EQ(events[3], attempt_event(attempt_completed{{3, 1, 0}, 0, 0}));
  EXPECT_EQ(loaded->stats().capacity.sequences.value, 4U);
  EXPECT_THAT(server.seen().back().body, HasSubstr(R"("model":"tale")"));
}

TEST_F(ServerRuntime, AsksForWhatTheSourceNamesUnderAnyServedName) {
  const test_server server(
      {{"GET /health", {}},
       {"GET /v1/models", json_answer(R"({"data": [{"id": "org/one"}, {"id": "org/two:q4"}]})")},
       {"POST /v1/completions", story()}});
  wanted.variant.source = "server:org/two:q4";
  const auto loaded = attach(server);
  ASSERT_TRUE(loaded);
  EXPECT_EQ(submit(loaded, 1)->wait_end().size(), 4U);
  EXPECT_THAT(server.seen().back().body, HasSubstr(R"("model":"org/two:q4")"));
}

TEST_F(ServerRuntime, DoesNotServeAnotherModelThanTheSourceNames) {
  const test_server server(
      {{"GET /health", {}}, {"GET /v1/models", json_answer(R"({"data": [{"id": "tale"}]})")}});
  spec.url = server.url();
  wanted.variant.source = "server:gone";
  const auto opened = open();
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.failure().code, "server_model");
  EXPECT_THAT(opened.failure().message, HasSubstr("serves tale, not gone"));
}

TEST_F(ServerRuntime, ItsPathsMayHaveAnotherBase) {
  const test_server server({{"GET /v2/health/ready", {}},
                            {"GET /v3/models", json_answer(R"({"data": [{"id": "tale"}]})")},
                            {"POST /v3/completions", story()}});
  spec.base = "/v3";
  spec.ready = "/v2/health/ready";
  const auto loaded = attach(server);
  ASSERT_TRUE(loaded);
  EXPECT_EQ(submit(loaded, 1)->wait_end().size(), 4U);
}

TEST_F(ServerRuntime, NobodyWaitsForAnAttachedServerThatIsNotThere) {
  spec.url = cli::dead_url();
  spec.start_timeout_us = 600 * limits::second_us;
  const auto failed = open();
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.failure().code, "server_unreachable");
  EXPECT_EQ(failed.failure().action, recovery::retry_elsewhere);
  EXPECT_THAT(failed.failure().message, HasSubstr("the model server at 127.0.0.1:"));
}

TEST_F(ServerRuntime, OneThatIsNoLongerThereHasDiedAfterAFewLooks) {
  auto server = std::make_unique<test_server>(
      std::map<std::string, canned_answer>{{"GET /health", {}}, {"POST /v1/completions", story()}});
  spec.watch_us = spec.ready_every_us = limits::second_us / 100;
  const auto loaded = attach(*server);
  ASSERT_TRUE(loaded);
  server.reset();
  auto end = died.get_future();
  const auto from = std::chrono::steady_clock::now();
  ASSERT_EQ(end.wait_for(patience), std::future_status::ready);
  EXPECT_GE(std::chrono::steady_clock::now() - from,
            (limits::server_watch_failures_max - 1) * std::chrono::microseconds(spec.watch_us));
  EXPECT_EQ(end.get().code, "runtime_died");
  EXPECT_EQ(submit(loaded, 1)->failure().failure.code, "runtime_died");
}

TEST_F(ServerRuntime, OneThatDoesNotListenJustNowIsAskedLaterAndNotBlamed) {
  auto server = std::make_unique<test_server>(
      std::map<std::string, canned_answer>{{"GET /health", {}}, {"POST /v1/completions", story()}});
  const auto loaded = attach(*server);
  ASSERT_TRUE(loaded);
  server.reset();
  const auto unasked = submit(loaded, 1)->failure();
  EXPECT_EQ(unasked.failure.code, "server_unreachable");
  EXPECT_EQ(unasked.failure.action, recovery::retry_later);
  EXPECT_FALSE(unasked.device_fault);
}

TEST_F(ServerRuntime, RefusalsAndUnknownModelsAreNamed) {
  const test_server server(
      {{"GET /health", {}},
       {"GET /v1/models", json_answer(R"({"data": [{"id": "x"}, {"id": "y"}]})")},
       {"POST /v1/completions", json_answer(R"({"detail": "too odd"})", 422)}});
  spec.url = server.url();
  const auto wrong = open();
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.failure().code, "server_model");
  EXPECT_THAT(wrong.failure().message, HasSubstr("serves x, y, not tale"));
  spec.model = "y";
  const auto loaded = attach(server);
  ASSERT_TRUE(loaded);
  const auto refused = submit(loaded, 1)->failure();
  EXPECT_EQ(refused.failure.action, recovery::refuse);
  EXPECT_THAT(refused.failure.message, HasSubstr("too odd"));
  EXPECT_FALSE(refused.device_fault);
}

TEST_F(ServerRuntime, CancelAndUnloadEndAttempts) {
  const test_server server({{"GET /health", {}}, {"POST /v1/completions", no_answer()}});
  auto loaded = attach(server);
  ASSERT_TRUE(loaded);
  const auto cancelled = submit(loaded, 1);
  loaded->cancel(attempt(1));
  loaded->cancel(attempt(99));
  EXPECT_EQ(cancelled->failure().failure.code, "cancelled");
  const auto left = submit(loaded, 2);
  loaded.reset();
  EXPECT_EQ(left->failure().failure.code, "session_closed");
}

TEST_F(ServerRuntime, KeyComesFromTheEnvironmentAndGoesAlong) {
  const test_server server({{"GET /health", {}}, {"POST /v1/completions", story()}});
  spec.key_env = "CONSORT_TEST_NO_SUCH_KEY";
  spec.url = server.url();
  EXPECT_EQ(open().failure().code, "key_missing");
  spec.key_env = "CONSORT_TEST_KEY";
  ::setenv("CONSORT_TEST_KEY", "two\nlines", 1);
  EXPECT_EQ(open().failure().code, "key_invalid");
  ::setenv("CONSORT_TEST_KEY", "sesame", 1);
  const auto loaded = attach(server);
  ASSERT_TRUE(loaded);
  submit(loaded, 1)->wait_end();
  EXPECT_EQ(server.seen().back().headers.at("authorization"), "Bearer sesame");
}

TEST_F(ServerRuntime, ACertificateThatNobodyVouchesForIsRefused) {
  const test_server plain(
      std::map<std::string, cli::canned_answer>{{"GET /health", {}}}); // Speaks no TLS at all.
  spec.url = "https" + plain.url().substr(4);
  spec.start_timeout_us = limits::second_us / 5;
  const auto failed = open();
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.failure().code, "runtime_start_timeout");
}

TEST_F(ServerRuntime, WhatAnswersOtherwiseThanReadyIsQuoted) {
  const test_server server(std::map<std::string, cli::canned_answer>{});
  spec.url = server.url();
  spec.start_timeout_us = limits::second_us / 5;
  const auto failed = open();
  ASSERT_FALSE(failed);
  EXPECT_THAT(failed.failure().message, HasSubstr("within 0 s; the last time it answered 404"));
}

TEST_F(ServerRuntime, TheServerSaysHowLongARequestMayBe) {
  const test_server server(
      {{"GET /health", {}},
       {"GET /v1/models", json_answer(R"({"data": [{"id": "other", "max_model_len": 7},
                                 {"id": "tale", "max_model_len": 4096}]})")},
       {"GET /info", json_answer(R"({"limits": {"max_total_tokens": 2048, "text": "x"}})")}});
  EXPECT_EQ(attach(server)->capabilities().context_tokens, 4'096U);
  spec.context = {"/info", "/limits/max_total_tokens"};
  EXPECT_EQ(attach(server)->capabilities().context_tokens, 2'048U) << "the least counts";
  spec.capabilities.context_tokens = 1'000;
  EXPECT_EQ(attach(server)->capabilities().context_tokens, 1'000U) << "as the plugin declares";
  spec.capabilities.context_tokens = 0;
  for (const auto* nothing : {"/limits/text", "/limits/none", "/none/at/all", "/limits"}) {
    spec.context.at = nothing;
    EXPECT_EQ(attach(server)->capabilities().context_tokens, 4'096U) << nothing;
  }
  spec.context.path = "/missing";
  EXPECT_EQ(attach(server)->capabilities().context_tokens, 4'096U);
  const test_server other(
      {{"GET /health", {}},
       {"GET /v1/models", json_answer(R"({"data": [{"id": "tale", "max_context_len": 9}]})")}});
  EXPECT_EQ(attach(other)->capabilities().context_tokens, 9U);
}

} // namespace
} // namespace consort::node::test
