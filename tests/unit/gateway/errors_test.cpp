// SPDX-License-Identifier: Apache-2.0
#include "gateway/errors.hpp"

#include "gateway/limits.hpp"

#include <gtest/gtest.h>

namespace consort::gateway {
namespace {

std::string header_of(const http_response& from, const std::string& name) {
  for (const auto& [key, value] : from.headers)
    if (key == name)
      return value;
  return {};
}

TEST(Errors, EnvelopeIsOpenAis) {
  EXPECT_EQ(error_body(bad_request("invalid_type", "`n` must be a number", "n")),
            R"({"error":{"message":"`n` must be a number","type":"invalid_request_error",)"
            R"("param":"n","code":"invalid_type"}})");
}

/// The engine's own words are all that is known of what it refused.
TEST(Errors, WhatAnEngineRefusedNamesItsField) {
  const auto param_of = [](const std::string& message) {
    return from_refusal({recovery::refuse, "request_refused", message}).param;
  };
  for (const std::string name : {"temperature", "top_p", "presence_penalty", "seed"})
    EXPECT_EQ(param_of("'" + name + "' must be a number from 0 to 2"), name);
  EXPECT_EQ(param_of("'messages[0].content' is missing"), "messages[0].content");
  EXPECT_EQ(param_of("the model server answered 400: `seed` must be positive"), "seed");
  EXPECT_EQ(param_of("the model server answered 400: top_p must be in (0, 1], got 2."), "top_p");
  EXPECT_EQ(param_of("the model server answered 422: top_logprobs is too large"), "top_logprobs");
  EXPECT_EQ(param_of("the prompt is too long"), "");
  EXPECT_EQ(param_of("'"), "");
  EXPECT_EQ(param_of("'no name, but words' is not served"), "");
  EXPECT_EQ(param_of("'" + std::string(limits::field_bytes_max + 1, 'a') + "' is unknown"), "");
}

TEST(Errors, CompilingTellsStateEtaAndWhenToComeBack) {
  core::reject_request rejected;
  rejected.http_status = 503;
  rejected.reason = {recovery::retry_later, "compiling", "an artifact is being built"};
  rejected.state = "compiling";
  rejected.eta_us = 2'500'000;
  const auto answer = to_response(from_reject(rejected));
  EXPECT_EQ(answer.status, 503U);
  EXPECT_EQ(header_of(answer, "Retry-After"), "3") << "rounded up";
  EXPECT_NE(answer.body.find(R"("consort":{"state":"compiling","eta_ms":2500})"),
            std::string::npos);
}

TEST(Errors, BackPressureAlwaysSaysWhenToComeBack) {
  core::reject_request rejected;
  rejected.http_status = 429;
  EXPECT_EQ(header_of(to_response(from_reject(rejected)), "Retry-After"), "1");
  rejected.http_status = 422;
  EXPECT_EQ(header_of(to_response(from_reject(rejected)), "Retry-After"), "");
}

TEST(Errors, TypeFollowsTheStatus) {
  EXPECT_EQ(error_type(400), "invalid_request_error");
  EXPECT_EQ(error_type(408), "timeout_error");
  EXPECT_EQ(error_type(429), "rate_limit_error");
  EXPECT_EQ(error_type(502), "server_error");
  EXPECT_EQ(error_type(503), "overloaded_error");
}

TEST(Errors, AdminAnswersFollowTheRecoveryClass) {
  EXPECT_EQ(from_admin({recovery::refuse, "unknown_device", ""}).status, 404U);
  EXPECT_EQ(from_admin({recovery::refuse, "bad_selector", ""}).status, 400U);
  EXPECT_EQ(from_admin({recovery::retry_later, "busy", ""}).status, 503U);
  EXPECT_EQ(from_admin({recovery::bug, "x", ""}).status, 500U);
}

TEST(Http, PercentDecodingRefusesWhatHidesBytes) {
  EXPECT_EQ(percent_decode("/v1/models/a%2Fb"), "/v1/models/a/b");
  EXPECT_EQ(percent_decode("%00"), std::nullopt);
  EXPECT_EQ(percent_decode("%4"), std::nullopt);
  EXPECT_EQ(percent_decode("%zz"), std::nullopt);
}

TEST(Http, AQueryIsSplitBeforeItIsDecoded) {
  EXPECT_EQ(split_query(""), query_pairs{});
  EXPECT_EQ(split_query("a=1&b=x%26y%3Dz&c&d=e=f"),
            (query_pairs{{"a", "1"}, {"b", "x&y=z"}, {"c", ""}, {"d", "e=f"}}));
  EXPECT_EQ(split_query("a=1&&"), (query_pairs{{"a", "1"}, {"", ""}}));
  EXPECT_EQ(split_query("a=%zz"), std::nullopt);
}

TEST(Http, ADecimalIsAllOfTheText) {
  EXPECT_EQ(decimal<std::uint32_t>("12"), 12U);
  EXPECT_EQ(decimal<std::uint32_t>("4294967296"), std::nullopt);
  for (const auto* wrong : {"", "1 ", "+1", "-1", "0x1"})
    EXPECT_EQ(decimal<std::uint32_t>(wrong), std::nullopt) << wrong;
}

TEST(Http, HeaderValuesCannotBreakTheHead) {
  http_response answer;
  answer.headers.emplace_back("X-Request-Id", "a\r\nSet-Cookie: x");
  const auto head = render_head(answer, "Content-Length: 0", true);
  EXPECT_NE(head.find("X-Request-Id: a  Set-Cookie: x\r\n"), std::string::npos);
}

TEST(Http, EveryHeadTellsTheServersTime) {
  const auto head = render_head({}, "", false);
  const auto at = head.find("\r\nDate: ");
  ASSERT_NE(at, std::string::npos);
  EXPECT_EQ(head.substr(at + 8 + 25, 6), " GMT\r\n"); // "Tue, 24 Nov 2026 10:00:00"
}

} // namespace
} // namespace consort::gateway
