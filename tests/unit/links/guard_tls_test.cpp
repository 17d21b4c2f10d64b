// SPDX-License-Identifier: Apache-2.0
// The guard under TLS: certificates against hellos, half handshakes, revocation.
#include "tests/unit/links/link_fixture.hpp"

#include <algorithm>

namespace consort::links {
namespace {

using namespace testing_support;
using asio::ssl::context;
using messages::sender_kind;

class GuardTls : public link_fixture {
protected:
  void start(limits::limit_set limits = {}) {
    guard_options options;
    options.credentials = scheduler_;
    options.limits = limits;
    start_guard(options);
  }
  std::shared_ptr<raw_peer> dial_with(const tls_context& with, const messages::frame& hello) {
    const auto peer = dial();
    peer->begin_tls(with);
    peer->send(hello);
    return peer;
  }
  /// The refusal that a peer is told; empty when its connection was just closed.
  std::string answer_to(const tls_context& with, const messages::frame& hello = hello_frame()) {
    const auto peer = dial_with(with, hello);
    EXPECT_TRUE(run_until([&] { return peer->closed(); }));
    return peer->refusal();
  }
  tls_context client_of(const key_pair* leaf) {
    return context_of(context::tls_client, lab_.authority().certificate, leaf);
  }
  /// The first bytes that a client says, made without a connection.
  static std::vector<char> client_hello(const tls_context& with) {
    const std::unique_ptr<SSL, void (*)(SSL*)> client(SSL_new(with->native_handle()), SSL_free);
    auto* said = BIO_new(BIO_s_mem());
    SSL_set_bio(client.get(), BIO_new(BIO_s_mem()), said);
    SSL_set_connect_state(client.get());
    SSL_do_handshake(client.get());
    std::vector<char> bytes(BIO_ctrl_pending(said));
    BIO_read(said, bytes.data(), static_cast<int>(bytes.size()));
    return bytes;
  }
  /// One that has said its first words, and says no more.
  std::shared_ptr<raw_peer> stop_halfway(const std::string& from = "127.0.0.1") {
    const auto peer = dial(from);
    peer->begin();
    peer->send(client_hello(node_->client_context()));
    return peer;
  }
  bool counts(const std::string& reason) {
    return run_until([&] { return refused(reason) == 1; });
  }

  test_cluster lab_;
  std::shared_ptr<credentials> scheduler_ = lab_.credentials_of(peer_role::scheduler, "s");
  std::shared_ptr<credentials> node_ = lab_.credentials_of(peer_role::node, "edge-1");
};

TEST_F(GuardTls, AGreetedPeerIsWhoItsCertificateNames) {
  start();
  const auto peer = dial_with(node_->client_context(), hello_frame());
  ASSERT_TRUE(run_until([&] { return links_.size() == 1; }));
  EXPECT_EQ(links_.front().handle->peer(), node_->self());
  EXPECT_TRUE(links_.front().handle->send(answer_frame()));
  EXPECT_TRUE(run_until([&] { return peer->received_bytes() >= bytes_of(answer_frame()).size(); }));
}

TEST_F(GuardTls, ACertificateServesItsOwnRoleAndNameOnly) {
  start();
  EXPECT_EQ(answer_to(node_->client_context(), hello_frame(sender_kind::gateway, "edge-1")),
            "wrong_role");
  EXPECT_EQ(answer_to(node_->client_context(), hello_frame(sender_kind::node, "edge-2")),
            "wrong_name");
  EXPECT_EQ(
      answer_to(node_->client_context(), hello_frame(sender_kind::node, "edge-1", cluster, "bad")),
      "wrong_token")
      << "a certificate does not replace the token";
  EXPECT_TRUE(links_.empty());
}

TEST_F(GuardTls, StrangersDoNotFinishTheHandshake) {
  start();
  const test_cluster other("other");
  const auto foreign = issue(other.authority(), {.name = "edge-1"});
  EXPECT_EQ(answer_to(client_of(&*foreign)), "");
  EXPECT_TRUE(counts("foreign_certificate"));
  const auto old = issue(lab_.authority(),
                         {.name = "edge-1", .valid_for_s = 60, .valid_from_s = 1'600'000'000});
  EXPECT_EQ(answer_to(client_of(&*old)), "");
  EXPECT_TRUE(counts("certificate_expired"));
  EXPECT_EQ(answer_to(client_of(nullptr)), "");
  EXPECT_TRUE(counts("no_certificate"));
}

TEST_F(GuardTls, WhatIsNotTlsIsCutByItsFirstByte) {
  start();
  const auto bare = dial();
  bare->begin();
  bare->send(hello_frame());
  ASSERT_TRUE(run_until([&] { return bare->closed(); }));
  EXPECT_EQ(bare->received_bytes(), 0U);
  EXPECT_TRUE(counts("not_tls"));
}

TEST_F(GuardTls, HalfAHandshakeIsCutAtTheDeadline) {
  limits::limit_set limits;
  limits.handshake = 50'000;
  start(limits);
  const auto half = dial();
  half->begin();
  half->send({0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00}); // A client hello of 512 bytes begins.
  ASSERT_TRUE(run_until([&] { return half->closed(); }));
  EXPECT_TRUE(counts("handshake_timeout"));
}

TEST_F(GuardTls, AHandshakeThatIsAbandonedHalfwayIsCountedAtOnce) {
  start();
  const auto half = dial();
  half->begin();
  half->send({0x16, 0x03, 0x01});
  ASSERT_TRUE(run_until([&] { return half->all_sent() && guard_->counters().unfinished == 1; }));
  half->close();
  EXPECT_TRUE(counts("closed_early"));
}

TEST_F(GuardTls, WhoseTurnComesTooLateIsCutUnheard) {
  limits::limit_set limits;
  limits.handshake = 60 * limits::second_us;
  limits.address_handshakes = 1;
  limits.turn = 50'000;
  start(limits);
  const auto stopped = stop_halfway();
  ASSERT_TRUE(run_until([&] { return stopped->received_bytes() > 0; })) << "it is its turn";
  EXPECT_EQ(answer_to(node_->client_context()), "");
  EXPECT_TRUE(counts("handshake_timeout"));
  EXPECT_FALSE(stopped->closed()) << "its own time is not over";
  stopped->close();
  const auto next = dial_with(node_->client_context(), hello_frame());
  EXPECT_TRUE(run_until([&] { return links_.size() == 1; })) << "the place is free again";
}

TEST_F(GuardTls, StrangersThatStopHalfwayKeepStrangersWaitingOnly) {
  limits::limit_set limits;
  limits.handshake = 60 * limits::second_us;
  limits.turn = 50'000;
  limits.strangers_at_once = 2;
  limits.strangers_rate = 4;
  start(limits);
  const auto before = dial_with(node_->client_context(), hello_frame());
  ASSERT_TRUE(run_until([&] { return links_.size() == 1; }));
  std::vector<std::shared_ptr<raw_peer>> stopped;
  for (const auto* from : {"127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5", "127.0.0.6"})
    stopped.push_back(stop_halfway(from));
  ASSERT_TRUE(run_until([&] { return refused("handshake_timeout") >= 2; }));
  const auto answered = std::count_if(stopped.begin(), stopped.end(),
                                      [](const auto& one) { return one->received_bytes() > 0; });
  EXPECT_LT(answered, 5) << "no signature for all of them";
  EXPECT_GE(answered, 2);
  const auto again = dial_with(node_->client_context(), hello_frame());
  EXPECT_TRUE(run_until([&] { return links_.size() == 2; })) << "its address is known";
}

TEST_F(GuardTls, AHandshakeThatWasAnsweredInVainMutesSooner) {
  limits::limit_set limits;
  limits.address_failures_at_once = limits::failures_per_handshake;
  limits.address_failures_rate = 1;
  limits.mute = 50'000;
  start(limits);
  const auto stopped = stop_halfway();
  ASSERT_TRUE(run_until([&] { return stopped->received_bytes() > 0; }));
  stopped->close();
  ASSERT_TRUE(run_until([&] { return guard_->counters().unfinished == 0; }));
  const auto next = dial();
  next->begin();
  ASSERT_TRUE(run_until([&] { return next->closed(); }));
  EXPECT_TRUE(counts("too_many_failures"));
}

TEST_F(GuardTls, AHandshakeInSmallPiecesSucceeds) {
  start();
  // A hand in the middle passes the client's bytes on one at a time.
  tcp::acceptor middle(io_, {asio::ip::make_address("127.0.0.1"), 0});
  const auto client = raw_peer::dial(io_, middle.local_endpoint().port());
  tcp::socket near(io_);
  middle.accept(near);
  tcp::socket far(io_);
  far.connect({asio::ip::make_address("127.0.0.1"), guard_->port()});
  far.set_option(tcp::no_delay(true));
  client->begin_tls(node_->client_context());
  client->send(hello_frame());
  near.non_blocking(true);
  far.non_blocking(true);
  std::array<char, 4096> room{};
  // All that happens comes of this loop, so that it never has to wait for something.
  const auto patience = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (links_.empty() && std::chrono::steady_clock::now() < patience) {
    boost::system::error_code none;
    char byte = 0;
    if (near.read_some(asio::buffer(&byte, 1), none) == 1)
      asio::write(far, asio::buffer(&byte, 1), none);
    const auto back = far.read_some(asio::buffer(room), none);
    asio::write(near, asio::buffer(room, back), none);
    io_.restart();
    io_.poll();
  }
  EXPECT_EQ(links_.size(), 1U);
  client->close();
}

TEST_F(GuardTls, ABrokenHandshakeIsCut) {
  start();
  const auto broken = dial();
  broken->begin();
  auto bytes = std::vector<char>(600, '\x7f'); // More than the record that they claim.
  const std::vector<char> record = {0x16, 0x03, 0x01, 0x02, 0x00};
  std::copy(record.begin(), record.end(), bytes.begin());
  broken->send(bytes);
  ASSERT_TRUE(run_until([&] { return broken->closed(); }));
  EXPECT_TRUE(counts("tls_failed"));
}

TEST_F(GuardTls, SilenceAfterTheHandshakeIsCutAtTheDeadline) {
  limits::limit_set limits;
  limits.hello = 30'000;
  start(limits);
  const auto peer = dial();
  peer->begin_tls(node_->client_context());
  ASSERT_TRUE(run_until([&] { return peer->closed(); }));
  EXPECT_TRUE(counts("hello_timeout"));
}

TEST_F(GuardTls, ARevokedCertificateIsToldSo) {
  start();
  scheduler_->revoke({node_->self().serial});
  EXPECT_EQ(answer_to(node_->client_context()), "certificate_revoked");
  EXPECT_TRUE(counts("certificate_revoked"));
}

TEST_F(GuardTls, DropEndsTheLinksOfThoseCertificatesOnly) {
  start();
  const auto other = lab_.credentials_of(peer_role::node, "edge-2");
  const auto first = dial_with(node_->client_context(), hello_frame());
  const auto second = dial_with(other->client_context(), hello_frame(sender_kind::node, "edge-2"));
  ASSERT_TRUE(run_until([&] { return links_.size() == 2; }));
  scheduler_->revoke({node_->self().serial});
  guard_->drop({node_->self().serial});
  ASSERT_TRUE(run_until([&] { return first->closed() && guard_->counters().links == 1; }));
  for (const auto& one : links_)
    EXPECT_EQ(one.closed_by(), one.handle->peer().name == "edge-1" ? "certificate_revoked" : "");
}

TEST_F(GuardTls, ARevocationIsNoticedByALinkItself) {
  limits::limit_set limits;
  limits.heartbeat = 10'000;
  start(limits);
  const auto peer = dial_with(node_->client_context(), hello_frame());
  ASSERT_TRUE(run_until([&] { return links_.size() == 1; }));
  scheduler_->revoke({node_->self().serial});
  ASSERT_TRUE(run_until([&] { return links_.front().closed.has_value(); }));
  EXPECT_EQ(links_.front().closed_by(), "certificate_revoked");
}

TEST_F(GuardTls, RotationKeepsLinksAndServesNewOnes) {
  start();
  const auto before = dial_with(node_->client_context(), hello_frame());
  ASSERT_TRUE(run_until([&] { return links_.size() == 1; }));
  lab_.renew(peer_role::scheduler, "s");
  ASSERT_TRUE(scheduler_->reload());
  const auto after = dial_with(node_->client_context(), hello_frame());
  ASSERT_TRUE(run_until([&] { return links_.size() == 2; }));
  EXPECT_FALSE(links_.front().closed) << "the older link goes on";
  before->send(event_frame());
  EXPECT_TRUE(run_until([&] { return links_.front().frames.size() == 1; }));
}

} // namespace
} // namespace consort::links
