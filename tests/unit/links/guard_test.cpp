// SPDX-License-Identifier: Apache-2.0
// The guard over bare loopback: who gets in, who is told why not, and what silence costs.
#include "tests/unit/links/link_fixture.hpp"

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

TEST_F(Guard, AnAddressThatConnectsTooOftenIsNotHeard) {
  limits::limit_set limits;
  limits.address_connects_rate = 1;
  limits.address_connects_at_once = 3;
  start_guard(with(limits));
  for (int at = 0; at < 3; ++at)
    (void)answer_to(text_bytes("garbage"));
  const auto fourth = dial();
  fourth->begin();
  ASSERT_TRUE(run_until([&] { return fourth->closed(); }));
  EXPECT_EQ(refused("too_many_connects"), 1U);
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
