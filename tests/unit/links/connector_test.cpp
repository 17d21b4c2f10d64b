// SPDX-License-Identifier: Apache-2.0
// The dialling end: redials, deadlines, refusals, and whom it believes.
#include "tests/unit/links/link_fixture.hpp"

#include <algorithm>
#include <fstream>
#include <sys/socket.h>

namespace consort::links {
namespace {

using namespace testing_support;

class Connector : public link_fixture {
protected:
  connector& dial_to(connector_options options) {
    if (options.host.empty())
      options.host = "127.0.0.1";
    if (options.backoff.max == backoff_settings{}.max)
      options.backoff = {1'000, 5'000};
    options.limits = patient(options.limits);
    auto started = connector::start(
        io_, options,
        [this](const std::shared_ptr<link>& made) {
          auto& heard = ups_.emplace_back(heard_link{made, {}, {}, {}});
          heard.listen();
          EXPECT_TRUE(mute_ || made->send(hello_));
        },
        [this](const error& why) {
          downs_.push_back(why.code);
          last_words_ = why.message;
        });
    EXPECT_TRUE(started) << started.failure().message;
    connectors_.push_back(std::move(*started));
    return *connectors_.back();
  }
  connector& dial_guard(std::shared_ptr<const credentials> with = nullptr) {
    connector_options options;
    options.port = guard_->port();
    options.credentials = std::move(with);
    return dial_to(options);
  }
  /// A port where nobody speaks our language: connections are taken and left alone.
  std::uint16_t silent_port() {
    silent_.open(tcp::v4());
    silent_.bind({asio::ip::make_address("127.0.0.1"), 0});
    silent_.listen();
    return silent_.local_endpoint().port();
  }
  bool goes_down(const std::string& code) {
    return run_until([&] { return std::count(downs_.begin(), downs_.end(), code) > 0; });
  }
  void TearDown() override {
    for (auto& one : ups_)
      one.handle.reset();
    link_fixture::TearDown();
  }

  messages::frame hello_ = hello_frame();
  bool mute_ = false; ///< Says no hello by itself.
  std::list<heard_link> ups_;
  std::vector<std::string> downs_;
  std::string last_words_;
  tcp::acceptor silent_{io_};
};

TEST_F(Connector, BringsALinkUpAndFramesFlow) {
  start_guard();
  auto& dialled = dial_guard();
  ASSERT_TRUE(run_until([&] { return ups_.size() == 1 && links_.size() == 1; }));
  EXPECT_EQ(links_.front().hello, hello_);
  EXPECT_EQ(dialled.state(), dial_state::greeting);
  EXPECT_TRUE(links_.front().handle->send(answer_frame()));
  ASSERT_TRUE(run_until([&] { return dialled.state() == dial_state::linked; }));
  EXPECT_THAT(ups_.front().frames, testing::ElementsAre(answer_frame()));
  EXPECT_EQ(ups_.front().handle->peer().role, peer_role::scheduler);
}

TEST_F(Connector, RedialsUntilSomebodyListens) {
  const auto port = [&] {
    tcp::acceptor taken(io_, {asio::ip::make_address("127.0.0.1"), 0});
    return taken.local_endpoint().port();
  }();
  connector_options options;
  options.port = port;
  auto& dialled = dial_to(options);
  ASSERT_TRUE(run_until([&] { return downs_.size() >= 5; }));
  EXPECT_EQ(downs_.front(), "cannot_connect");
  EXPECT_TRUE(ups_.empty());
  guard_options listening;
  listening.port = port;
  start_guard(listening);
  ASSERT_TRUE(run_until([&] { return links_.size() == 1; }));
  EXPECT_EQ(dialled.state(), dial_state::greeting);
}

TEST_F(Connector, WritesIpv6AddressesInBrackets) {
  connector_options options;
  options.host = "::1";
  options.port = 1; // Nobody listens there, or there is no IPv6.
  dial_to(options);
  ASSERT_TRUE(goes_down("cannot_connect"));
  EXPECT_THAT(last_words_, testing::HasSubstr("cannot reach [::1]:1: "));
}

TEST_F(Connector, ComesBackAfterALinkIsLost) {
  start_guard();
  auto& dialled = dial_guard();
  for (std::size_t round = 1; round <= 5; ++round) {
    ASSERT_TRUE(run_until([&] { return links_.size() == round; }));
    EXPECT_TRUE(links_.back().handle->send(answer_frame()));
    ASSERT_TRUE(run_until([&] { return dialled.state() == dial_state::linked; }));
    links_.back().handle->close({recovery::retry_later, "test", "cut"});
    ASSERT_TRUE(run_until([&] { return ups_.back().closed.has_value(); }));
    EXPECT_EQ(ups_.back().closed_by(), "link_lost") << round;
  }
  EXPECT_TRUE(goes_down("link_lost"));
}

TEST_F(Connector, ARefusalIsToldInItsWordsAndWaitsLongest) {
  start_guard();
  hello_ = hello_frame(messages::sender_kind::node, "edge-1", cluster, "bad token");
  connector_options options;
  options.port = guard_->port();
  options.backoff = {1'000, 3'600'000'000};
  auto& dialled = dial_to(options);
  ASSERT_TRUE(goes_down("wrong_token"));
  EXPECT_EQ(dialled.state(), dial_state::waiting);
  hello_ = hello_frame();
  dialled.dial_now(); // Or it would take hours.
  ASSERT_TRUE(run_until([&] { return links_.size() == 1; }));
}

TEST_F(Connector, SaysOnceForEachLinkThatItIsUp) {
  start_guard();
  auto& dialled = dial_guard();
  const auto line = "linked to scheduler 127.0.0.1:" + std::to_string(guard_->port());
  const auto said = [&] {
    const auto lines = log_lines();
    return std::count_if(lines.begin(), lines.end(), [&](const std::string& one) {
      return one.find(line) != std::string::npos;
    });
  };
  for (std::size_t round = 1; round <= 2; ++round) {
    ASSERT_TRUE(run_until([&] { return links_.size() == round; }));
    const auto before = said();
    EXPECT_TRUE(links_.back().handle->send(answer_frame()));
    EXPECT_TRUE(links_.back().handle->send(answer_frame())); // As to a hello that was repeated.
    ASSERT_TRUE(run_until([&] { return ups_.back().frames.size() == 2; }));
    EXPECT_EQ(dialled.state(), dial_state::linked);
    EXPECT_EQ(said() - before, 1) << round;
    links_.back().handle->close({recovery::retry_later, "test", "cut"});
    ASSERT_TRUE(goes_down("link_lost"));
    ASSERT_TRUE(run_until([&] { return ups_.size() == round + 1; }));
  }
}

TEST_F(Connector, WhatGoesOnIsToldOnceAMinute) {
  const auto said = [&](const std::string& text) {
    const auto lines = log_lines();
    return std::count_if(lines.begin(), lines.end(), [&](const std::string& one) {
      return one.find(text) != std::string::npos;
    });
  };
  start_guard();
  hello_ = hello_frame(messages::sender_kind::node, "edge-1", cluster, "bad token");
  const auto before = said("(wrong_token); dialling again");
  dial_guard();
  ASSERT_TRUE(run_until([&] { return downs_.size() == 4; }));
  EXPECT_EQ(said("(wrong_token); dialling again") - before, 1);
}

TEST_F(Connector, WhoIsCutWithoutAWordIsRemindedOfCertificates) {
  start_guard();
  dial_guard();
  ASSERT_TRUE(run_until([&] { return links_.size() == 1; }));
  links_.front().handle->close({recovery::retry_later, "test", "cut"}); // Unanswered, as by TLS.
  ASSERT_TRUE(goes_down("link_lost"));
  EXPECT_THAT(last_words_, testing::HasSubstr("--cert FOLDER"));
}

TEST_F(Connector, ALinkThatIsRefusedLaterIsDialledAgain) {
  start_guard();
  auto& dialled = dial_guard();
  ASSERT_TRUE(run_until([&] { return links_.size() == 1; }));
  EXPECT_TRUE(links_.front().handle->send(answer_frame()));
  ASSERT_TRUE(run_until([&] { return dialled.state() == dial_state::linked; }));
  EXPECT_TRUE(links_.front().handle->send(
      answer_frame(error{recovery::retry_later, "name_taken", "another agent has it"})));
  links_.front().handle->close({recovery::retry_later, "link_done", "its actor has ended"});
  ASSERT_TRUE(goes_down("name_taken"));
  EXPECT_TRUE(run_until([&] { return links_.size() == 2; }));
}

TEST_F(Connector, SaysNothingBeforeItsHelloHoweverLongThatTakes) {
  start_guard();
  mute_ = true;
  connector_options options;
  options.port = guard_->port();
  options.limits.heartbeat = 2'000;
  dial_to(options);
  ASSERT_TRUE(run_until([&] { return ups_.size() == 1; }));
  io_.restart();
  io_.run_for(std::chrono::milliseconds(20)); // Ten heartbeats.
  EXPECT_TRUE(ups_.front().handle->send(hello_));
  ASSERT_TRUE(run_until([&] { return links_.size() == 1; }));
  EXPECT_EQ(links_.front().hello, hello_);
  EXPECT_THAT(downs_, testing::IsEmpty());
}

TEST_F(Connector, AHelloThatIsNeverAnsweredEndsTheLink) {
  start_guard();
  connector_options options;
  options.port = guard_->port();
  options.limits.welcome = 30'000;
  dial_to(options);
  EXPECT_TRUE(goes_down("no_welcome"));
}

TEST_F(Connector, ASilentOtherEndEndsTheLink) {
  connector_options options;
  options.port = silent_port();
  options.limits.heartbeat = 5'000;
  options.limits.silence = 30'000;
  dial_to(options);
  EXPECT_TRUE(goes_down("link_silent"));
}

/// A listener whose queue is full answers no more connections.
TEST_F(Connector, AHostThatDoesNotAnswerIsGivenUp) {
  silent_.open(tcp::v4());
  silent_.bind({asio::ip::make_address("127.0.0.1"), 0});
  silent_.listen(0);
  std::list<tcp::socket> waiting;
  for (int more = 0; more < 8; ++more) {
    // Asio's own connect waits for the outcome, whatever the socket says of blocking.
    waiting.emplace_back(io_, tcp::v4()).native_non_blocking(true);
    const auto to = silent_.local_endpoint();
    (void)::connect(waiting.back().native_handle(), to.data(), static_cast<socklen_t>(to.size()));
  }
  connector_options options;
  options.port = silent_.local_endpoint().port();
  options.limits.connect = 30'000;
  const auto from = std::chrono::steady_clock::now();
  dial_to(options);
  EXPECT_TRUE(goes_down("cannot_connect"));
  EXPECT_GE(std::chrono::steady_clock::now() - from, std::chrono::milliseconds(30));
  EXPECT_THAT(last_words_, testing::HasSubstr("no answer in time"));
}

TEST_F(Connector, KindsThatASchedulerDoesNotSendEndTheLink) {
  start_guard();
  dial_guard();
  ASSERT_TRUE(run_until([&] { return links_.size() == 1; }));
  EXPECT_TRUE(links_.front().handle->send(event_frame()));
  EXPECT_TRUE(goes_down("wrong_kind"));
}

TEST_F(Connector, StopsInEveryState) {
  start_guard();
  auto& linked = dial_guard();
  ASSERT_TRUE(run_until([&] { return ups_.size() == 1; }));
  linked.stop();
  ASSERT_TRUE(run_until([&] { return ups_.front().closed.has_value(); }));
  EXPECT_EQ(ups_.front().closed_by(), "stopping");
  dial_guard().stop(); // Before it began.
  connector_options nobody;
  nobody.port = 1;
  nobody.backoff = {3'600'000'000, 3'600'000'000};
  auto& waiting = dial_to(nobody);
  ASSERT_TRUE(goes_down("cannot_connect"));
  waiting.stop();
  waiting.stop();
  const auto downs = downs_.size();
  guard_->stop();
  io_.restart();
  io_.run_for(std::chrono::seconds(20)); // Returns when nothing is left to do.
  EXPECT_TRUE(io_.stopped());
  EXPECT_EQ(downs_.size(), downs) << "no callback after stop()";
}

TEST_F(Connector, DialsOnlyWhereItIsSafe) {
  const auto code_of = [this](const std::string& host, std::uint16_t port) {
    connector_options options;
    options.host = host;
    options.port = port;
    const auto started = connector::start(
        io_, options, [](const auto&) {}, [](const error&) {});
    return started ? "" : started.failure().code;
  };
  EXPECT_EQ(code_of("192.0.2.1", 1), "address_unprotected");
  EXPECT_EQ(code_of("example.org", 1), "address_unprotected");
  EXPECT_EQ(code_of("127.0.0.1", 0), "bad_address");
  EXPECT_EQ(code_of("", 1), "bad_address");
  EXPECT_EQ(code_of(std::string(254, 'a'), 1), "bad_address");
}

// --- under TLS ---

class ConnectorTls : public Connector {
protected:
  void start(peer_role role = peer_role::scheduler) {
    guard_options options;
    options.credentials = lab_.credentials_of(role, "s");
    start_guard(options);
  }

  test_cluster lab_;
  std::shared_ptr<credentials> node_ = lab_.credentials_of(peer_role::node, "edge-1");
};

TEST_F(ConnectorTls, BothEndsKnowEachOther) {
  start();
  dial_guard(node_);
  ASSERT_TRUE(run_until([&] { return links_.size() == 1; }));
  EXPECT_EQ(links_.front().handle->peer(), node_->self());
  EXPECT_EQ(ups_.front().handle->peer().name, "s");
  EXPECT_EQ(ups_.front().handle->peer().role, peer_role::scheduler);
}

TEST_F(ConnectorTls, ANodeThatPlaysSchedulerIsNotBelieved) {
  start(peer_role::node);
  dial_guard(node_);
  EXPECT_TRUE(goes_down("wrong_role"));
  EXPECT_TRUE(ups_.empty()) << "and it never hears a hello or token";
}

TEST_F(ConnectorTls, AForeignSchedulerIsNotBelieved) {
  test_cluster other("lab");
  guard_options options;
  options.credentials = other.credentials_of(peer_role::scheduler, "s");
  start_guard(options);
  dial_guard(node_);
  EXPECT_TRUE(goes_down("foreign_certificate"));
  EXPECT_TRUE(ups_.empty());
}

TEST_F(ConnectorTls, ASchedulerThatDoesNotTrustUsSaysSo) {
  start();
  // Trusts both authorities, but its own certificate is of the one that the scheduler does not
  // know.
  test_cluster other("lab");
  const auto folder = other.folder_of(peer_role::node, "edge-1");
  std::ofstream(folder / authority_file)
      << other.authority().certificate << lab_.authority().certificate;
  const auto stranger = credentials::load(folder);
  ASSERT_TRUE(stranger) << stranger.failure().message;
  dial_guard(*stranger);
  EXPECT_TRUE(goes_down("certificate_refused"));
}

TEST_F(ConnectorTls, ARevokedPeerIsTold) {
  const auto scheduler = lab_.credentials_of(peer_role::scheduler, "s");
  scheduler->revoke({node_->self().serial});
  guard_options options;
  options.credentials = scheduler;
  start_guard(options);
  dial_guard(node_);
  EXPECT_TRUE(goes_down("certificate_revoked"));
}

TEST_F(ConnectorTls, AHandshakeThatGoesNowhereIsGivenUp) {
  connector_options options;
  options.port = silent_port();
  options.credentials = node_;
  options.limits.handshake = 30'000;
  dial_to(options);
  EXPECT_TRUE(goes_down("handshake_timeout"));
}

TEST_F(ConnectorTls, AServerThatSpeaksNoTlsIsGivenUp) {
  start_guard(); // Bare.
  dial_guard(node_);
  EXPECT_TRUE(run_until([&] { return !downs_.empty(); }));
  EXPECT_EQ(downs_.front(), "tls_failed");
}

/// No name service is that quick, and it is tried until one look came too late.
TEST_F(ConnectorTls, ANameServiceThatIsSlowIsNotWaitedFor) {
  connector_options options;
  options.host = "slow.invalid";
  options.port = 1;
  options.credentials = node_;
  options.limits.resolve = 1;
  dial_to(options);
  EXPECT_TRUE(
      run_until([&] { return last_words_ == "cannot look up slow.invalid: no answer in time"; }));
  EXPECT_EQ(downs_.back(), "no_such_host");
}

TEST_F(ConnectorTls, AHostThatHasNoAddressIsGivenUp) {
  connector_options options;
  options.host = std::string(70, 'a') + ".invalid"; // No name service is asked about such a label.
  options.port = 1;
  options.credentials = node_;
  dial_to(options);
  EXPECT_TRUE(goes_down("no_such_host"));
}

} // namespace
} // namespace consort::links
