// SPDX-License-Identifier: Apache-2.0
// The client of a data port against a node that answers by hand: every way to fail has its word.
#include "gateway/data_ports.hpp"
#include "messages/codec.hpp"
#include "tests/support/io_threads.hpp"
#include "tests/support/raw_http.hpp"
#include "tests/support/scripted_attempts.hpp"
#include "tests/unit/node/data_port_fixture.hpp"

#include <cstdio>
#include <future>

namespace consort::gateway {
namespace {

using node::test::ms;
using testing::make_ticket;
using testing::recording_sink;
using testing::say_tokens;
using testing::scripted_server;
using tcp = boost::asio::ip::tcp;

const std::string stream_head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
const std::string last_chunk = "0\r\n\r\n";

std::string chunk(const std::string& content) {
  std::array<char, 16> size{};
  std::snprintf(size.data(), size.size(), "%zx\r\n", content.size());
  return size.data() + content + "\r\n";
}
std::string frame(const attempt_event& happened) {
  const auto payload = messages::encode(happened);
  const auto bytes = messages::write_frame(messages::frame_kind::attempt_event, *payload);
  return {bytes->begin(), bytes->end()};
}
/// Reads the whole request.
std::string read_request(tcp::socket& socket) {
  auto got = scripted_server::read_head(socket);
  const auto at = got.find("Content-Length: ");
  const auto length = std::stoul(got.substr(at + 16));
  const auto have = got.size() - got.find("\r\n\r\n") - 4;
  std::string rest(length - have, '\0');
  boost::system::error_code ignored;
  boost::asio::read(socket, boost::asio::buffer(rest), ignored);
  return got + rest;
}
scripted_server::script answering(std::string bytes, bool then_wait = false) {
  return [bytes = std::move(bytes), then_wait](tcp::socket& socket) {
    read_request(socket);
    scripted_server::write(socket, bytes);
    if (then_wait)
      scripted_server::await_end(socket);
  };
}

class client_fixture : public ::testing::Test {
protected:
  /// Opens an attempt at that address. Returns: its sink; the stream is kept.
  std::shared_ptr<recording_sink> open(const std::string& address, std::uint64_t sequence = 1) {
    if (!ports_)
      ports_ = std::make_unique<data_ports>(threads_.io(), nullptr, limits_);
    auto sink = std::make_shared<recording_sink>();
    streams_.push_back(ports_->open(make_ticket(address, sequence), {{}, "{}", {}}, sink));
    return sink;
  }
  attempt_aborted abort_of(const std::string& answer, bool then_wait = false) {
    scripted_server server({answering(answer, then_wait)});
    return open(server.address())->abort();
  }

  limits::data_limit_set limits_;
  testing::io_threads threads_;
  std::unique_ptr<data_ports> ports_;
  std::vector<std::unique_ptr<attempt_stream>> streams_;
};
using DataPortClient = client_fixture;

TEST_F(DataPortClient, HandsEventsOnAsTheyCome) {
  std::promise<void> go;
  std::string asked;
  scripted_server server({[&](tcp::socket& socket) {
    asked = read_request(socket);
    const auto first = stream_head + chunk(frame(attempt_opened{3, 0}));
    // Cut anywhere, even within numbers and frames.
    for (const char byte : first)
      scripted_server::write(socket, std::string(1, byte));
    go.get_future().wait();
    scripted_server::write(
        socket, chunk(frame(say_tokens("a")) + frame(say_tokens("b")) + frame(attempt_completed{}))
                    + last_chunk);
    scripted_server::await_end(socket);
  }});
  const auto sink = open(server.address(), 5);
  EXPECT_EQ(sink->wait(1).size(), 1U);
  go.set_value();
  const auto events = sink->wait_end();
  ASSERT_EQ(events.size(), 4U);
  EXPECT_EQ(std::get<attempt_tokens>(events[2]).text, "b");
  EXPECT_EQ(asked.rfind("POST /v1/attempts HTTP/1.1\r\n", 0), 0U);
  messages::frame_reader reader;
  reader.feed(std::span(asked).subspan(asked.find("\r\n\r\n") + 4));
  const auto sent = reader.next();
  ASSERT_TRUE(sent.ok() && *sent);
  EXPECT_EQ(messages::decode_attempt_open((*sent)->payload)->permission,
            make_ticket(server.address(), 5));
  ports_.reset(); // Or else the connection stays, idle.
}

TEST_F(DataPortClient, AnEndBeforeTheEndIsTheDevicesFault) {
  for (const auto& answer :
       {std::string(), std::string("HTTP/1.1 2"), stream_head,
        stream_head + chunk(frame(say_tokens("a"))), stream_head + "ff\r\nCSRT"}) {
    const auto aborted = abort_of(answer);
    EXPECT_EQ(aborted.failure.code, "data_link_lost") << answer;
    EXPECT_EQ(aborted.failure.action, recovery::retry_elsewhere);
    EXPECT_TRUE(aborted.device_fault);
  }
}

TEST_F(DataPortClient, BrokenAnswersAreRefused) {
  const auto beat = messages::write_frame(messages::frame_kind::heartbeat, {});
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"SSH-2.0-x\r\n\r\n", "bad_answer"},
      {"HTTP/1.1 200 OK\r\nA: " + std::string(limits::data_head_bytes_max, 'a'), "bad_answer"},
      {stream_head + "zz\r\n", "bad_chunk"},
      {stream_head + "1;" + std::string(limits::chunk_line_bytes_max, 'e'), "bad_chunk"},
      {stream_head + chunk("not a frame at all"), "bad_frame"},
      {stream_head + chunk(std::string(beat->begin(), beat->end())), "wrong_kind"},
      {stream_head + last_chunk, "bad_answer"},
  };
  for (const auto& [answer, code] : cases) {
    const auto aborted = abort_of(answer, true);
    EXPECT_EQ(aborted.failure.code, code) << answer.substr(0, 80);
    EXPECT_EQ(aborted.failure.action, recovery::retry_elsewhere);
  }
}

TEST_F(DataPortClient, RefusalsKeepTheirWord) {
  const auto refusing = [](unsigned status, const std::string& body) {
    return "HTTP/1.1 " + std::to_string(status)
           + " X\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
  };
  const auto said = abort_of(
      refusing(403, R"({"error":{"code":"wrong_role","action":"refuse","message":"no"}})"), true);
  EXPECT_EQ(said.failure.code, "wrong_role");
  EXPECT_EQ(said.failure.action, recovery::refuse);
  EXPECT_FALSE(said.device_fault);
  EXPECT_EQ(abort_of(refusing(503, "no json"), true).failure.action, recovery::retry_later);
  EXPECT_EQ(abort_of(refusing(500, ""), true).failure.code, "data_port_refused");
  // Of a long body only the beginning counts, which is then no JSON.
  EXPECT_EQ(abort_of(refusing(403, std::string(limits::data_refusal_bytes_max + 1, ' ')), true)
                .failure.code,
            "data_port_refused");
}

TEST_F(DataPortClient, ANodeThatNeverAnswersIsLost) {
  limits_.answer = 50 * ms;
  EXPECT_EQ(abort_of("", true).failure.code, "data_link_lost");
}

TEST_F(DataPortClient, AnAnswerWithoutAnEndIsNotWaitedFor) {
  limits_.tail = 50 * ms;
  scripted_server server({answering(stream_head + chunk(frame(attempt_completed{})), true)});
  const auto sink = open(server.address());
  // The attempt has ended well; its connection is closed, or else the server would not end.
  EXPECT_TRUE(std::holds_alternative<attempt_completed>(sink->wait_end().back()));
}

TEST_F(DataPortClient, ANodeThatIsNotThereIsUnreachable) {
  std::string gone;
  { gone = scripted_server({}).address(); }
  EXPECT_EQ(open(gone)->abort().failure.code, "node_unreachable");
  EXPECT_TRUE(open(gone)->abort().device_fault);
  EXPECT_EQ(open("no-address")->abort().failure.code, "bad_address");
  EXPECT_EQ(open("198.51.100.1:1")->abort().failure.code, "address_unprotected");
}

/// No name service is that quick; it is tried until one look came too late.
TEST_F(DataPortClient, ANameServiceThatIsSlowIsNotWaitedFor) {
  limits_.resolve = 1;
  std::string gone;
  { gone = scripted_server({}).address(); }
  gone = "localhost" + gone.substr(gone.find(':'));
  std::string said;
  for (int tries = 0; tries < 200 && said.find("no answer in time") == std::string::npos; ++tries)
    said = open(gone)->abort().failure.message;
  EXPECT_NE(said.find("no answer in time"), std::string::npos) << said;
}

TEST_F(DataPortClient, KeepsConnectionsForTheNextAttempt) {
  const auto ended = stream_head + chunk(frame(attempt_completed{})) + last_chunk;
  std::promise<void> second_done;
  scripted_server server({[&](tcp::socket& socket) {
                            for (int number = 0; number < 2; ++number) {
                              read_request(socket);
                              scripted_server::write(socket, ended);
                            }
                            second_done.get_future().wait(); // Then it closes, while idle.
                          },
                          answering(ended, true)});
  data_port_client client(threads_.io(), server.address(), nullptr);
  const auto attempt = [&](std::uint64_t number) {
    const auto sink = std::make_shared<recording_sink>();
    const auto stream = client.open(make_ticket(server.address(), number), {}, sink);
    EXPECT_TRUE(std::holds_alternative<attempt_completed>(sink->wait_end().back()));
  };
  const auto until = [](const auto& condition) {
    while (!condition())
      std::this_thread::yield();
  };
  attempt(1);
  until([&] { return client.counters().idle == 1; });
  attempt(2);
  EXPECT_EQ(client.counters().dialled, 1U);
  EXPECT_EQ(client.counters().reused, 1U);
  until([&] { return client.counters().idle == 1; });
  second_done.set_value();
  until([&] { return client.counters().idle == 0; });
  attempt(3);
  EXPECT_EQ(client.counters().dialled, 2U);
  EXPECT_EQ(client.counters().open, 0U);
}

TEST_F(DataPortClient, KeepsNoMoreConnectionsThanItMayAndNotForEver) {
  const auto ended = stream_head + chunk(frame(attempt_completed{})) + last_chunk;
  std::promise<void> both_open;
  const auto go = both_open.get_future().share();
  // One server per connection: each handles its connections one after another.
  const auto wait = [&](tcp::socket& socket) {
    read_request(socket);
    go.wait();
    scripted_server::write(socket, ended);
    scripted_server::await_end(socket);
  };
  limits_.idle_connections = 0;
  scripted_server none_kept({wait});
  data_port_client strict(threads_.io(), none_kept.address(), nullptr, limits_);
  limits_.idle_connections = 1;
  limits_.idle = 50 * ms;
  scripted_server kept_briefly({wait});
  data_port_client brief(threads_.io(), kept_briefly.address(), nullptr, limits_);
  const auto first = std::make_shared<recording_sink>();
  const auto second = std::make_shared<recording_sink>();
  const auto stream = strict.open(make_ticket(none_kept.address()), {}, first);
  const auto other = brief.open(make_ticket(kept_briefly.address()), {}, second);
  both_open.set_value();
  first->wait_end();
  second->wait_end();
  // Both servers end only when their connection was closed from this side.
}

TEST_F(DataPortClient, CancelClosesTheConnectionAndSaysSo) {
  std::promise<void> closed;
  scripted_server server({[&](tcp::socket& socket) {
    answering(stream_head + chunk(frame(say_tokens("a"))), true)(socket);
    closed.set_value();
  }});
  const auto sink = open(server.address());
  sink->wait(1);
  streams_.back()->cancel();
  EXPECT_EQ(sink->abort().failure.code, "cancelled");
  EXPECT_FALSE(sink->abort().device_fault);
  EXPECT_EQ(closed.get_future().wait_for(testing::attempts_patience), std::future_status::ready);
}

TEST_F(DataPortClient, NothingIsDeliveredAfterDestruction) {
  std::promise<void> closed;
  scripted_server server({[&](tcp::socket& socket) {
    answering(stream_head + chunk(frame(say_tokens("a"))), true)(socket);
    closed.set_value();
  }});
  const auto sink = open(server.address());
  sink->wait(1);
  streams_.clear();
  EXPECT_EQ(closed.get_future().wait_for(testing::attempts_patience), std::future_status::ready);
  EXPECT_EQ(sink->wait(0).size(), 1U);
}

TEST_F(DataPortClient, ASinkMayDestroyItsOwnStream) {
  scripted_server server(
      {answering(stream_head + chunk(frame(say_tokens("a")) + frame(say_tokens("b"))), true)});
  data_port_client client(threads_.io(), server.address(), nullptr);
  const auto sink = std::make_shared<recording_sink>();
  std::promise<void> ready;
  const auto go = ready.get_future().share();
  std::unique_ptr<attempt_stream> stream;
  std::promise<void> destroyed;
  sink->reaction = [&](const attempt_event&) {
    go.wait();
    stream.reset();
    destroyed.set_value();
  };
  stream = client.open(make_ticket(server.address()), {}, sink);
  ready.set_value();
  EXPECT_EQ(destroyed.get_future().wait_for(testing::attempts_patience), std::future_status::ready);
  EXPECT_EQ(sink->wait(0).size(), 1U);
}

TEST_F(DataPortClient, OpensNoMoreThanItMay) {
  limits_.open = 1;
  limits_.ports = 1;
  scripted_server server({answering(stream_head, true)});
  open(server.address());
  EXPECT_EQ(open(server.address())->abort().failure.code, "data_port_busy");
  EXPECT_EQ(open("127.0.0.1:1")->abort().failure.code, "too_many_nodes");
  streams_.clear();
}

TEST_F(DataPortClient, WhatCannotBeEncodedIsRefused) {
  auto sink = std::make_shared<recording_sink>();
  data_ports ports(threads_.io(), nullptr);
  const attempt_body body{{}, std::string(messages::limits::json_bytes_max + 1, 'x'), {}};
  const auto stream = ports.open(make_ticket("127.0.0.1:1"), body, sink);
  EXPECT_EQ(sink->abort().failure.action, recovery::refuse);
}

TEST_F(DataPortClient, ForgetsNodesThatNobodyAsksFor) {
  limits_.forget = 0;
  std::string gone;
  { gone = scripted_server({}).address(); }
  open(gone)->wait_end();
  streams_.clear();
  open("127.0.0.1:1")->wait_end();
  EXPECT_EQ(ports_->size(), 1U);
  EXPECT_EQ(ports_->find(make_ticket("")), nullptr);
  EXPECT_EQ(ports_->find(make_ticket("h:1")), ports_.get());
}

} // namespace
} // namespace consort::gateway
