// SPDX-License-Identifier: Apache-2.0
#include "cli/transport.hpp"

#include "tests/unit/cli/test_server.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace consort::cli {
namespace {

using testing::HasSubstr;
constexpr std::chrono::milliseconds patience{5'000};

canned_answer events(std::string body) {
  canned_answer made;
  made.type = "text/event-stream";
  made.body = std::move(body);
  return made;
}

TEST(ParseUrl, TakesHostPortAndPath) {
  const auto full = parse_url("http://example:81/v1/");
  ASSERT_TRUE(full.ok());
  EXPECT_EQ(full->host, "example");
  EXPECT_EQ(full->port, "81");
  EXPECT_EQ(full->prefix, "/v1");
  const auto v6 = parse_url("http://[::1]:8080");
  ASSERT_TRUE(v6.ok());
  EXPECT_EQ(v6->host, "::1");
  EXPECT_EQ(parse_url("http://h")->port, "80");
  EXPECT_EQ(parse_url("http://[::1]")->host, "::1");
}

TEST(ParseUrl, RefusesWhatIsNoServerAddress) {
  for (const auto* wrong : {"", "h:80", "https://h", "http://", "http://:80",
                            "http://h:", "http://h:65536", "http://h:8x", "http://h:123456"}) {
    const auto parsed = parse_url(wrong);
    ASSERT_FALSE(parsed.ok()) << wrong;
    EXPECT_EQ(parsed.failure().code, "usage");
  }
}

TEST(ParseUrl, SaysThatTlsIsNotSpoken) {
  const auto parsed = parse_url("https://h:443");
  ASSERT_FALSE(parsed.ok());
  EXPECT_NE(parsed.failure().message.find("TLS is not spoken"), std::string::npos)
      << parsed.failure().message;
}

TEST(HttpClient, SendsKeyBodyAndHeadersAndReadsTheAnswer) {
  const test_server server(
      {{"POST /base/x", {201, "{\"a\":1}", "application/json", {{"X-Id", "7"}}, false, false}}});
  http_client client(server.url() + "/base", "secret");
  const auto answer = client.call({"POST", "/x", "{}", {{"X-Mine", "yes"}}}, patience);
  ASSERT_TRUE(answer.ok()) << answer.failure().message;
  EXPECT_EQ(answer->status, 201);
  EXPECT_EQ(answer->body, "{\"a\":1}");
  EXPECT_EQ(answer->headers.at("x-id"), "7");
  const auto seen = server.seen();
  ASSERT_EQ(seen.size(), 1U);
  EXPECT_EQ(seen[0].headers.at("authorization"), "Bearer secret");
  EXPECT_EQ(seen[0].headers.at("x-mine"), "yes");
  EXPECT_EQ(seen[0].body, "{}");
}

TEST(HttpClient, HandsOverEventsAndStopsWhenTold) {
  const test_server server({{"GET /e", events("data: a\n\ndata: b\n\ndata: c\n\n")}});
  http_client client(server.url(), "");
  std::string seen;
  const auto answer = client.stream(
      {"GET", "/e", "", {}},
      [&](const links::sse_event& event) {
        seen += event.data;
        return seen.size() < 2;
      },
      patience);
  ASSERT_TRUE(answer.ok()) << answer.failure().message;
  EXPECT_EQ(seen, "ab");
}

TEST(HttpClient, ReturnsTheWholeBodyOfARefusedStream) {
  const test_server server({});
  http_client client(server.url(), "");
  const auto answer = client.stream(
      {"GET", "/e", "", {}}, [](const links::sse_event&) { return true; }, patience);
  ASSERT_TRUE(answer.ok());
  EXPECT_EQ(answer->status, 404);
  EXPECT_THAT(answer->body, HasSubstr("no such thing"));
}

TEST(HttpClient, SaysWhatToDoWhenNobodyListens) {
  http_client client(dead_url(), "");
  const auto answer = client.call({"GET", "/", "", {}}, patience);
  ASSERT_FALSE(answer.ok());
  EXPECT_EQ(answer.failure().code, "unreachable");
  EXPECT_THAT(answer.failure().message, HasSubstr("start one with: consort up"));
}

TEST(HttpClient, GivesUpOnASilentServer) {
  canned_answer silent;
  silent.silent = true;
  const test_server server({{"GET /", silent}});
  http_client client(server.url(), "");
  const auto answer = client.call({"GET", "/", "", {}}, std::chrono::milliseconds(100));
  ASSERT_FALSE(answer.ok());
  EXPECT_EQ(answer.failure().code, "failed");
  EXPECT_THAT(answer.failure().message, HasSubstr("timed out"));
}

TEST(HttpClient, NoticesAnAnswerThatIsCutShort) {
  canned_answer cut;
  cut.body = "half";
  cut.cut_short = true;
  const test_server server({{"GET /", cut}});
  http_client client(server.url(), "");
  const auto answer = client.call({"GET", "/", "", {}}, patience);
  ASSERT_FALSE(answer.ok());
  EXPECT_EQ(answer.failure().code, "failed");
}

} // namespace
} // namespace consort::cli
