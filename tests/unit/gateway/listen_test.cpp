// SPDX-License-Identifier: Apache-2.0
#include "gateway/listen.hpp"

#include "tests/support/listening.hpp"

#include <boost/asio/io_context.hpp>
#include <gtest/gtest.h>

#include <list>
#include <poll.h>
#include <unistd.h>

namespace consort::gateway {
namespace {

server_config on_port(std::uint16_t port, const std::string& host = "127.0.0.1") {
  server_config out;
  out.host = host;
  out.port = port;
  return out;
}

TEST(Listen, TakenPortNamesWhoHasIt) {
  boost::asio::io_context io;
  auto first = listen_on(io.get_executor(), on_port(0));
  ASSERT_TRUE(first.ok());
  const auto port = first->local_endpoint().port();
  const auto second = listen_on(io.get_executor(), on_port(port));
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.failure().code, "port_in_use");
  EXPECT_NE(second.failure().message.find("(pid " + std::to_string(::getpid()) + ")"),
            std::string::npos)
      << second.failure().message;
  EXPECT_NE(second.failure().message.find("--listen"), std::string::npos) << "what to do next";
}

TEST(Listen, NobodyListensOnAFreePort) {
  boost::asio::io_context io;
  std::uint16_t port = 0;
  {
    auto taken = listen_on(io.get_executor(), on_port(0));
    port = taken->local_endpoint().port();
  }
  EXPECT_EQ(who_listens_on(port), "");
}

TEST(Listen, ReachableAddressesNeedConsent) {
  boost::asio::io_context io;
  auto config = on_port(0, "0.0.0.0");
  const auto refused = listen_on(io.get_executor(), config);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.failure().code, "address_unprotected");
  config.insecure = true;
  EXPECT_TRUE(listen_on(io.get_executor(), config).ok());
}

/// The kernel grants one more than it is asked for.
TEST(Listen, KernelKeepsSoManyThatNobodyAccepted) {
  boost::asio::io_context io;
  auto config = on_port(0);
  config.limits.accept_queue = 2;
  const auto acceptor = listen_on(io.get_executor(), config);
  ASSERT_TRUE(acceptor.ok());
  const auto to = acceptor->local_endpoint();
  EXPECT_EQ(kernel::backlog_of(to.port()), 2);
  std::list<boost::asio::ip::tcp::socket> waiting;
  const auto connected = [&] {
    auto& one = waiting.emplace_back(io, to.protocol());
    one.non_blocking(true);
    (void)::connect(one.native_handle(), to.data(), static_cast<socklen_t>(to.size()));
    pollfd made{one.native_handle(), POLLOUT, 0};
    return ::poll(&made, 1, 50) == 1;
  };
  for (int at = 0; at < 3; ++at)
    EXPECT_TRUE(connected()) << at;
  EXPECT_FALSE(connected());
}

TEST(Listen, NonsenseAddressesAreNamed) {
  boost::asio::io_context io;
  const auto got = listen_on(io.get_executor(), on_port(0, "not-an-address"));
  ASSERT_FALSE(got.ok());
  EXPECT_EQ(got.failure().code, "bad_address");
  EXPECT_TRUE(listen_on(io.get_executor(), on_port(0, "localhost")).ok());
}

} // namespace
} // namespace consort::gateway
