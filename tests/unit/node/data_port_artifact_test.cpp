// SPDX-License-Identifier: Apache-2.0
// Artifacts of a data port, and who may do what there.
#include "node/byte_range.hpp"
#include "tests/unit/node/data_port_fixture.hpp"

#include <tuple>

namespace consort::node {
namespace {

using namespace test;
using links::peer_role;
using testing::say_tokens;
using DataPortArtifacts = data_port_fixture;

TEST_F(DataPortArtifacts, SendsAWholeOneAndParts) {
  const auto record = put("0123456789");
  start();
  auto peer = client();
  peer.send(get(record.content));
  const auto [whole, text] = peer.answer();
  EXPECT_EQ(whole.status, 200U);
  EXPECT_EQ(text, "0123456789");
  EXPECT_EQ(whole.header("ETag"), "\"" + record.content.value + "\"");
  EXPECT_EQ(whole.header("X-Consort-Build-Us"), "5000");
  peer.send(get(record.content, "Range: bytes=3-\r\n"));
  const auto [part, rest] = peer.answer();
  EXPECT_EQ(part.status, 206U);
  EXPECT_EQ(rest, "3456789");
  EXPECT_EQ(part.header("Content-Range"), "bytes 3-9/10");
  peer.send(get(record.content, "Range: bytes=3-\r\nIf-Range: \"another\"\r\n"));
  EXPECT_EQ(peer.answer().second, "0123456789");
  peer.send(get(record.content, "Range: bytes=10-\r\n"));
  const auto [beyond, nothing] = peer.answer();
  EXPECT_EQ(beyond.status, 416U);
  EXPECT_EQ(beyond.header("Content-Range"), "bytes */10");
  peer.send(get(record.content, "", "HEAD"));
  EXPECT_EQ(peer.head().header("Content-Length"), "10");
  peer.send(get(digest(std::string(64, 'a'))));
  const auto [missing, why] = peer.answer();
  EXPECT_EQ(missing.status, 404U);
  EXPECT_EQ(code_of(why), "artifact_missing");
  EXPECT_EQ(port_->counters().accepted, 1U);
}

TEST_F(DataPortArtifacts, SendsNoMoreThanSoManyAtOnceAndSoFast) {
  const auto record = put(std::string(2 * limits::artifact_piece_bytes, 'x'));
  limits::data_port_limits limits;
  limits.artifact_streams = 1;
  limits.artifact_rate = limits::artifact_piece_bytes * 4; // The second piece waits 250 ms.
  start(limits);
  auto first = client();
  const auto from = std::chrono::steady_clock::now();
  first.send(get(record.content));
  EXPECT_EQ(first.head().status, 200U);
  auto second = client();
  second.send(get(record.content));
  const auto [busy, why] = second.answer();
  EXPECT_EQ(busy.status, 503U);
  EXPECT_EQ(busy.header("Retry-After"), "1");
  EXPECT_EQ(code_of(why), "artifact_streams_full");
  EXPECT_EQ(first.exactly(record.size_bytes).size(), record.size_bytes);
  EXPECT_GE(std::chrono::steady_clock::now() - from, std::chrono::milliseconds(240));
}

class data_port_tls_fixture : public data_port_fixture {
protected:
  void start_tls(limits::data_port_limits limits = {}) {
    start(limits, cluster_.credentials_of(peer_role::node, "n1"));
  }
  raw_http as(peer_role role, const std::string& name) {
    return raw_http(port_->port(), cluster_.credentials_of(role, name)->client_context());
  }
  links::testing_support::test_cluster cluster_;
};
using DataPortTls = data_port_tls_fixture;

TEST_F(DataPortTls, EveryRoleMayDoItsOwn) {
  const auto record = put("engine");
  start_tls();
  struct expectation {
    peer_role role;
    unsigned attempt, artifact;
  };
  for (const auto& [role, attempt, artifact] :
       std::vector<expectation>{{peer_role::gateway, 200, 403},
                                {peer_role::scheduler, 200, 200},
                                {peer_role::node, 403, 200},
                                {peer_role::admin, 403, 403}}) {
    auto opening = as(role, "p");
    opening.send(post(open_frame()));
    EXPECT_EQ(opening.head().status, attempt) << links::name_of(role);
    auto fetching = as(role, "p");
    fetching.send(get(record.content));
    EXPECT_EQ(fetching.head().status, artifact) << links::name_of(role);
  }
  EXPECT_EQ(refused("wrong_role"), 4U);
}

TEST_F(DataPortTls, StreamsUnderTls) {
  start_tls();
  auto gateway = as(peer_role::gateway, "g");
  for (std::size_t number = 0; number < 2; ++number) {
    gateway.send(post(open_frame(number)));
    EXPECT_EQ(gateway.head().status, 200U);
    attempts_.say(number, testing::say_tokens(std::string(100'000, 'x')));
    attempts_.say(number, attempt_completed{});
    EXPECT_EQ(events_of(gateway.chunked()).size(), 2U);
  }
  gateway.send(post(open_frame(9)));
  EXPECT_EQ(gateway.head().status, 200U);
  gateway.close();
  EXPECT_TRUE(attempts_.closed(2));
}

TEST_F(DataPortTls, ARevokedCertificateEndsWhatItRuns) {
  const auto own = cluster_.credentials_of(peer_role::node, "n1");
  start({}, own);
  auto gateway = as(peer_role::gateway, "g");
  gateway.send(post(open_frame()));
  gateway.head();
  auto idle = as(peer_role::gateway, "g");
  ASSERT_TRUE(eventually([&] { return port_->counters().connections == 2; }));
  const auto serial = cluster_.credentials_of(peer_role::gateway, "g")->self().serial;
  own->revoke({serial});
  idle.send(post(open_frame(2)));
  EXPECT_EQ(code_of(idle.answer().second), "certificate_revoked");
  port_->drop({serial});
  EXPECT_TRUE(attempts_.closed());
  EXPECT_TRUE(gateway.at_end());
}

TEST_F(DataPortTls, AStreamThatIsReadLateIsWholeAndInOrder) {
  start_tls();
  auto late = as(peer_role::gateway, "g");
  for (std::uint64_t number = 0; number < 2; ++number) { // The same connection, twice.
    late.send(post(open_frame(number)));
    EXPECT_EQ(late.head().status, 200U);
    attempts_.say(number, say_tokens("first"));
    EXPECT_FALSE(events_of(late.chunk()).empty());
    constexpr std::size_t pieces = 48; // More than the kernel takes, less than may wait.
    const std::string filling(64 * 1024, '.');
    for (std::size_t at = 0; at < pieces; ++at)
      attempts_.say(number, say_tokens(std::to_string(at) + filling));
    attempts_.say(number, attempt_completed{{1, pieces + 1, 0}, 1, 0});
    const auto events = events_of(late.chunked());
    ASSERT_EQ(events.size(), pieces + 1);
    for (std::size_t at = 0; at < pieces; ++at)
      EXPECT_EQ(std::get<attempt_tokens>(events[at]).text, std::to_string(at) + filling);
    EXPECT_TRUE(attempts_.closed(number));
  }
  EXPECT_EQ(port_->counters().accepted, 1U);
  EXPECT_EQ(port_->counters().overflowed, 0U);
}

TEST_F(DataPortTls, CutsHandshakesThatNeverEnd) {
  limits::data_port_limits limits;
  limits.handshake = 50 * ms;
  start_tls(limits);
  raw_http silent(port_->port());
  EXPECT_TRUE(silent.at_end());
  EXPECT_TRUE(eventually([&] { return refused("handshake_timeout") == 1; }));
}

/// Half a TLS record, so that nothing is kept for them but their sockets.
TEST_F(DataPortTls, TheOldestUnfinishedOfAnAddressGivesWay) {
  limits::data_port_limits limits;
  limits.handshake = 60 * 1'000 * ms;
  limits.address_unfinished = 2;
  start_tls(limits);
  const std::string half("\x16\x03\x01\x02\x00\x01", 6);
  raw_http first(port_->port()), second(port_->port());
  first.send(half);
  second.send(half);
  ASSERT_TRUE(eventually([&] { return port_->counters().connections == 2; }));
  auto gateway = as(peer_role::gateway, "g");
  EXPECT_TRUE(first.at_end());
  EXPECT_EQ(refused("displaced"), 1U);
  gateway.send(post(open_frame()));
  EXPECT_EQ(gateway.head().status, 200U);
}

TEST_F(DataPortTls, AnAddressThatFailsTooOftenIsNotHeard) {
  limits::data_port_limits limits;
  limits.peers.address_failures_rate = 1;
  limits.peers.address_failures_at_once = 3;
  start_tls(limits);
  for (int at = 0; at < 3; ++at) {
    raw_http bare(port_->port());
    bare.send(post(open_frame()));
    EXPECT_TRUE(bare.at_end());
  }
  EXPECT_TRUE(eventually([&] { return refused("not_tls") == 3; }));
  EXPECT_TRUE(eventually([&] { return port_->counters().connections == 0; }));
  raw_http fourth(port_->port());
  EXPECT_TRUE(fourth.at_end());
  EXPECT_EQ(refused("too_many_failures"), 1U);
}

TEST_F(DataPortTls, WhoAsksForWhatIsNotItsOwnIsHeldOff) {
  limits::data_port_limits limits;
  limits.peers.offences_rate = 1;
  limits.peers.offences_at_once = 2;
  limits.peers.hold_first = 60 * 1'000 * ms;
  start_tls(limits);
  for (int at = 0; at < 3; ++at) {
    auto node = as(peer_role::node, "n2");
    node.send(post(open_frame()));
    EXPECT_EQ(code_of(node.answer().second), "wrong_role");
  }
  auto again = as(peer_role::node, "n2");
  EXPECT_TRUE(again.at_end());
  EXPECT_TRUE(eventually([&] { return refused("held_off") == 1; }));
  auto other = as(peer_role::node, "n3");
  other.send(post(open_frame()));
  EXPECT_EQ(code_of(other.answer().second), "wrong_role") << "others are heard";
}

TEST_F(DataPortTls, WhoForgesTicketsIsHeldOffOnItsOwnConnection) {
  attempts_.on_open = [](const ticket&, attempt_sink& sink) {
    sink.on_event(attempt_aborted{{recovery::refuse, "ticket_forged", "no"}, false});
  };
  limits::data_port_limits limits;
  limits.peers.offences_rate = 1;
  limits.peers.offences_at_once = 1;
  limits.peers.hold_first = 60 * 1'000 * ms;
  start_tls(limits);
  auto gateway = as(peer_role::gateway, "g");
  for (int at = 0; at < 2; ++at) {
    gateway.send(post(open_frame()));
    EXPECT_EQ(gateway.head().status, 200U);
    gateway.chunked();
  }
  gateway.send(post(open_frame()));
  const auto [head, text] = gateway.answer();
  EXPECT_EQ(head.status, 503U);
  EXPECT_EQ(code_of(text), "held_off");
}

TEST_F(DataPortTls, CutsHandshakesThatFail) {
  limits::data_port_limits limits;
  limits.handshake = 60 * 1'000 * ms;
  start_tls(limits);
  raw_http bare(port_->port());
  bare.send(post(open_frame()));
  EXPECT_TRUE(eventually([&] { return refused("not_tls") == 1; }));
  links::testing_support::test_cluster foreign("elsewhere");
  raw_http stranger(port_->port(),
                    foreign.credentials_of(peer_role::gateway, "g")->client_context());
  EXPECT_TRUE(stranger.failed() || stranger.at_end());
  EXPECT_TRUE(eventually([&] { return refused("certificate_refused") == 1; })) << "ours, by it";
  const auto leaf = issue(foreign.authority(), {.role = peer_role::gateway, .name = "g"});
  const raw_http trusting(
      port_->port(), links::testing_support::context_of(boost::asio::ssl::context::tls_client,
                                                        cluster_.authority().certificate, &*leaf));
  EXPECT_TRUE(eventually([&] { return refused("foreign_certificate") == 1; }));
}

TEST_F(DataPortTls, AHandshakeThatWasAnsweredInVainMutesSooner) {
  limits::data_port_limits limits;
  limits.peers.address_failures_rate = 1;
  limits.peers.address_failures_at_once = links::limits::failures_per_handshake;
  start_tls(limits);
  links::testing_support::test_cluster foreign("elsewhere");
  {
    raw_http stranger(port_->port(),
                      foreign.credentials_of(peer_role::gateway, "g")->client_context());
    EXPECT_TRUE(stranger.failed() || stranger.at_end());
  }
  EXPECT_TRUE(eventually(
      [&] { return refused("certificate_refused") == 1 && port_->counters().connections == 0; }));
  raw_http next(port_->port());
  EXPECT_TRUE(next.at_end());
  EXPECT_EQ(refused("too_many_failures"), 1U);
}

TEST(ByteRange, UnderstandsOneRangeAndIgnoresTheRest) {
  const auto judged = [](std::string_view header) {
    const auto got = judge_range(header, 10);
    return std::tuple(got.verdict, got.range.begin, got.range.size);
  };
  using enum range_verdict;
  EXPECT_EQ(judged("bytes=2-4"), std::tuple(partial, 2U, 3U));
  EXPECT_EQ(judged("bytes=2-"), std::tuple(partial, 2U, 8U));
  EXPECT_EQ(judged("bytes=2-99"), std::tuple(partial, 2U, 8U));
  EXPECT_EQ(judged("bytes=-3"), std::tuple(partial, 7U, 3U));
  EXPECT_EQ(judged("bytes=-99"), std::tuple(partial, 0U, 10U));
  EXPECT_EQ(judged("bytes=10-"), std::tuple(beyond, 0U, 0U));
  EXPECT_EQ(judged("bytes=-0"), std::tuple(beyond, 0U, 0U));
  for (const auto* odd : {"", "bytes=", "bytes=4-2", "bytes=1-2,5-6", "lines=1-2", "bytes=a-b",
                          "bytes=-", "bytes=99999999999999999999-"})
    EXPECT_EQ(judged(odd), std::tuple(whole, 0U, 10U)) << odd;
}

TEST(ByteRange, ReadsWhatItWrites) {
  const auto got = parse_content_range(format_content_range({3, 4}, 10));
  ASSERT_TRUE(got.has_value());
  EXPECT_EQ(got->range, (byte_range{3, 4}));
  EXPECT_EQ(got->size_bytes, 10U);
  for (const auto* odd : {"", "bytes */10", "bytes 3-2/10", "bytes 3-10/10", "bytes 3-4/10x"})
    EXPECT_FALSE(parse_content_range(odd).has_value()) << odd;
}

} // namespace
} // namespace consort::node
