// SPDX-License-Identifier: Apache-2.0
// Bytes that are meant to be read in two ways, to be held without end, or to be taken for ours.
#include "tests/unit/gateway/gateway_fixture.hpp"

#include "gateway/limits.hpp"

#include <cctype>

namespace consort::testing {
namespace {

class Hostile : public gateway_fixture {
protected:
  /// Everything that comes back for those bytes; the connection must end by itself.
  std::string ends_with(const std::string& bytes) {
    http_client client(http_port());
    client.send(bytes);
    return client.read_all();
  }
  static std::size_t answers_in(const std::string& text) {
    std::size_t count = 0;
    constexpr std::string_view head = "HTTP/1.1 ";
    for (auto at = text.find(head); at != std::string::npos; at = text.find(head, at + 1))
      if (std::isdigit(static_cast<unsigned char>(text[at + head.size()])) != 0)
        ++count; // And not where a message names the protocol.
    return count;
  }
  static inline const std::string post = "POST /v1/completions HTTP/1.1\r\nHost: t\r\n";
  /// Read by whoever takes the body for shorter than we do.
  static inline const std::string hidden = "GET /healthz HTTP/1.1\r\nHost: t\r\n\r\n";
};

TEST_F(Hostile, BodiesThatTwoCouldEndDifferentlyAreRefused) {
  start();
  for (const auto* framing :
       {"Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Content-Length: 5\r\nTransfer-Encoding: "
        "chunked",
        "Content-Length: 5\r\nContent-Length: 6", "Content-Length: +5", "Content-Length: 0x5",
        "Content-Length: -1", "Content-Length: 99999999999999999999", "Transfer-Encoding : chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"}) {
    const auto said = ends_with(post + framing + "\r\n\r\n0\r\n\r\n" + hidden);
    EXPECT_TRUE(said.starts_with("HTTP/1.1 400")) << framing << '\n' << said;
    EXPECT_EQ(answers_in(said), 1U) << framing;
  }
}

/// Taken for a request without a body, each would make a request of what follows.
TEST_F(Hostile, OtherEncodingsThanChunkedAreRefused) {
  start();
  for (const auto* coding :
       {"identity", "gzip", "gzip, chunked", "chunked, identity", "xchunked"}) {
    const auto said
        = ends_with(post + "Transfer-Encoding: " + coding + "\r\n\r\n0\r\n\r\n" + hidden);
    EXPECT_TRUE(said.starts_with("HTTP/1.1 501")) << coding << '\n' << said;
    EXPECT_EQ(answers_in(said), 1U) << coding;
    EXPECT_NE(said.find("unknown_transfer_encoding"), std::string::npos);
  }
  const auto old = ends_with("POST /v1/completions HTTP/1.0\r\nConnection: keep-alive\r\n"
                             "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
                             + hidden);
  EXPECT_TRUE(old.starts_with("HTTP/1.1 400")) << old;
}

TEST_F(Hostile, ARequestHasOneHost) {
  start();
  for (const auto* request :
       {"GET /healthz HTTP/1.1\r\n\r\n", "GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET /healthz HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n"})
    EXPECT_TRUE(ends_with(request).starts_with("HTTP/1.1 400")) << request;
}

TEST_F(Hostile, AnAbsoluteTargetNamesThePathAndTheHost) {
  start();
  http_client client(http_port());
  EXPECT_EQ(client.get("http://test/healthz").status, 200);
  EXPECT_EQ(client.get("HTTP://test").status, 200) << "the front page";
  EXPECT_TRUE(
      ends_with(http_client::request("GET", "http://test?x=/healthz")).starts_with("HTTP/1.1 400"))
      << "no path";
  const auto body = R"({"target":"local"})";
  EXPECT_EQ(client.post("http://other/api/v1/cordon", body, "Origin: http://test\r\n").status, 403)
      << "what the header says does not count";
}

/// One connection could take all memory there is within the time that a body may take.
TEST_F(Hostile, WhatStandsBesideChunksIsNotHeldWithoutEnd) {
  start();
  const std::string head = post + "Transfer-Encoding: chunked\r\n\r\n";
  const std::string much(gateway::limits::framing_bytes_max + 4'096, 'a');
  for (const auto& bytes : {head + "2;" + much, head + "2\r\n{}\r\n0\r\na: " + much, head + much}) {
    const auto said = ends_with(bytes);
    EXPECT_TRUE(said.starts_with("HTTP/1.1 400")) << said.substr(0, 200);
    EXPECT_EQ(answers_in(said), 1U);
  }
  const std::string some(gateway::limits::framing_bytes_max / 2, 'a');
  http_client client(http_port());
  client.send(head + "2;" + some + "\r\n{}\r\n0\r\n\r\n");
  EXPECT_EQ(error_of(client.read_answer())["param"], "model") << "it was read";
}

TEST_F(Hostile, OldClientsAreNotToldToGoOn) {
  start();
  const auto said = ends_with("POST /v1/completions HTTP/1.0\r\nExpect: 100-continue\r\n"
                              "Content-Length: 2\r\n\r\n{}");
  EXPECT_TRUE(said.starts_with("HTTP/1.1 400")) << said;
}

TEST_F(Hostile, AHeadOfAStreamHasNoBody) {
  start();
  http_client client(http_port());
  client.send(http_client::request("HEAD", "/api/v1/events") + hidden);
  const auto head = client.read_answer(true);
  EXPECT_EQ(head.status, 200);
  EXPECT_EQ(head.headers.at("Content-Type"), "text/event-stream");
  EXPECT_EQ(client.read_answer().body, "{\"status\":\"ok\"}\n") << "nothing came in between";
}

/// Each sip is within the limit of a write that moves nothing.
TEST_F(Hostile, AWholeAnswerIsNotOfferedForEver) {
  config_.limits.leave_time = 50 * ms;
  config_.limits.write_stall = 3'600'000 * ms;
  config_.limits.response_bytes = 64 * 1024 * 1024;
  hold_node();
  start();
  http_client client(http_port(), 4096);
  client.send(http_client::request("POST", "/v1/chat/completions", chat_body));
  const auto attempt = node_.opened();
  // More than the kernel's buffers take while the client reads nothing.
  attempt.sink->on_event(attempt_tokens{0, std::string(32 * 1024 * 1024, 'x'), {1}, ""});
  attempt.sink->on_event(attempt_choice_done{0, "stop"});
  attempt.sink->on_event(attempt_completed{{1, 1, 0}, 1, 0});
  http_client other(http_port());
  const auto gone = [&] {
    return other.get("/metrics").body.find("consort_http_connections 1\n") != std::string::npos;
  };
  const auto from = std::chrono::steady_clock::now();
  while (!gone() && std::chrono::steady_clock::now() - from < patience)
    std::this_thread::yield();
  EXPECT_TRUE(gone());
}

} // namespace
} // namespace consort::testing
