// SPDX-License-Identifier: Apache-2.0
// Goal: who is muted is not answered by the kernel, over both versions of IP, and everybody else
// is. Method: real listeners on loopback.
#include "links/muted.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <gtest/gtest.h>

#include <poll.h>
#include <sys/socket.h>

namespace consort::links {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;

asio::ip::address address(const std::string& text) {
  return asio::ip::make_address(text);
}

class Muted : public ::testing::Test {
protected:
  void listen_on(const std::string& host) {
    const tcp::endpoint any(address(host), 0);
    listener_.open(any.protocol());
    listener_.bind(any);
    listener_.listen();
    muted_.watch(listener_.native_handle());
  }
  /// Whether a connection from there is answered in a moment.
  bool answered(const std::string& from) {
    tcp::socket socket(io_, tcp::endpoint(address(from), 0));
    socket.native_non_blocking(true);
    const auto host = address(from).is_v6() ? address("::1") : address("127.0.0.1");
    const tcp::endpoint to(host, listener_.local_endpoint().port());
    (void)::connect(socket.native_handle(), to.data(), static_cast<socklen_t>(to.size()));
    pollfd made{socket.native_handle(), POLLOUT, 0};
    return ::poll(&made, 1, 50) == 1;
  }

  asio::io_context io_;
  tcp::acceptor listener_{io_};
  muted_addresses muted_{io_.get_executor(), 60 * limits::second_us};
};

TEST_F(Muted, AnAddressIsNotAnsweredAndOthersAre) {
  listen_on("127.0.0.1");
  muted_.mute(address("127.0.0.7"));
  EXPECT_FALSE(answered("127.0.0.7"));
  EXPECT_TRUE(answered("127.0.0.8"));
  muted_.mute(address("127.0.0.9"));
  EXPECT_FALSE(answered("127.0.0.7"));
  EXPECT_FALSE(answered("127.0.0.9"));
  EXPECT_TRUE(answered("127.0.0.8"));
}

TEST_F(Muted, AnIpv6NetworkIsMutedAsAWhole) {
  try {
    listen_on("::");
  } catch (const boost::system::system_error&) {
    GTEST_SKIP() << "this machine has no IPv6";
  }
  EXPECT_TRUE(answered("::1"));
  muted_.mute(address("::abcd")); // The same /64 as ::1.
  EXPECT_FALSE(answered("::1"));
  muted_.mute(address("::ffff:127.0.0.7"));
  EXPECT_FALSE(answered("127.0.0.7")) << "IPv4 at a listener for both";
  EXPECT_TRUE(answered("127.0.0.8"));
}

TEST_F(Muted, ItsTimePasses) {
  muted_addresses brief(io_.get_executor(), 1);
  listen_on("127.0.0.1");
  brief.watch(listener_.native_handle());
  brief.mute(address("127.0.0.7"));
  EXPECT_EQ(brief.size(), 1U);
  io_.run(); // Until its timer has been.
  EXPECT_EQ(brief.size(), 0U);
  EXPECT_TRUE(answered("127.0.0.7"));
}

TEST_F(Muted, TheKernelTakesAsManyAsThereMayBe) {
  listen_on("127.0.0.1");
  for (std::uint32_t host = 0; host < limits::muted_max + 8; ++host)
    muted_.mute(asio::ip::address_v4(0x7F010000 + host));
  EXPECT_EQ(muted_.size(), limits::muted_max);
  EXPECT_FALSE(answered("127.1.0.255")) << "the last of them";
  EXPECT_TRUE(answered("127.1.1.1")) << "one more than that";
  muted_.stop();
  EXPECT_EQ(muted_.size(), 0U);
}

} // namespace
} // namespace consort::links
