// SPDX-License-Identifier: Apache-2.0
// Goal: a model server is asked for what it can do, in the way that it can, and by the servers that
// its plugin names before it.
#include "tests/unit/node/server_fixture.hpp"

#include <algorithm>
#include <chrono>
#include <gmock/gmock.h>

namespace consort::node::test {
namespace {

using ::testing::HasSubstr;

TEST_F(ServerRuntime, EmbeddingsAreAskedForWhereTheServerHasThem) {
  const test_server server({{"GET /health", {}},
                            {"GET /v3/models", json_answer(R"({"data": [{"id": "tale"}]})")},
                            {"POST /v3/embeddings",
                             json_answer(R"({"data": [{"index": 0, "embedding": [1, 2]}], )"
                                         R"("usage": {"prompt_tokens": 3, "total_tokens": 3}})")}});
  spec.base = "/v3";
  const auto loaded = attach(server);
  ASSERT_TRUE(loaded);
  auto sink = std::make_shared<attempt_recorder>();
  loaded->submit(attempt(1), {request_kind::embedding, R"({"input": "x"})", {}}, sink);
  EXPECT_EQ(sink->failure().failure.code, "none");
  EXPECT_EQ(sink->text(), "[[1,2]]");
  EXPECT_EQ(loaded->stats().tokens_generated_total, 0U) << "vectors are no tokens";
}

TEST_F(ServerRuntime, PromptsArePrefilledWhereThePluginSays) {
  const test_server first(
      {{"POST /v1/completions", json_answer(R"({"kv_transfer_params": {"remote_port": 5600}})")}});
  const test_server second({{"GET /health", {}}, {"POST /v1/completions", story()}});
  spec.prefill_url = first.url();
  const auto loaded = attach(second);
  ASSERT_TRUE(loaded);
  submit(loaded, 1)->wait_end();
  EXPECT_THAT(first.seen().back().body, HasSubstr(R"("do_remote_decode":true)"));
  EXPECT_THAT(second.seen().back().body, HasSubstr(R"("remote_port":5600)"));
}

TEST_F(ServerRuntime, TheSecondPrefillsWhereTheFirstIsNotThere) {
  const test_server second({{"GET /health", {}}, {"POST /v1/completions", story()}});
  spec.prefill_url = cli::dead_url();
  const auto loaded = attach(second);
  ASSERT_TRUE(loaded);
  EXPECT_TRUE(std::holds_alternative<attempt_completed>(submit(loaded, 1)->wait_end().back()));
}

TEST_F(ServerRuntime, AStageThatHangsIsWaitedForShortlyAndThenLeftAlone) {
  const test_server first({{"POST /v1/completions", no_answer()}});
  const test_server second({{"GET /health", {}}, {"POST /v1/completions", story()}});
  spec.prefill_url = first.url();
  const auto loaded = attach(second);
  ASSERT_TRUE(loaded);
  const auto began = std::chrono::steady_clock::now();
  for (int i = 1; i <= limits::stage_failures_max + 1; ++i)
    EXPECT_TRUE(std::holds_alternative<attempt_completed>(
        submit(loaded, static_cast<std::uint64_t>(i))->wait_end().back()));
  const auto took = std::chrono::steady_clock::now() - began;
  EXPECT_LT(took,
            std::chrono::microseconds((limits::stage_failures_max + 2) * limits::stage_wait_us));
  EXPECT_EQ(first.seen().size(), static_cast<std::size_t>(limits::stage_failures_max));
  const auto now = loaded->stats();
  EXPECT_TRUE(now.stage_given_up);
  EXPECT_THAT(now.stage_missed, HasSubstr("prefill server 127.0.0.1:"));
  EXPECT_THAT(now.stage_missed, HasSubstr("answers come without it"));
  EXPECT_EQ(now.stages_missed_total, static_cast<std::uint64_t>(limits::stage_failures_max) + 1);
}

TEST_F(ServerRuntime, AStageThatIsNoneOrFullIsToldAndItsWordKept) {
  const test_server second({{"GET /health", {}}, {"POST /v1/completions", story()}});
  auto full = json_answer(R"({"error": {"message": "too many"}})", 429);
  full.headers["Retry-After"] = "60";
  auto page = canned_answer{};
  page.body = "<html>welcome</html>";
  for (const auto& answer : {json_answer("{}", 404), page, full}) {
    const test_server first({{"POST /v1/completions", answer}});
    spec.prefill_url = first.url();
    const auto loaded = attach(second);
    ASSERT_TRUE(loaded);
    for (const int number : {1, 2})
      submit(loaded, static_cast<std::uint64_t>(number))->wait_end();
    EXPECT_EQ(loaded->stats().stages_missed_total, 2U) << answer.status;
    EXPECT_THAT(loaded->stats().stage_missed, HasSubstr("not reached"));
    EXPECT_EQ(loaded->stats().stage_given_up, answer.status == 429);
    EXPECT_EQ(first.seen().size(), answer.status == 429 ? 1U : 2U);
  }
}

std::shared_ptr<attempt_recorder> submit_picture(const session_ref& to) {
  const auto* body = R"({"messages": [{"role": "user", "content": [
      {"type": "image_url", "image_url": {"url": "data:,x"}},
      {"type": "text", "text": "this?"}]}]})";
  auto sink = std::make_shared<attempt_recorder>();
  to->submit(attempt(1), {request_kind::chat, body, {}}, sink);
  return sink;
}

TEST_F(ServerRuntime, PicturesAreEncodedBeforePromptsArePrefilled) {
  const auto* route = "POST /v1/chat/completions";
  const test_server encoder({{route, json_answer(R"({"choices": []})")}});
  const test_server first(
      {{route, json_answer(R"({"kv_transfer_params": {"remote_port": 5600}})")}});
  const test_server last({{"GET /health", {}}, {route, story()}});
  spec.encode_url = encoder.url();
  spec.prefill_url = first.url();
  const auto loaded = attach(last);
  ASSERT_TRUE(loaded);
  submit_picture(loaded)->wait_end();
  ASSERT_EQ(encoder.seen().size(), 1U);
  EXPECT_THAT(encoder.seen().back().body, HasSubstr("data:,x"));
  EXPECT_THAT(encoder.seen().back().body, Not(HasSubstr("this?")));
  EXPECT_THAT(first.seen().back().body, HasSubstr("data:,x"));
  EXPECT_THAT(last.seen().back().body, HasSubstr(R"("remote_port":5600)"));
  submit(loaded, 2)->wait_end();
  EXPECT_EQ(encoder.seen().size(), 1U) << "there was nothing to be seen";
}

TEST_F(ServerRuntime, WhatTheEncoderRefusesIsRefusedAndWhatItFailsAtIsNot) {
  const auto* route = "POST /v1/chat/completions";
  const test_server last({{"GET /health", {}}, {route, story()}});
  for (const int status : {400, 500}) {
    const test_server encoder({{route, json_answer(R"({"error": {"message": "no"}})", status)}});
    spec.encode_url = encoder.url();
    const auto before = last.seen().size();
    const auto loaded = attach(last);
    ASSERT_TRUE(loaded);
    const auto end = submit_picture(loaded)->wait_end().back();
    const bool refused = std::holds_alternative<attempt_aborted>(end);
    EXPECT_EQ(refused, status == 400);
    const auto asked = last.seen();
    EXPECT_EQ(std::any_of(asked.begin() + static_cast<std::ptrdiff_t>(before), asked.end(),
                          [](const auto& one) { return one.target == "/v1/chat/completions"; }),
              status == 500);
  }
}

TEST_F(ServerRuntime, OneThatAnswersChatsAloneIsAskedForNothingElse) {
  const test_server server({{"GET /health", {}}, {"POST /v1/completions", story()}});
  spec.completions = false;
  const auto loaded = attach(server);
  ASSERT_TRUE(loaded);
  const auto end = std::get<attempt_aborted>(submit(loaded, 1)->wait_end().back());
  EXPECT_EQ(end.failure.code, "kind_unsupported");
  EXPECT_EQ(end.failure.action, recovery::retry_elsewhere);
  EXPECT_FALSE(end.device_fault);
}

TEST_F(ServerRuntime, OneThatRefusesStreamOptionsIsAskedWithout) {
  const test_server strict(
      {{"GET /health", {}},
       {"POST /v1/completions",
        json_answer(R"({"message": {"detail": [{"loc": ["body", "stream_options"]}]}})", 422)}});
  const auto loaded = attach(strict);
  ASSERT_TRUE(loaded);
  const auto first = std::get<attempt_aborted>(submit(loaded, 1)->wait_end().back());
  EXPECT_EQ(first.failure.action, recovery::retry_later);
  EXPECT_EQ(first.failure.code, "server_options");
  EXPECT_FALSE(first.device_fault);
  EXPECT_THAT(strict.seen().back().body, HasSubstr("stream_options"));
  const auto second = std::get<attempt_aborted>(submit(loaded, 2)->wait_end().back());
  EXPECT_THAT(strict.seen().back().body, Not(HasSubstr("stream_options")));
  EXPECT_EQ(second.failure.action, recovery::refuse) << "what it says then it is believed";
}

TEST_F(ServerRuntime, WhatComesBeforeItsAnswersHeadIsPassedOver) {
  auto late = story();
  late.before = "HTTP/1.1 100 Continue\r\n\r\n"
                "HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n";
  const test_server server({{"GET /health", {}}, {"POST /v1/completions", late}});
  const auto loaded = attach(server);
  ASSERT_TRUE(loaded);
  EXPECT_EQ(std::get<attempt_completed>(submit(loaded, 1)->wait_end().back()).usage,
            (token_usage{3, 1, 0}));
}

TEST_F(ServerRuntime, OneThatNeverComesToItsAnswerHasFailed) {
  auto endless = story(), other = story();
  for (std::size_t sent = 0; sent <= limits::server_interim_heads_max; ++sent)
    endless.before += "HTTP/1.1 103 Early Hints\r\n\r\n";
  other.status = 101;
  const test_server server({{"GET /health", {}},
                            {"POST /v1/completions", endless},
                            {"POST /v1/chat/completions", other}});
  const auto loaded = attach(server);
  ASSERT_TRUE(loaded);
  const auto failed = submit(loaded, 1)->failure();
  EXPECT_EQ(failed.failure.code, "server_broke_off");
  EXPECT_THAT(failed.failure.message, HasSubstr("more than 16 interim answers"));
  const auto sink = std::make_shared<attempt_recorder>();
  loaded->submit(attempt(2), {request_kind::chat, R"({"messages": [{"role": "user"}]})", {}}, sink);
  sink->wait_end();
  EXPECT_THAT(sink->failure().failure.message, HasSubstr("answered 101"));
}

TEST_F(ServerRuntime, OneThatSendsItsAskersElsewhereNamesWhere) {
  auto moved = json_answer("", 308);
  moved.headers["Location"] = "https://api.example.com:8443/v2/completions?key=x#y";
  const test_server server({{"GET /health", {}}, {"POST /v1/completions", moved}});
  const auto loaded = attach(server);
  ASSERT_TRUE(loaded);
  const auto failed = submit(loaded, 1)->failure();
  EXPECT_EQ(failed.failure.message,
            "the model server answered 308, a redirect to https://api.example.com:8443, which is "
            "not followed: put the address behind it into `url` of plugin fake");
  EXPECT_EQ(failed.failure.code, "server_failed");
  EXPECT_TRUE(failed.device_fault);
}

TEST_F(ServerRuntime, OneThatIsReadyElsewhereNamesWhere) {
  auto moved = json_answer("", 301);
  moved.headers["Location"] = "/elsewhere";
  const test_server server({{"GET /health", moved}});
  spec.url = server.url();
  spec.start_timeout_us = limits::second_us / 5;
  EXPECT_THAT(open().failure().message,
              HasSubstr("it answered 301, a redirect to another path of its own, which is not"));
}

TEST_F(ServerRuntime, OneThatDoesNotStreamIsNotAskedTo) {
  const test_server server(
      {{"GET /health", {}},
       {"POST /v1/completions", json_answer(R"({"choices": [{"index": 0, "text": "twelve bytes",
                                                "finish_reason": "stop"}]})")}});
  spec.capabilities.streaming = false;
  const auto loaded = attach(server);
  ASSERT_TRUE(loaded);
  const auto end = std::get<attempt_completed>(submit(loaded, 1)->wait_end().back());
  EXPECT_THAT(server.seen().back().body, HasSubstr(R"("stream":false)"));
  EXPECT_EQ(end.usage.completion_tokens, 4U) << "nobody counted: its length says so";
}

} // namespace
} // namespace consort::node::test
