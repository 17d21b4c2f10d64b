// SPDX-License-Identifier: Apache-2.0
// Goal: a server that falls silent has stalled, and one that only waits is not slow.
#include "node/runtimes/server_http.hpp"
#include "tests/unit/node/server_fixture.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_future.hpp>
#include <boost/asio/write.hpp>

#include <array>
#include <semaphore>
#include <thread>

namespace consort::node::test {
namespace {

/// It runs as soon as the server has it, so that the scheduler need not wait for a head to judge
/// its silence, and ends by itself at the plugin's limit.
TEST_F(ServerRuntime, OneThatTakesARequestAndSendsNoHeadHasStalled) {
  const test_server server({{"GET /health", {}}, {"POST /v1/completions", no_answer()}});
  spec.silence_us = limits::second_us / 20;
  const auto loaded = attach(server);
  ASSERT_TRUE(loaded);
  const auto events = submit(loaded, 1)->wait_end();
  ASSERT_EQ(events.size(), 2U);
  EXPECT_EQ(events[0], attempt_event(attempt_opened{}));
  const auto& stalled = std::get<attempt_aborted>(events[1]);
  EXPECT_EQ(stalled.failure.code, "server_stalled");
  EXPECT_EQ(stalled.failure.action, recovery::retry_elsewhere);
  EXPECT_TRUE(stalled.device_fault);
}

/// Sends the head of a stream, and then nothing.
TEST_F(ServerRuntime, StreamThatFallsSilentHasStalled) {
  using boost::asio::ip::tcp;
  boost::asio::io_context own;
  tcp::acceptor acceptor(own, {boost::asio::ip::address_v4::loopback(), 0});
  std::vector<tcp::socket> held;
  std::thread mute([&] {
    for (int count = 0; count < 3; ++count) { // Ready, its models, the attempt.
      held.push_back(acceptor.accept());
      boost::system::error_code failed;
      const std::string head = count == 2 ? "HTTP/1.1 200 x\r\nContent-Type: text/event-stream\r\n"
                                            "Content-Length: 99\r\n\r\n"
                                          : "HTTP/1.1 200 x\r\nContent-Length: 0\r\n\r\n";
      boost::asio::write(held.back(), boost::asio::buffer(head), failed);
    }
  });
  spec.url = "http://127.0.0.1:" + std::to_string(acceptor.local_endpoint().port());
  spec.silence_us = limits::second_us / 20;
  const auto loaded = open();
  ASSERT_TRUE(loaded);
  const auto stalled = submit(*loaded, 1)->failure();
  EXPECT_EQ(stalled.failure.code, "server_stalled");
  EXPECT_TRUE(stalled.device_fault);
  mute.join();
}

// A server with Nagle's algorithm on sends the second half of a piece once the first is
// acknowledged, which the kernel would do after 40 ms: eight seconds in all.
TEST_F(ServerRuntime, ServersThatWaitForAcknowledgementsAreNotSlow) {
  using boost::asio::ip::tcp;
  constexpr int pieces = 200;
  boost::asio::io_context own;
  tcp::acceptor acceptor(own, {boost::asio::ip::address_v4::loopback(), 0});
  std::counting_semaphore<pieces + 1> wanted_next(1);
  std::thread halting([&] {
    auto socket = acceptor.accept();
    std::string asked; // Unread, it would have the end of the answer thrown away.
    boost::asio::read_until(socket, boost::asio::dynamic_buffer(asked), "\r\n\r\n");
    const auto say
        = [&](const std::string& what) { boost::asio::write(socket, boost::asio::buffer(what)); };
    say("HTTP/1.1 200 x\r\nContent-Length: " + std::to_string(2 * pieces) + "\r\n\r\n");
    for (int count = 0; count < pieces && wanted_next.try_acquire_for(patience); ++count) {
      say("a");
      say("b");
    }
  });
  server_address at;
  at.host = "127.0.0.1";
  at.port = acceptor.local_endpoint().port();
  const auto began = std::chrono::steady_clock::now();
  const auto read_all = [&]() -> links::task<std::size_t> {
    server_http http(boost::asio::make_strand(io), at);
    std::size_t have = 0;
    std::array<char, 8> into{};
    if (!co_await http.ask("/x", "", limits::second_us))
      co_return have;
    for (auto got = co_await http.read(into, limits::second_us); got && *got > 0;
         got = co_await http.read(into, limits::second_us)) {
      have += *got;
      if (have % 2 == 0)
        wanted_next.release();
    }
    co_return have;
  };
  EXPECT_EQ(boost::asio::co_spawn(io, read_all, boost::asio::use_future).get(), 2U * pieces);
  EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds(4));
  halting.join();
}

} // namespace
} // namespace consort::node::test
