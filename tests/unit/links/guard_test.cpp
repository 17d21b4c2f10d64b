// SPDX-License-Identifier: Apache-2.0
// The guard over bare loopback: who gets in, who is told why not, and what silence costs.
#include "tests/support/listening.hpp"
#include "tests/unit/links/link_fixture.hpp"

#include <poll.h>
#include <sys/resource.h>

#include <filesystem>

namespace consort::links {
namespace {

using namespace testing_support;
using messages::sender_kind;
using testing::HasSubstr;

class Guard : public link_fixture {
protected:
  /// Sends that as the first bytes, and waits for the end. Returns: the refusal that was answered.
  std::string answer_to(const std::vector<char>& bytes) {
    const auto peer = dial();
    peer->begin();
    peer->send(bytes);
    EXPECT_TRUE(run_until([&] { return peer->closed(); }));
    return peer->refusal();
  }
  std::string answer_to(const messages::frame& frame) { return answer_to(bytes_of(frame)); }
  /// Whether the kernel takes a connection from there in a moment.
  bool connects(const std::string& from) {
    tcp::socket socket(io_, tcp::endpoint(asio::ip::make_address(from), 0));
    std::optional<bool> made;
    socket.async_connect({asio::ip::make_address("127.0.0.1"), guard_->port()},
                         [&](auto failed) { made = made.value_or(!failed); });
    asio::steady_timer patience(io_, std::chrono::milliseconds(50));
    patience.async_wait([&](auto) { made = made.value_or(false); });
    EXPECT_TRUE(run_until([&] { return made.has_value(); }));
    const bool yes = *made;
    socket.close();
    patience.cancel();
    io_.restart();
    io_.poll();
    return yes;
  }
  static guard_options with(const limits::limit_set& limits) {
    guard_options options;
    options.limits = limits;
    return options;
  }
};

TEST_F(Guard, AGreetedPeerBecomesALink) {
  start_guard();
  const auto hello = hello_frame(sender_kind::gateway, "front");
  const auto peer = join(hello);
  const auto& made = links_.front();
  EXPECT_EQ(made.hello, hello);
  EXPECT_EQ(made.handle->peer(), (peer_identity{cluster, peer_role::gateway, "front", "", 0}));
  EXPECT_THAT(made.handle->address(), HasSubstr("127.0.0.1:"));
  EXPECT_TRUE(made.handle->send(answer_frame()));
  EXPECT_TRUE(run_until([&] { return !peer->frames().empty(); }));
  EXPECT_EQ(peer->frames().front(), answer_frame());
  const auto counted = guard_->counters();
  EXPECT_EQ(counted.accepted, 1U);
  EXPECT_EQ(counted.greeted, 1U);
  EXPECT_EQ(counted.links, 1U);
  EXPECT_EQ(counted.unfinished, 0U);
  EXPECT_TRUE(counted.refused.empty());
}

TEST_F(Guard, WhatComesBehindTheHelloIsNotLost) {
  start_guard();
  const auto peer = dial();
  peer->begin();
  auto bytes = bytes_of(hello_frame());
  for (std::uint64_t at = 1; at <= 3; ++at) {
    const auto more = bytes_of(event_frame(at));
    bytes.insert(bytes.end(), more.begin(), more.end());
  }
  peer->send(bytes);
  ASSERT_TRUE(run_until([&] { return !links_.empty() && links_.front().frames.size() == 3; }));
  EXPECT_EQ(links_.front().frames.back(), event_frame(3));
}

// --- refusals ---

TEST_F(Guard, SaysWhyToWhoCanReadIt) {
  start_guard();
  EXPECT_EQ(answer_to(hello_frame(sender_kind::node, "n", "other")), "wrong_cluster");
  EXPECT_EQ(answer_to(hello_frame(sender_kind::node, "n", cluster, "bad")), "wrong_token");
  EXPECT_EQ(answer_to(hello_frame(sender_kind::scheduler, "s")), "wrong_role");
  EXPECT_EQ(answer_to(event_frame()), "not_hello");
  EXPECT_EQ(answer_to(header_bytes(1, messages::protocol_version + 1, 10)), "frame_version");
  EXPECT_EQ(answer_to(header_bytes(1, messages::protocol_version, 0xFFFFFFFF)), "frame_too_large");
  for (const auto* reason : {"wrong_cluster", "wrong_token", "wrong_role", "not_hello",
                             "frame_version", "frame_too_large"})
    EXPECT_TRUE(run_until([&] { return refused(reason) == 1; })) << reason;
  EXPECT_TRUE(links_.empty());
  EXPECT_EQ(guard_->counters().unfinished, 0U);
}

TEST_F(Guard, ARefusedPeerThatGoesOnIsHeardToABoundOnly) {
  start_guard();
  const auto peer = dial();
  peer->begin();
  peer->send(hello_frame(sender_kind::node, "n", cluster, "bad"));
  peer->send(std::vector<char>(32 * limits::refusal_waste_bytes_max, 'x'));
  ASSERT_TRUE(run_until([&] { return peer->closed(); })) << "long before its time is over";
  EXPECT_FALSE(peer->all_sent());
  EXPECT_TRUE(run_until([&] { return refused("wrong_token") == 1; }));
}

TEST_F(Guard, GarbageIsCutWithoutAWord) {
  start_guard();
  EXPECT_EQ(answer_to(text_bytes("GET / HTTP/1.1\r\nHost: x\r\n\r\n")), "");
  EXPECT_EQ(answer_to(std::vector<char>(100'000, 'x')), "");
  EXPECT_EQ(answer_to(header_bytes(999, messages::protocol_version, 0)), "") << "an unknown kind";
  EXPECT_TRUE(run_until([&] { return refused("bad_frame") == 3; }));
}

TEST_F(Guard, APeerThatLeavesEarlyIsCountedOnly) {
  start_guard();
  const auto peer = dial();
  peer->close();
  EXPECT_TRUE(run_until([&] { return refused("closed_early") == 1; }));
}

TEST_F(Guard, ASilentConnectionIsCutAtTheDeadline) {
  limits::limit_set limits;
  limits.handshake = 30'000;
  start_guard(with(limits));
  const auto peer = dial();
  peer->begin();
  ASSERT_TRUE(run_until([&] { return peer->closed(); }));
  EXPECT_TRUE(run_until([&] { return refused("handshake_timeout") == 1; }));
}

TEST_F(Guard, HalfAHelloIsCutAtTheDeadline) {
  limits::limit_set limits;
  limits.hello = 30'000;
  start_guard(with(limits));
  const auto peer = dial();
  peer->begin();
  auto bytes = bytes_of(hello_frame());
  bytes.resize(bytes.size() / 2);
  peer->send(bytes);
  ASSERT_TRUE(run_until([&] { return peer->closed(); }));
  EXPECT_TRUE(run_until([&] { return refused("hello_timeout") == 1; }));
}

TEST_F(Guard, APeerThatIgnoresItsRefusalIsCutToo) {
  limits::limit_set limits;
  limits.refusal = 30'000;
  start_guard(with(limits));
  const auto peer = dial();
  peer->begin(false); // Never reads, hence never notices, hence never closes.
  peer->send(hello_frame(sender_kind::node, "n", "other"));
  EXPECT_TRUE(run_until([&] { return refused("wrong_cluster") == 1; }));
  EXPECT_EQ(guard_->counters().unfinished, 0U);
}

TEST_F(Guard, OneLineForEachAddressAndMinute) {
  start_guard();
  const auto before = log_lines().size();
  for (int at = 0; at < 20; ++at)
    (void)answer_to(text_bytes("garbage"));
  EXPECT_TRUE(run_until([&] { return refused("bad_frame") == 20; }));
  EXPECT_EQ(log_lines().size(), before + 1);
  EXPECT_THAT(log_lines().back(), HasSubstr("no link for 127.0.0.1"));
}

TEST_F(Guard, SecretsAreNotLogged) {
  start_guard();
  (void)answer_to(hello_frame(sender_kind::node, "n", cluster, "wrong-secret"));
  (void)join();
  for (const auto& line : log_lines()) {
    EXPECT_EQ(line.find("wrong-secret"), std::string::npos);
    EXPECT_EQ(line.find(token), std::string::npos);
  }
}

// --- too many ---

TEST_F(Guard, SilentConnectionsGiveWayToAPeer) {
  limits::limit_set limits;
  limits.unfinished = 16;
  start_guard(with(limits));
  std::vector<std::shared_ptr<raw_peer>> silent;
  for (int at = 0; at < 100; ++at) {
    silent.push_back(dial());
    silent.back()->begin();
  }
  (void)join();
  EXPECT_EQ(refused("handshake_timeout"), 0U) << "none of them had to run into its deadline first";
  EXPECT_LE(guard_->counters().unfinished, 16U);
  EXPECT_GE(refused("displaced"), 84U);
}

TEST_F(Guard, LinksBeyondTheCapAreRefused) {
  limits::limit_set limits;
  limits.connections = 2;
  start_guard(with(limits));
  const auto one = join();
  const auto two = join(hello_frame(sender_kind::node, "edge-2"));
  const auto three = dial();
  three->begin();
  ASSERT_TRUE(run_until([&] { return three->closed(); }));
  EXPECT_EQ(refused("too_many_connections"), 1U);
  one->close();
  ASSERT_TRUE(run_until([&] { return guard_->counters().links == 1; }));
  (void)join(hello_frame(sender_kind::node, "edge-3"));
  EXPECT_EQ(links_.size(), 3U);
}

TEST_F(Guard, OneAddressCannotTakeAllOfIt) {
  limits::limit_set limits;
  limits.address_connections = 1;
  start_guard(with(limits));
  const auto first = join();
  const auto second = dial();
  second->begin();
  ASSERT_TRUE(run_until([&] { return second->closed(); }));
  EXPECT_EQ(refused("too_many_of_address"), 1U);
  const auto elsewhere = dial("127.0.0.2");
  elsewhere->begin();
  elsewhere->send(hello_frame(sender_kind::node, "edge-2"));
  EXPECT_TRUE(run_until([&] { return links_.size() == 2; }));
}

TEST_F(Guard, AnAddressThatFailsTooOftenIsNotHeard) {
  limits::limit_set limits;
  limits.address_failures_rate = 1;
  limits.address_failures_at_once = 3;
  limits.mute = 60 * limits::second_us;
  start_guard(with(limits));
  for (int at = 0; at < 3; ++at)
    (void)answer_to(text_bytes("garbage"));
  ASSERT_TRUE(run_until([&] { return refused("bad_frame") == 3; }));
  const auto fourth = dial();
  fourth->begin();
  ASSERT_TRUE(run_until([&] { return fourth->closed(); }));
  EXPECT_EQ(refused("too_many_failures"), 1U);
  EXPECT_EQ(guard_->counters().muted, 1U);
  // From now on the kernel does not answer it, and nobody here hears of it.
  EXPECT_FALSE(connects("127.0.0.1"));
  EXPECT_EQ(guard_->counters().accepted, 4U);
  EXPECT_TRUE(connects("127.0.0.2")) << "others come through";
}

TEST_F(Guard, AMutedAddressIsHeardAgainInTime) {
  limits::limit_set limits;
  limits.address_failures_rate = 20;
  limits.address_failures_at_once = 1;
  limits.mute = 60'000;
  start_guard(with(limits));
  const auto from = std::chrono::steady_clock::now();
  for (int tries = 0; refused("too_many_failures") == 0 && tries < 100; ++tries)
    (void)answer_to(text_bytes("garbage"));
  ASSERT_GT(refused("too_many_failures"), 0U);
  EXPECT_TRUE(run_until([&] { return connects("127.0.0.1"); }));
  EXPECT_GE(std::chrono::steady_clock::now() - from, std::chrono::milliseconds(60));
}

TEST_F(Guard, WhoFloodsIsHeldOffWhereverItComesFrom) {
  limits::limit_set limits;
  limits.node_frames_rate = 1'000;
  limits.node_frames_at_once = 100;
  limits.node_pauses = 20'000;
  limits.hold_first = 60 * limits::second_us;
  start_guard(with(limits));
  const auto flooding = join();
  for (int at = 0; at < 3'000; ++at)
    flooding->send(event_frame());
  ASSERT_TRUE(run_until([&] { return flooding->closed(); }));
  EXPECT_EQ(links_.front().closed_by(), "peer_too_fast");
  EXPECT_TRUE(run_until([&] { return refused("peer_too_fast") == 1U; })) << "it is counted";
  const auto held = guard_->held_off();
  ASSERT_EQ(held.size(), 1U);
  EXPECT_EQ(held.front().role, peer_role::node);
  EXPECT_EQ(held.front().name, links_.front().handle->peer().name);
  EXPECT_GT(held.front().left_us, 30 * limits::second_us);
  const auto again = dial("127.0.0.2");
  again->begin();
  again->send(hello_frame());
  ASSERT_TRUE(run_until([&] { return again->closed(); }));
  EXPECT_EQ(again->refusal(), "held_off");
  EXPECT_TRUE(run_until([&] { return refused("held_off") == 1U; }));
  const auto other = dial();
  other->begin();
  other->send(hello_frame(sender_kind::node, "edge-2"));
  EXPECT_TRUE(run_until([&] { return links_.size() == 2; })) << "its neighbours are not";
}

TEST_F(Guard, ANameThatJoinsAgainAndAgainIsToldSo) {
  limits::limit_set limits;
  limits.joins_rate = 1;
  limits.joins_at_once = 3;
  start_guard(with(limits));
  for (int at = 0; at < 3; ++at)
    join()->close();
  EXPECT_EQ(answer_to(hello_frame()), "joins_too_often");
}

/// All connections are in the kernel's queue, the peer last, when few descriptors are left.
TEST_F(Guard, RunningOutOfDescriptorsCostsTheSilent) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "the sanitizers need descriptors of their own to look at memory";
#endif
  start_guard();
  std::vector<std::shared_ptr<raw_peer>> silent;
  for (int at = 0; at < 40; ++at)
    silent.push_back(dial());
  const auto peer = dial();
  peer->begin();
  peer->send(hello_frame());
  const std::filesystem::directory_iterator open("/proc/self/fd");
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit few = before;
  few.rlim_cur = static_cast<rlim_t>(std::distance(begin(open), end(open))) + 8;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &few), 0);
  EXPECT_TRUE(run_until([&] { return links_.size() == 1; }));
  EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_GT(refused("accept_failed"), 0U);
  EXPECT_GT(refused("displaced"), 0U);
}

/// The kernel grants one more than it is asked for.
TEST_F(Guard, TheKernelKeepsSoManyThatNobodyAccepted) {
  limits::limit_set limits;
  limits.accept_queue = 2;
  start_guard(with(limits)); // Nothing runs yet, so nobody accepts.
  EXPECT_EQ(kernel::backlog_of(guard_->port()), 2);
  std::list<tcp::socket> waiting;
  const auto connected = [&] {
    auto& one = waiting.emplace_back(io_, tcp::v4());
    one.non_blocking(true);
    const tcp::endpoint to(asio::ip::address_v4::loopback(), guard_->port());
    (void)::connect(one.native_handle(), to.data(), static_cast<socklen_t>(to.size()));
    pollfd made{one.native_handle(), POLLOUT, 0};
    return ::poll(&made, 1, 50) == 1;
  };
  for (int at = 0; at < 3; ++at)
    EXPECT_TRUE(connected()) << at;
  EXPECT_FALSE(connected());
  EXPECT_TRUE(run_until([&] { return guard_->counters().accepted >= 3; })) << "then they are heard";
}

TEST_F(Guard, PausesWhileNoDescriptorIsLeft) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "the sanitizers need descriptors of their own to look at memory";
#endif
  start_guard();
  const auto peer = dial();
  peer->begin();
  peer->send(hello_frame());
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit none = before;
  none.rlim_cur = 0;
  const auto from = std::chrono::steady_clock::now();
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  EXPECT_TRUE(run_until([&] { return refused("accept_failed") == 4; }));
  EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  const auto pauses = 3 * std::chrono::microseconds(limits::accept_backoff_us);
  EXPECT_GE(std::chrono::steady_clock::now() - from, pauses);
  EXPECT_TRUE(run_until([&] { return links_.size() == 1; })) << "it waited, no more";
}

// --- the handle ---

TEST_F(Guard, StopClosesLinksAndTakesNoMore) {
  start_guard();
  const auto peer = join();
  const auto half = dial();
  half->begin();
  ASSERT_TRUE(run_until([&] { return guard_->counters().unfinished == 1; }));
  guard_->stop();
  guard_->stop();
  ASSERT_TRUE(run_until([&] { return peer->closed() && half->closed(); }));
  EXPECT_TRUE(run_until([&] { return links_.front().closed_by() == "stopping"; }));
  EXPECT_EQ(links_.size(), 1U);
}

TEST_F(Guard, ALinkThatNobodyWantsIsClosed) {
  listen_ = false;
  start_guard();
  const auto peer = join();
  links_.front().handle.reset();
  EXPECT_TRUE(run_until([&] { return peer->closed() && guard_->counters().links == 0; }));
}

TEST_F(Guard, ListensOnlyWhereItIsSafe) {
  const auto code_of = [this](const std::string& host, std::uint16_t port = 0) {
    guard_options options;
    options.host = host;
    options.port = port;
    const auto started = guard::start(io_, options, [](const auto&, const auto&) {});
    return started ? "" : started.failure().code;
  };
  EXPECT_EQ(code_of("0.0.0.0"), "address_unprotected");
  EXPECT_EQ(code_of("192.0.2.1"), "address_unprotected");
  EXPECT_EQ(code_of("example.org"), "bad_address");
  start_guard();
  EXPECT_EQ(code_of("127.0.0.1", guard_->port()), "port_in_use");
  EXPECT_EQ(guard_->address(), "127.0.0.1:" + std::to_string(guard_->port()));
}

} // namespace
} // namespace consort::links
