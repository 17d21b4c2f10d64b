// SPDX-License-Identifier: Apache-2.0
#include "links/log.hpp"
#include "messages/limits.hpp"
#include "tests/support/listening.hpp"
#include "tests/unit/node/data_port_fixture.hpp"

#include <spdlog/sinks/ringbuffer_sink.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>

#include <tuple>

namespace consort::node {
namespace {

using namespace test;
using testing::say_tokens;
using DataPort = data_port_fixture;

TEST_F(DataPort, SendsTheHeadBeforeAnythingHappened) {
  start();
  auto gateway = client();
  ASSERT_TRUE(gateway.send(post(open_frame(3, R"({"a":1})"))));
  const auto head = gateway.head();
  EXPECT_EQ(head.status, 200U);
  EXPECT_EQ(head.header("Transfer-Encoding"), "chunked");
  EXPECT_EQ(attempts_.opened().body.json, R"({"a":1})");
  EXPECT_EQ(attempts_.opened().permission.attempt.request.sequence, 3U);
}

TEST_F(DataPort, StreamsAttemptsOneAfterAnotherOnOneConnection) {
  start();
  auto gateway = client();
  for (std::size_t number = 0; number < 3; ++number) {
    gateway.send(post(open_frame(number)));
    EXPECT_EQ(gateway.head().status, 200U);
    attempts_.say(number, attempt_opened{5, 2});
    attempts_.say(number, say_tokens("Once"));
    EXPECT_FALSE(events_of(gateway.chunk()).empty()); // Before the attempt has ended.
    attempts_.say(number, attempt_completed{{5, 1, 2}, 1, 0});
    EXPECT_TRUE(std::holds_alternative<attempt_completed>(events_of(gateway.chunked()).back()));
    EXPECT_TRUE(attempts_.closed(number));
  }
  EXPECT_EQ(port_->counters().accepted, 1U);
  EXPECT_EQ(port_->counters().attempts, 3U);
  EXPECT_EQ(port_->counters().frames, 9U);
}

TEST_F(DataPort, SaysARefusedTicketInTheStream) {
  attempts_.on_open = [](const ticket&, attempt_sink& sink) {
    sink.on_event(attempt_aborted{{recovery::refuse, "ticket_used", "again"}, false});
  };
  start();
  auto gateway = client();
  gateway.send(post(open_frame()));
  EXPECT_EQ(gateway.head().status, 200U);
  const auto events = events_of(gateway.chunked());
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(std::get<attempt_aborted>(events[0]).failure.code, "ticket_used");
}

TEST_F(DataPort, CancelsWhenTheGatewayCloses) {
  start();
  auto gateway = client();
  gateway.send(post(open_frame()));
  gateway.head();
  attempts_.say(0, say_tokens("Once"));
  gateway.chunk();
  const auto from = std::chrono::steady_clock::now();
  gateway.close();
  EXPECT_TRUE(attempts_.closed());
  EXPECT_LT(std::chrono::steady_clock::now() - from, at_once);
  EXPECT_TRUE(eventually([&] { return port_->counters().attempts_open == 0; }));
  EXPECT_EQ(port_->counters().abandoned, 1U);
}

TEST_F(DataPort, RefusesBodiesThatAreNoAttemptAndGoesOn) {
  const auto wrong_kind = messages::write_frame(messages::frame_kind::heartbeat, {});
  const auto whole = open_frame();
  auto later = whole;
  later[6] = 99;
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"no frame at all, but long enough", "bad_frame"},
      {std::string(wrong_kind->begin(), wrong_kind->end()), "wrong_kind"},
      {whole.substr(0, whole.size() - 8), "bad_frame"},
      {whole + whole, "bad_frame"},
      {later, "frame_version"},
      {whole.substr(0, 12) + std::string(whole.size() - 12, '\xff'), "bad_frame"},
      {"", "bad_frame"},
  };
  start();
  auto gateway = client();
  for (const auto& [body, code] : cases) {
    gateway.send(post(body));
    const auto [head, text] = gateway.answer();
    EXPECT_EQ(head.status, 400U) << code;
    EXPECT_EQ(code_of(text), code);
  }
  gateway.send(post(whole));
  EXPECT_EQ(gateway.head().status, 200U);
  EXPECT_EQ(attempts_.count(), 1U);
  EXPECT_EQ(port_->counters().accepted, 1U);
}

TEST_F(DataPort, CountsTicketsThatAreTurnedAwayAndShowsItsFigures) {
  start();
  auto gateway = client();
  gateway.send(post(open_frame(0)));
  EXPECT_EQ(gateway.head().status, 200U);
  attempts_.say(0, attempt_aborted{{recovery::refuse, "ticket_forged", "no"}, false});
  gateway.chunked();
  gateway.send(post(open_frame(1)));
  EXPECT_EQ(gateway.head().status, 200U);
  attempts_.say(1, attempt_aborted{{recovery::refuse, "its \"own\" word", "no"}, false});
  gateway.chunked();
  gateway.send("GET /metrics HTTP/1.1\r\n\r\n");
  const auto [head, text] = gateway.answer();
  EXPECT_EQ(head.status, 200U);
  EXPECT_NE(text.find("\nconsort_data_attempts_total 2\n"), std::string::npos) << text;
  EXPECT_NE(text.find("\nconsort_data_refused_total{reason=\"ticket_forged\"} 1\n"),
            std::string::npos);
  EXPECT_EQ(text.find("own"), std::string::npos) << "only words of ours become labels";
}

TEST_F(DataPort, ComplainsOnceAMinuteAboutAnAddress) {
  const auto lines = std::make_shared<spdlog::sinks::ringbuffer_sink_mt>(500);
  links::log().sinks().push_back(lines);
  start();
  auto gateway = client();
  for (std::size_t at = 0; at < 20; ++at) {
    gateway.send(post(open_frame(at)));
    EXPECT_EQ(gateway.head().status, 200U);
    attempts_.say(at, attempt_aborted{{recovery::refuse, "ticket_forged", "no"}, false});
    gateway.chunked();
  }
  EXPECT_TRUE(eventually([&] { return refused("ticket_forged") == 20; }));
  auto stranger = client();
  stranger.send("garbage\r\n\r\n");
  EXPECT_TRUE(eventually([&] { return refused("malformed_http") == 1; }));
  port_.reset();
  links::log().sinks().pop_back();
  const auto said = lines->last_formatted();
  ASSERT_EQ(said.size(), 1U);
  EXPECT_NE(said.front().find("data port refuses 127.0.0.1: "), std::string::npos);
  EXPECT_NE(said.front().find("(ticket_forged)"), std::string::npos);
}

TEST_F(DataPort, KernelsQueueIsAsLongAsItSays) {
  start();
  EXPECT_EQ(kernel::backlog_of(port_->port()),
            kernel::granted_backlog(limits::data_accept_queue_max));
}

TEST_F(DataPort, RefusesWhatItDoesNotServeAndCloses) {
  const std::string digits(64, 'a');
  const std::vector<std::tuple<std::string, unsigned, std::string>> cases = {
      {post("", "", "/v1/other"), 404, "unknown_path"},
      {"GET /v1/artifacts/../../etc/passwd HTTP/1.1\r\n\r\n", 404, "unknown_path"},
      {"GET /v1/attempts HTTP/1.1\r\n\r\n", 405, "wrong_method"},
      {post("", "", "/metrics"), 405, "wrong_method"},
      {post("", "", "/v1/artifacts/" + digits), 405, "wrong_method"},
      {"HELO\r\n\r\n", 400, "malformed_http"},
      {"GET /v1/attempts HTTP/1.1\r\nA: " + std::string(limits::data_head_bytes_max, 'a')
           + "\r\n\r\n",
       431, "head_too_large"},
      {"POST /v1/attempts HTTP/1.1\r\nContent-Length: "
           + std::to_string(messages::limits::body_frame_bytes_max + messages::frame_header_bytes
                            + 1)
           + "\r\n\r\n",
       413, "body_too_large"},
      {"POST /v1/attempts HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2;"
           + std::string(limits::http_held_bytes_max + 4'096, 'a'),
       400, "malformed_http"},
  };
  start();
  for (const auto& [request, status, code] : cases) {
    auto gateway = client();
    gateway.send(request);
    const auto [head, text] = gateway.answer();
    EXPECT_EQ(head.status, status) << code;
    EXPECT_EQ(code_of(text), code);
    EXPECT_TRUE(gateway.at_end()) << code;
    EXPECT_EQ(refused(code) > 0, true) << code;
  }
  EXPECT_EQ(attempts_.count(), 0U);
}

TEST_F(DataPort, SaysSoWhenARequestIsLate) {
  limits::data_port_limits limits;
  limits.head = limits.body = 50 * ms;
  start(limits);
  auto slow_head = client();
  slow_head.send("POST /v1/att");
  EXPECT_EQ(code_of(slow_head.answer().second), "head_timeout");
  EXPECT_TRUE(slow_head.at_end());
  auto slow_body = client();
  slow_body.send("POST /v1/attempts HTTP/1.1\r\nContent-Length: 100\r\n\r\nabc");
  EXPECT_EQ(code_of(slow_body.answer().second), "body_timeout");
  EXPECT_TRUE(slow_body.at_end());
}

TEST_F(DataPort, ClosesWhatIsIdleForTooLong) {
  limits::data_port_limits limits;
  limits.idle = 50 * ms;
  start(limits);
  auto silent = client();
  EXPECT_TRUE(silent.at_end());
  EXPECT_TRUE(eventually([&] { return port_->counters().connections == 0; }));
}

TEST_F(DataPort, AReaderThatIsTooSlowLosesItsOwnStreamOnly) {
  limits::data_port_limits limits;
  limits.backlog_bytes = 256 * 1024;
  start(limits);
  auto slow = client();
  auto quick = client();
  slow.send(post(open_frame(1)));
  attempts_.opened(0);
  quick.send(post(open_frame(2)));
  attempts_.opened(1);
  EXPECT_EQ(quick.head().status, 200U);
  const std::string piece(64 * 1024, 'x');
  while (!attempts_.opened(0).closed)
    attempts_.say(0, say_tokens(piece));
  attempts_.say(1, say_tokens("on time"));
  attempts_.say(1, attempt_completed{});
  EXPECT_EQ(events_of(quick.chunked()).size(), 2U);
  // What was already gathered still comes, then the reason.
  slow.head();
  const auto events = events_of(slow.chunked());
  ASSERT_FALSE(events.empty());
  const auto* end = std::get_if<attempt_aborted>(&events.back());
  ASSERT_NE(end, nullptr);
  EXPECT_EQ(end->failure.code, "reader_too_slow");
  EXPECT_FALSE(end->device_fault);
  EXPECT_TRUE(eventually([&] { return port_->counters().overflowed == 1; }));
}

TEST_F(DataPort, CutsAPeerThatTakesNothing) {
  limits::data_port_limits limits;
  limits.stall = 50 * ms;
  start(limits);
  auto stuck = client();
  stuck.send(post(open_frame()));
  const std::string piece(512 * 1024, 'x');
  while (!attempts_.opened().closed)
    attempts_.say(0, say_tokens(piece));
  EXPECT_TRUE(eventually([&] { return port_->counters().connections == 0; }));
}

TEST_F(DataPort, EndsAnAttemptWhoseEventCannotBeSent) {
  start();
  auto gateway = client();
  gateway.send(post(open_frame()));
  attempts_.say(0, say_tokens(std::string(messages::limits::token_text_bytes_max + 1, 'x')));
  gateway.head();
  const auto events = events_of(gateway.chunked());
  ASSERT_EQ(events.size(), 1U);
  EXPECT_TRUE(std::get<attempt_aborted>(events[0]).device_fault);
  EXPECT_TRUE(attempts_.closed());
}

TEST_F(DataPort, MakesRoomByCuttingTheLongestIdle) {
  limits::data_port_limits limits;
  limits.connections = 2;
  start(limits);
  auto busy = client();
  busy.send(post(open_frame()));
  EXPECT_EQ(busy.head().status, 200U);
  auto idle = client();
  ASSERT_TRUE(eventually([&] { return port_->counters().connections == 2; }));
  auto late = client();
  EXPECT_TRUE(idle.at_end());
  late.send(post(open_frame(2)));
  EXPECT_EQ(late.head().status, 200U);
  auto one_too_many = client();
  EXPECT_TRUE(one_too_many.at_end());
  EXPECT_TRUE(eventually([&] { return refused("too_many_connections") == 1; }));
  EXPECT_EQ(refused("displaced"), 1U);
}

TEST_F(DataPort, OneAddressMakesRoomAmongItsOwn) {
  limits::data_port_limits limits;
  limits.address_connections = 3;
  start(limits);
  auto busy = client();
  busy.send(post(open_frame()));
  EXPECT_EQ(busy.head().status, 200U);
  auto idle = client();
  auto asking = client();
  asking.send("POST /v1/attempts HTTP/1.1\r\nHost"); // And takes its time.
  ASSERT_TRUE(eventually([&] { return port_->counters().connections == 3; }));
  auto late = client();
  EXPECT_TRUE(idle.at_end());
  late.send(post(open_frame(2)));
  EXPECT_EQ(late.head().status, 200U);
  auto later = client();
  EXPECT_TRUE(asking.at_end());
  later.send(post(open_frame(3)));
  EXPECT_EQ(later.head().status, 200U);
  EXPECT_TRUE(eventually([&] { return refused("displaced") == 2; }));
  EXPECT_EQ(refused("too_many_connections"), 0U);
}

TEST_F(DataPort, WhatWorksIsNotCutForItsAddress) {
  limits::data_port_limits limits;
  limits.address_connections = 1;
  start(limits);
  auto first = client();
  first.send(post(open_frame(1)));
  EXPECT_EQ(first.head().status, 200U);
  auto second = client();
  second.send(post(open_frame(2)));
  EXPECT_EQ(second.head().status, 200U) << "it has a ticket, too";
  EXPECT_EQ(refused("displaced"), 0U);
}

TEST_F(DataPort, WaitsForTheRestOfWhatItRefusedForATime) {
  limits::data_port_limits limits;
  limits.linger = 50 * ms;
  start(limits);
  auto silent = client();
  const auto from = std::chrono::steady_clock::now();
  silent.send("nonsense\r\n\r\n");
  EXPECT_EQ(silent.head().status, 400U);
  EXPECT_TRUE(eventually([&] { return port_->counters().connections == 0; }));
  EXPECT_GE(std::chrono::steady_clock::now() - from, std::chrono::milliseconds(50));
}

TEST_F(DataPort, SwallowsSoMuchOfWhatItRefused) {
  limits::data_port_limits limits;
  limits.linger = 3'600'000 * ms;
  limits.linger_bytes = 64 * 1'024;
  start(limits);
  auto talking = client();
  talking.send("nonsense\r\n\r\n");
  EXPECT_EQ(talking.head().status, 400U);
  const std::string more(64 * 1'024, 'x');
  EXPECT_TRUE(eventually([&] { return !talking.send(more); })) << "it is closed by then";
}

TEST_F(DataPort, PausesWhileNoDescriptorIsLeft) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "the sanitizers need descriptors of their own to look at memory";
#endif
  start();
  boost::asio::ip::tcp::socket waiting(threads_.io(), boost::asio::ip::tcp::v4());
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit none = before;
  none.rlim_cur = 0;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  const auto from = std::chrono::steady_clock::now();
  waiting.connect({boost::asio::ip::address_v4::loopback(), port_->port()});
  EXPECT_TRUE(eventually([&] { return refused("accept_failed") == 2; }));
  EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  const auto pause = std::chrono::microseconds(limits::data_accept_backoff_us);
  EXPECT_GE(std::chrono::steady_clock::now() - from, pause);
  EXPECT_TRUE(eventually([&] { return port_->counters().accepted == 1; })) << "it waited, no more";
}

TEST_F(DataPort, StoppingCancelsWhatRuns) {
  start();
  auto gateway = client();
  gateway.send(post(open_frame()));
  gateway.head();
  port_->stop();
  EXPECT_TRUE(attempts_.closed());
  EXPECT_TRUE(gateway.at_end());
}

TEST_F(DataPort, SaysWhyItCannotStart) {
  const auto why = [&](data_port_options options) {
    const auto got = data_port::start(threads_.io(), std::move(options), attempts_, *store_);
    return got ? std::string("started") : got.failure().code;
  };
  start();
  EXPECT_EQ(why({"nowhere", 0, "", nullptr, {}}), "bad_address");
  EXPECT_EQ(why({"0.0.0.0", 0, "h", nullptr, {}}), "address_unprotected");
  EXPECT_EQ(why({"127.0.0.1", port_->port(), "", nullptr, {}}), "port_in_use");
  EXPECT_EQ(why({"127.0.0.1", 0, "a:b:c", nullptr, {}}), "bad_address");
  links::testing_support::test_cluster cluster;
  const auto own = cluster.credentials_of(links::peer_role::node, "n1");
  EXPECT_EQ(why({"0.0.0.0", 0, "", own, {}}), "advertise_missing");
  EXPECT_EQ(why({"0.0.0.0", 0, "host.example", own, {}}), "started");
}

TEST_F(DataPort, AdvertisesTheBoundPortUnderTheNameItWasGiven) {
  const auto started = data_port::start(
      threads_.io(), {"127.0.0.1", 0, "host.example", nullptr, {}}, attempts_, *store_);
  ASSERT_TRUE(started.ok());
  EXPECT_EQ((*started)->address(), "host.example:" + std::to_string((*started)->port()));
}

} // namespace
} // namespace consort::node
