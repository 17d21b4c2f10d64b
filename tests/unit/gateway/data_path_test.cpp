// SPDX-License-Identifier: Apache-2.0
// Client and server of a data port together: what an attempt says on one side is heard on the
// other.
#include "gateway/data_ports.hpp"
#include "tests/unit/node/data_port_fixture.hpp"

namespace consort::gateway {
namespace {

using links::peer_role;
using node::test::at_once;
using node::test::ms;
using testing::make_ticket;
using testing::recording_sink;
using testing::say_tokens;

class path_fixture : public node::test::data_port_fixture {
protected:
  void TearDown() override {
    ports_.reset();
    data_port_fixture::TearDown();
  }
  void start_path(bool secure, peer_role role = peer_role::gateway) {
    start({}, secure ? cluster_.credentials_of(peer_role::node, "n1") : nullptr);
    ports_ = std::make_unique<data_ports>(threads_.io(),
                                          secure ? cluster_.credentials_of(role, "g") : nullptr);
  }
  std::unique_ptr<attempt_stream> open(const std::shared_ptr<recording_sink>& sink,
                                       std::uint64_t sequence = 1, const std::string& node = "n1") {
    return ports_->open(make_ticket(port_->address(), sequence, node), {{}, "{}", {}}, sink);
  }

  links::testing_support::test_cluster cluster_;
  std::unique_ptr<data_ports> ports_;
};
using DataPath = path_fixture;

class DataPathBoth : public path_fixture, public ::testing::WithParamInterface<bool> {};
INSTANTIATE_TEST_SUITE_P(BareAndTls, DataPathBoth, ::testing::Values(false, true));

TEST_P(DataPathBoth, EveryEventArrivesInOrderOnManyStreams) {
  start_path(GetParam());
  constexpr std::size_t streams = 8, pieces = 2'000;
  std::vector<std::shared_ptr<recording_sink>> sinks;
  std::vector<std::unique_ptr<attempt_stream>> open_streams;
  for (std::size_t number = 0; number < streams; ++number) {
    sinks.push_back(std::make_shared<recording_sink>());
    open_streams.push_back(open(sinks.back(), number));
  }
  for (std::size_t number = 0; number < streams; ++number)
    attempts_.opened(number);
  for (std::size_t piece = 0; piece < pieces; ++piece)
    for (std::size_t number = 0; number < streams; ++number)
      attempts_.say(number, say_tokens(std::to_string(piece)));
  for (std::size_t number = 0; number < streams; ++number)
    attempts_.say(number, attempt_completed{{1, 2, 0}, 3, 4});
  for (const auto& sink : sinks) {
    const auto events = sink->wait_end();
    ASSERT_EQ(events.size(), pieces + 1);
    for (std::size_t piece = 0; piece < pieces; ++piece)
      ASSERT_EQ(std::get<attempt_tokens>(events[piece]).text, std::to_string(piece));
    EXPECT_EQ(std::get<attempt_completed>(events.back()), (attempt_completed{{1, 2, 0}, 3, 4}));
  }
}

TEST_P(DataPathBoth, CancelReachesTheEngine) {
  start_path(GetParam());
  const auto sink = std::make_shared<recording_sink>();
  auto stream = open(sink);
  attempts_.say(0, say_tokens("a"));
  sink->wait(1);
  stream.reset();
  EXPECT_TRUE(attempts_.closed());
}

TEST_P(DataPathBoth, ANodeThatEndsIsNoticedAtOnce) {
  start_path(GetParam());
  const auto sink = std::make_shared<recording_sink>();
  const auto stream = open(sink);
  attempts_.say(0, say_tokens("a"));
  sink->wait(1);
  const auto from = std::chrono::steady_clock::now();
  port_->stop();
  EXPECT_EQ(sink->abort().failure.code, "data_link_lost");
  EXPECT_LT(std::chrono::steady_clock::now() - from, at_once);
}

TEST_F(DataPath, AnotherNodeAtTheAddressIsNotSpokenTo) {
  start_path(true);
  const auto sink = std::make_shared<recording_sink>();
  const auto stream = open(sink, 1, "n2");
  EXPECT_EQ(sink->abort().failure.code, "wrong_node");
  EXPECT_EQ(attempts_.count(), 0U);
}

TEST_F(DataPath, ANodesCertificateOpensNoAttempt) {
  start_path(true, peer_role::node);
  const auto sink = std::make_shared<recording_sink>();
  const auto stream = open(sink);
  EXPECT_EQ(sink->abort().failure.code, "wrong_role");
  EXPECT_EQ(attempts_.count(), 0U);
}

TEST_F(DataPath, AForeignClusterIsUnreachable) {
  start_path(true);
  links::testing_support::test_cluster foreign("elsewhere");
  data_ports stranger(threads_.io(), foreign.credentials_of(peer_role::gateway, "g"));
  const auto sink = std::make_shared<recording_sink>();
  const auto stream = stranger.open(make_ticket(port_->address()), {}, sink);
  EXPECT_EQ(sink->abort().failure.code, "node_unreachable");
}

TEST_F(DataPath, AHandshakeThatNeverEndsIsGivenUp) {
  testing::scripted_server silent({testing::scripted_server::await_end});
  limits::data_limit_set limits;
  limits.handshake = 50 * ms;
  data_ports patient(threads_.io(), cluster_.credentials_of(peer_role::gateway, "g"), limits);
  const auto sink = std::make_shared<recording_sink>();
  const auto stream = patient.open(make_ticket(silent.address()), {}, sink);
  EXPECT_EQ(sink->abort().failure.code, "node_unreachable");
}

TEST_F(DataPath, DialsOnlySoManyAtOnceAndServesAllTheSame) {
  start_path(true);
  limits::data_limit_set limits;
  limits.dialling = 2;
  data_ports careful(threads_.io(), cluster_.credentials_of(peer_role::gateway, "g"), limits);
  attempts_.on_open = [](const ticket&, attempt_sink& said) { said.on_event(attempt_completed{}); };
  std::vector<std::shared_ptr<recording_sink>> sinks;
  std::vector<std::unique_ptr<attempt_stream>> streams;
  for (std::uint64_t number = 0; number < 40; ++number) {
    sinks.push_back(std::make_shared<recording_sink>());
    streams.push_back(careful.open(make_ticket(port_->address(), number), {}, sinks.back()));
  }
  for (const auto& sink : sinks)
    EXPECT_TRUE(std::holds_alternative<attempt_completed>(sink->wait_end().back()));
  // Those that waited took over what others had done with.
  EXPECT_LT(port_->counters().accepted, 40U);
}

TEST_F(DataPath, WhoeverWaitsForADialHearsOfItsFailureOrOfItsOwnCancel) {
  testing::scripted_server silent({testing::scripted_server::await_end});
  limits::data_limit_set limits;
  limits.dialling = 1;
  limits.handshake = 1'000 * ms;
  data_ports patient(threads_.io(), cluster_.credentials_of(peer_role::gateway, "g"), limits);
  const auto dialling = std::make_shared<recording_sink>();
  const auto waiting = std::make_shared<recording_sink>();
  const auto leaving = std::make_shared<recording_sink>();
  const auto first = patient.open(make_ticket(silent.address(), 1), {}, dialling);
  const auto second = patient.open(make_ticket(silent.address(), 2), {}, waiting);
  const auto third = patient.open(make_ticket(silent.address(), 3), {}, leaving);
  third->cancel();
  EXPECT_EQ(leaving->abort().failure.code, "cancelled");
  EXPECT_EQ(dialling->abort().failure.code, "node_unreachable");
  EXPECT_EQ(waiting->abort().failure.code, "node_unreachable");
}

TEST_F(DataPath, LeavesNothingOpen) {
  start_path(false);
  for (std::uint64_t number = 0; number < 200; ++number) {
    const auto sink = std::make_shared<recording_sink>();
    const auto stream = open(sink, number);
    attempts_.opened(number);
    if (number % 2 == 0) {
      attempts_.say(number, attempt_completed{});
      sink->wait_end();
    }
  }
  EXPECT_TRUE(eventually([&] { return port_->counters().attempts_open == 0; }));
  ports_.reset();
  EXPECT_TRUE(eventually([&] { return port_->counters().connections == 0; }));
}

} // namespace
} // namespace consort::gateway
