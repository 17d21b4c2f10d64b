// SPDX-License-Identifier: Apache-2.0
// HTTP over a real loopback socket: framing, keep-alive, and every limit of a connection.
#include "tests/support/listening.hpp"
#include "tests/unit/gateway/gateway_fixture.hpp"

#include "gateway/log.hpp"

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <spdlog/sinks/ringbuffer_sink.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstdio>

namespace consort::testing {
namespace {

class Connection : public gateway_fixture {};

TEST_F(Connection, KeepsAliveOverManyRequests) {
  start();
  http_client client(http_port());
  for (int round = 0; round < 5; ++round) {
    const auto answer = client.get("/healthz");
    EXPECT_EQ(answer.status, 200);
    EXPECT_EQ(answer.headers.at("Connection"), "keep-alive");
  }
}

TEST_F(Connection, AnswersPipelinedRequestsInOrder) {
  start();
  http_client client(http_port());
  client.send(http_client::request("GET", "/healthz") + http_client::request("GET", "/nothing")
              + http_client::request("POST", "/v1/chat/completions", chat_body)
              + http_client::request("GET", "/readyz"));
  EXPECT_EQ(client.read_answer().status, 200);
  EXPECT_EQ(client.read_answer().status, 404);
  EXPECT_NE(client.read_answer().body.find("Hello w"), std::string::npos);
  EXPECT_EQ(client.read_answer().status, 503) << "no device";
}

TEST_F(Connection, HeadHasTheLengthButNoBody) {
  start();
  http_client client(http_port());
  client.send(http_client::request("HEAD", "/healthz"));
  const auto head = client.read_answer(true);
  EXPECT_EQ(head.status, 200);
  EXPECT_EQ(head.headers.at("Content-Length"), "16");
  EXPECT_EQ(client.get("/healthz").body, "{\"status\":\"ok\"}\n") << "nothing came in between";
}

TEST_F(Connection, UnknownPathsAndMethodsAreJsonErrors) {
  start();
  http_client client(http_port());
  const auto unknown = client.get("/v2/things");
  EXPECT_EQ(unknown.status, 404);
  EXPECT_EQ(error_of(unknown)["code"], "not_found");
  const auto method = client.get("/v1/chat/completions");
  EXPECT_EQ(method.status, 405);
  EXPECT_EQ(method.headers.at("Allow"), "POST");
  EXPECT_EQ(error_of(method)["code"], "method_not_allowed");
}

TEST_F(Connection, BodyInPiecesThatCutACharacterIsOneBody) {
  start();
  http_client client(http_port());
  const std::string body
      = "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"w\xC3\xB6rld\"}]}";
  const auto cut = body.find('\xC3') + 1;
  const auto chunk = [](const std::string& data) {
    char size[16];
    std::snprintf(size, sizeof size, "%zx\r\n", data.size());
    return size + data + "\r\n";
  };
  client.send("POST /v1/chat/completions HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n"
              + chunk(body.substr(0, cut)));
  client.send(chunk(body.substr(cut)) + "0\r\n\r\n");
  EXPECT_EQ(client.read_answer().status, 200);
  EXPECT_EQ(node_.opened().body.json, body) << "byte for byte";
}

TEST_F(Connection, ExpectContinueIsAnsweredBeforeTheBody) {
  start();
  http_client client(http_port());
  client.send("POST /v1/chat/completions HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\n"
              "Content-Length: "
              + std::to_string(chat_body.size()) + "\r\n\r\n");
  EXPECT_EQ(client.read_until("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  client.send(chat_body);
  const auto both = client.read_until("\"usage\"");
  EXPECT_NE(both.find("HTTP/1.1 200 OK"), std::string::npos);
}

TEST_F(Connection, ExpectOfTooLargeABodyIsRefusedAtOnce) {
  start();
  http_client client(http_port());
  client.send("POST /v1/chat/completions HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\n"
              "Content-Length: 10000000\r\n\r\n");
  EXPECT_EQ(client.read_answer().status, 413);
}

TEST_F(Connection, OtherExpectationsAre417) {
  start();
  http_client client(http_port());
  EXPECT_EQ(client.post("/v1/chat/completions", chat_body, "Expect: miracles\r\n").status, 417);
}

TEST_F(Connection, TenMegabyteBodyIs413AndTheClientGetsToReadIt) {
  start();
  http_client client(http_port());
  client.send(http_client::request("POST", "/v1/chat/completions", std::string(10'000'000, 'x')));
  const auto answer = client.read_answer();
  EXPECT_EQ(answer.status, 413);
  EXPECT_EQ(error_of(answer)["code"], "body_too_large");
  EXPECT_EQ(port_.submitted_count(), 0U);
}

TEST_F(Connection, ChunkedBodyBeyondTheLimitIs413) {
  config_.limits.body_bytes = 1000;
  start();
  http_client client(http_port());
  client.send(
      "POST /v1/completions HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n7d0\r\n"
      + std::string(2000, 'x') + "\r\n0\r\n\r\n");
  EXPECT_EQ(client.read_answer().status, 413);
}

TEST_F(Connection, HeadersBeyondTheLimitAre431) {
  config_.limits.header_bytes = 1024;
  start();
  http_client client(http_port());
  const auto answer = client.get("/healthz", "X-Long: " + std::string(4000, 'x') + "\r\n");
  EXPECT_EQ(answer.status, 431);
  EXPECT_EQ(error_of(answer)["code"], "headers_too_large");
}

TEST_F(Connection, GarbageIs400AndCloses) {
  start();
  http_client client(http_port());
  client.send("\x16\x03\x01 this is not HTTP\r\n\r\n");
  const auto answer = client.read_answer();
  EXPECT_EQ(answer.status, 400);
  EXPECT_EQ(answer.headers.at("Connection"), "close");
  EXPECT_EQ(client.read_all(), "");
}

TEST_F(Connection, WhatFollowsARefusalIsWaitedForBriefly) {
  config_.limits.linger_time = 50 * ms;
  start();
  http_client client(http_port());
  const auto from = std::chrono::steady_clock::now();
  client.send("nonsense\r\n\r\n");
  EXPECT_EQ(client.read_answer().status, 400);
  while (client.send("x"))
    std::this_thread::yield();
  EXPECT_GE(std::chrono::steady_clock::now() - from, std::chrono::milliseconds(50));
}

TEST_F(Connection, WhatFollowsARefusalIsSwallowedUpToALimit) {
  config_.limits.linger_time = 3'600'000 * ms;
  config_.limits.linger_bytes = 64 * 1024;
  start();
  http_client client(http_port());
  client.send("nonsense\r\n\r\n");
  EXPECT_EQ(client.read_answer().status, 400);
  const std::string more(64 * 1024, 'x');
  std::size_t pieces = 0;
  while (client.send(more) && pieces < 1'000)
    ++pieces;
  EXPECT_LT(pieces, 1'000U) << "it was closed";
}

TEST_F(Connection, ReadsSoFarAheadAndNoFurther) {
  hold_node();
  start();
  http_client client(http_port());
  client.send(http_client::request("POST", "/v1/chat/completions", chat_body));
  (void)node_.opened();
  // What it does not take stays in the kernel's buffers, which are a few MiB.
  constexpr std::size_t far = 64 << 20;
  EXPECT_LT(client.send_until_full(std::string(1 << 20, 'x'), far), far);
}

/// What is beyond the limit stays in the kernel, where its tables show it.
TEST_F(Connection, ReadsAheadUpToItsLimit) {
  constexpr std::int64_t beyond = 40 << 10; // Less than any kernel's buffers take.
  constexpr std::int64_t one_read = 4 << 10;
  hold_node();
  start();
  boost::asio::ip::tcp::socket client(io_);
  client.connect({boost::asio::ip::address_v4::loopback(), http_port()});
  const auto request = http_client::request("POST", "/v1/chat/completions", chat_body);
  boost::asio::write(client, boost::asio::buffer(request));
  (void)node_.opened();
  const std::string ahead(gateway::limits::pipeline_bytes_max + beyond, 'x');
  boost::asio::write(client, boost::asio::buffer(ahead));
  const auto stopped_there = [&] {
    const auto left = kernel::unread_bytes(http_port(), client.local_endpoint().port());
    return left <= beyond && left >= beyond - one_read;
  };
  const auto from = std::chrono::steady_clock::now();
  while (!stopped_there() && std::chrono::steady_clock::now() - from < patience)
    std::this_thread::yield();
  EXPECT_EQ(http_client(http_port()).get("/healthz").status, 200);
  EXPECT_TRUE(stopped_there()) << "it reads no further";
}

TEST_F(Connection, PausesWhileNoDescriptorIsLeft) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "the sanitizers need descriptors of their own to look at memory";
#endif
  const auto lines = std::make_shared<spdlog::sinks::ringbuffer_sink_mt>(50);
  gateway::log().sinks().push_back(lines);
  const auto failures = [&] {
    const auto said = lines->last_formatted();
    return std::count_if(said.begin(), said.end(), [](const auto& line) {
      return line.find("accept failed") != std::string::npos;
    });
  };
  start();
  boost::asio::ip::tcp::socket waiting(io_, boost::asio::ip::tcp::v4());
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit none = before;
  none.rlim_cur = 0;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  const auto from = std::chrono::steady_clock::now();
  waiting.connect({boost::asio::ip::address_v4::loopback(), http_port()});
  while (failures() < 2 && std::chrono::steady_clock::now() - from < patience)
    std::this_thread::yield();
  EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_GE(std::chrono::steady_clock::now() - from,
            std::chrono::microseconds(gateway::limits::accept_backoff_us));
  const std::string request = http_client::request("GET", "/healthz");
  boost::asio::write(waiting, boost::asio::buffer(request));
  std::string answer(12, ' ');
  boost::asio::read(waiting, boost::asio::buffer(answer));
  EXPECT_EQ(answer, "HTTP/1.1 200") << "it waited, no more";
}

TEST_F(Connection, SlowHeadersAreCutOff) {
  config_.limits.header_time = 30 * ms;
  start();
  http_client client(http_port());
  client.send("GET /healthz HTTP/1.1\r\nX-Slow");
  const auto answer = client.read_answer();
  EXPECT_EQ(answer.status, 408);
  EXPECT_EQ(error_of(answer)["code"], "request_timeout");
  EXPECT_EQ(client.read_all(), "");
}

TEST_F(Connection, SlowBodiesAreCutOff) {
  config_.limits.body_time = 30 * ms;
  start();
  http_client client(http_port());
  client.send("POST /v1/completions HTTP/1.1\r\nHost: t\r\nContent-Length: 100\r\n\r\n{");
  EXPECT_EQ(client.read_answer().status, 408);
}

TEST_F(Connection, IdleOnesAreClosedQuietly) {
  config_.limits.idle_time = 30 * ms;
  start();
  http_client client(http_port());
  EXPECT_EQ(client.get("/healthz").status, 200);
  EXPECT_EQ(client.read_all(), "");
}

TEST_F(Connection, Http10GetsItsAnswerAndTheEnd) {
  start();
  http_client client(http_port());
  client.send("GET /healthz HTTP/1.0\r\n\r\n");
  EXPECT_EQ(client.read_answer().status, 200);
  EXPECT_EQ(client.read_all(), "");

  http_client streaming(http_port());
  streaming.send("POST /v1/chat/completions HTTP/1.0\r\nContent-Length: "
                 + std::to_string(chat_stream_body.size()) + "\r\n\r\n" + chat_stream_body);
  const auto answer = streaming.read_answer();
  EXPECT_FALSE(answer.headers.contains("Transfer-Encoding"));
  EXPECT_TRUE(answer.body.ends_with("data: [DONE]\n\n")) << answer.body;
}

TEST_F(Connection, TargetsThatHideBytesAre400) {
  start();
  http_client client(http_port());
  EXPECT_EQ(client.get("/v1/models/%00").status, 400);
}

} // namespace
} // namespace consort::testing
