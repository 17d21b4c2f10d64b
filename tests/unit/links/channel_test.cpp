// SPDX-License-Identifier: Apache-2.0
// What needs no waiting: records received with another, and writes that the kernel takes at once,
// or of which the rest is held back. Two ends over loopback.
#include "links/channel.hpp"

#include "tests/unit/links/test_cluster.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/write.hpp>
#include <gtest/gtest.h>

#include <array>
#include <optional>

namespace consort::links {
namespace {

namespace asio = boost::asio;
constexpr std::size_t record_overhead_bytes = 22; ///< Of TLS 1.3: head, kind, tag.
using testing_support::test_cluster;

class Channel : public ::testing::Test {
protected:
  Channel() {
    channel::tcp::acceptor door(io_, {asio::ip::make_address("127.0.0.1"), 0});
    near_.connect(door.local_endpoint());
    door.accept(far_);
  }
  /// Makes TLS of both ends.
  void secure() {
    client_.emplace(std::move(near_));
    server_.emplace(std::move(far_));
    server_->hurry();
    int done = 0;
    const auto count = [&](boost::system::error_code failed) { done += failed ? 0 : 1; };
    client_->secure(*node_->client_context())
        .async_handshake(asio::ssl::stream_base::client, count);
    tls_ = &server_->secure(*scheduler_->server_context());
    tls_->async_handshake(asio::ssl::stream_base::server, count);
    io_.run();
    ASSERT_EQ(done, 2);
  }
  /// The server sends each as a record of its own; returns when all have come.
  void send(std::initializer_list<std::string_view> records) {
    for (const auto record : records) {
      bool sent = false;
      server_->write_some(asio::buffer(record), [&](auto failed, std::size_t bytes) {
        sent = !failed && bytes == record.size();
      });
      io_.restart();
      io_.run();
      ASSERT_TRUE(sent);
    }
  }
  std::string read() {
    std::optional<std::string> out;
    client_->read_some(asio::buffer(into_),
                       [&](auto, std::size_t bytes) { out = std::string(into_.data(), bytes); });
    io_.restart();
    while (!out)
      io_.run_one();
    return *out;
  }
  std::string ready() {
    const auto [failed, bytes] = client_->read_ready(asio::buffer(into_));
    EXPECT_FALSE(failed) << failed.message();
    return {into_.data(), bytes};
  }

  /// Reads at the client's end, beside whatever else there is to do, until so much has come.
  std::string read_all(std::size_t bytes) {
    std::string all;
    while (all.size() < bytes) {
      const auto piece = read();
      if (piece.empty())
        break;
      all += piece;
    }
    return all;
  }
  /// The server writes numbered lines until one is not taken whole. Returns: what was taken.
  std::string fill() {
    server_->socket().set_option(asio::socket_base::send_buffer_size(4'096));
    std::string all;
    for (int at = 0; !server_->behind(); ++at) {
      const auto line = std::to_string(at) + std::string(1'000, '.');
      const auto [failed, taken] = server_->write_ready(asio::buffer(line));
      EXPECT_FALSE(failed) << failed.message();
      all.append(line, 0, taken);
      if (taken < line.size())
        break;
    }
    return all;
  }

  test_cluster lab_;
  std::shared_ptr<credentials> scheduler_ = lab_.credentials_of(peer_role::scheduler, "s");
  std::shared_ptr<credentials> node_ = lab_.credentials_of(peer_role::node, "n");
  asio::io_context io_;
  channel::tcp::socket near_{io_}, far_{io_};
  std::optional<channel> client_, server_;
  channel::tls_stream* tls_ = nullptr; ///< The server's.
  std::array<char, 100> into_{};
};

TEST_F(Channel, RecordsThatCameTogetherAreThereWithoutWaiting) {
  secure();
  send({"one", "two", "three"});
  EXPECT_EQ(read(), "one");
  EXPECT_EQ(ready(), "two");
  EXPECT_EQ(ready(), "three");
  EXPECT_EQ(ready(), "") << "nothing more, and no failure";
  send({"four"});
  EXPECT_EQ(read(), "four") << "reading goes on as before";
}

TEST_F(Channel, AnEndThatCameWithARecordIsToldAtOnce) {
  secure();
  send({"last"});
  tls_->async_shutdown([](auto) {}); // Says so, and then waits for the other end's word.
  io_.restart();
  while (client_->socket().available() < 2 * record_overhead_bytes)
    io_.poll();
  EXPECT_EQ(read(), "last");
  EXPECT_EQ(client_->read_ready(asio::buffer(into_)).first, asio::error::eof);
  client_->cut();
  io_.run();
}

TEST_F(Channel, WhatIsNoRecordIsAFailure) {
  secure();
  send({"good"});
  asio::write(server_->socket(), asio::buffer(std::string_view("these bytes were not encrypted")));
  EXPECT_EQ(read(), "good");
  EXPECT_TRUE(client_->read_ready(asio::buffer(into_)).first);
}

TEST_F(Channel, WhatTheKernelTakesNeedsNoIoContext) {
  secure();
  const auto [failed, taken] = server_->write_ready(asio::buffer("at once", 7));
  EXPECT_FALSE(failed);
  EXPECT_EQ(taken, 7U);
  EXPECT_FALSE(server_->behind());
  EXPECT_EQ(read(), "at once");
}

TEST_F(Channel, ARecordThatTheKernelTakesInPartIsNotTorn) {
  secure();
  auto all = fill();
  ASSERT_TRUE(server_->behind());
  EXPECT_EQ(server_->write_ready(asio::buffer("later", 5)).second, 0U) << "one rest at a time";
  int flushed = 0;
  server_->flush([&](auto failed, std::size_t) { flushed += failed ? 0 : 1; });
  EXPECT_EQ(read_all(all.size()), all);
  EXPECT_EQ(flushed, 1);
  EXPECT_FALSE(server_->behind());
  EXPECT_EQ(server_->write_ready(asio::buffer("later", 5)).second, 5U);
  EXPECT_EQ(read(), "later");
}

TEST_F(Channel, WhatIsHeldBackGoesBeforeWhatIsWrittenNext) {
  secure();
  auto all = fill() + "last";
  bool sent = false;
  server_->write_some(asio::buffer("last", 4),
                      [&](auto failed, std::size_t bytes) { sent = !failed && bytes == 4; });
  EXPECT_EQ(server_->write_ready(asio::buffer("beside", 6)).second, 0U) << "while one is under way";
  EXPECT_EQ(read_all(all.size()), all);
  io_.restart();
  io_.run_for(std::chrono::milliseconds(0));
  EXPECT_TRUE(sent);
}

TEST_F(Channel, AWriteToAPeerThatLeftFails) {
  secure();
  client_->cut();
  boost::system::error_code failed;
  for (int at = 0; at < 100 && !failed; ++at) {
    failed = server_->write_ready(asio::buffer("x", 1)).first;
    io_.restart();
    io_.poll();
  }
  EXPECT_TRUE(failed);
}

TEST_F(Channel, KeepsItsBuffersWhileItIsTold) {
  secure();
  const auto released
      = [&] { return (SSL_get_mode(tls_->native_handle()) & SSL_MODE_RELEASE_BUFFERS) != 0; };
  EXPECT_TRUE(released()) << "idle links cost little";
  server_->keep_buffers(true);
  EXPECT_FALSE(released());
  send({"one", "two"});
  EXPECT_EQ(read(), "one");
  EXPECT_EQ(ready(), "two");
  server_->keep_buffers(false);
  EXPECT_TRUE(released());
  send({"three"});
  EXPECT_EQ(read(), "three");
}

TEST_F(Channel, BareItWritesWhatTheKernelTakes) {
  server_.emplace(std::move(far_));
  client_.emplace(std::move(near_));
  server_->hurry();
  const auto all = fill();
  EXPECT_FALSE(server_->behind()) << "nothing is held back without TLS";
  EXPECT_EQ(server_->write_ready(asio::buffer("more", 4)),
            std::pair(boost::system::error_code(), std::size_t{0}));
  EXPECT_EQ(read_all(all.size()), all);
}

TEST_F(Channel, BareItHasNothingReady) {
  client_.emplace(std::move(near_));
  EXPECT_EQ(ready(), "");
}

} // namespace
} // namespace consort::links
