// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Links over loopback sockets in one io_context that a test runs by itself until something has
/// happened: no thread, no sleep. `raw_peer` is the other end without manners.

#include "links/channel.hpp"
#include "links/connector.hpp"
#include "links/guard.hpp"
#include "tests/unit/links/hello_bytes.hpp"
#include "tests/unit/links/test_cluster.hpp"

#include <boost/asio/connect.hpp>
#include <boost/asio/steady_timer.hpp>
#include <gmock/gmock.h>
#include <spdlog/sinks/ringbuffer_sink.h>
#include <spdlog/spdlog.h>

#include <deque>
#include <list>

namespace consort::links::testing_support {

namespace asio = boost::asio;
using asio::ip::tcp;

/// Raw peers show no signs of life and machines are busy: what a test did not set is generous.
inline limits::limit_set patient(limits::limit_set limits) {
  constexpr duration_us long_us = 60 * limits::second_us;
  for (auto [span, usual] :
       {std::pair(&limits.silence, limits::silence_us),
        std::pair(&limits.handshake, limits::handshake_us),
        std::pair(&limits.hello, limits::hello_us), std::pair(&limits.refusal, limits::refusal_us),
        std::pair(&limits.connect, limits::connect_us),
        std::pair(&limits.welcome, limits::welcome_us),
        std::pair(&limits.write_stall, limits::write_stall_us)})
    if (*span == usual)
      *span = long_us;
  return limits;
}

/// A connection that sends any bytes and remembers what came back.
class raw_peer : public std::enable_shared_from_this<raw_peer> {
public:
  explicit raw_peer(tcp::socket socket) : stream_(std::move(socket)) { stream_.hurry(); }

  static std::shared_ptr<raw_peer> dial(asio::io_context& io, std::uint16_t port,
                                        const std::string& from = "127.0.0.1") {
    tcp::socket socket(io, tcp::endpoint(asio::ip::make_address(from), 0));
    socket.connect({asio::ip::make_address("127.0.0.1"), port});
    return std::make_shared<raw_peer>(std::move(socket));
  }

  /// Reads for ever, unless `greedy` is false: then it takes nothing.
  void begin(bool greedy = true) {
    begun_ = true;
    if (greedy)
      read();
    write();
  }
  void begin_tls(const tls_context& context) {
    stream_.secure(*context).async_handshake(asio::ssl::stream_base::client,
                                             [self = shared_from_this()](auto failed) {
                                               self->closed_ = bool(failed);
                                               if (!failed)
                                                 self->begin();
                                             });
  }
  void send(const std::vector<char>& bytes) {
    waiting_.insert(waiting_.end(), bytes.begin(), bytes.end());
    write();
  }
  void send(const messages::frame& frame) { send(bytes_of(frame)); }
  void close() { stream_.cut(); }

  [[nodiscard]] bool closed() const { return closed_; }
  [[nodiscard]] bool all_sent() const { return waiting_.empty() && sending_.empty(); }
  [[nodiscard]] std::size_t received_bytes() const { return received_.size(); }
  [[nodiscard]] std::vector<messages::frame> frames() const {
    messages::frame_reader reader;
    reader.feed(received_);
    std::vector<messages::frame> out;
    for (;;) {
      auto next = reader.next();
      EXPECT_TRUE(next);
      if (!next || !*next)
        return out;
      out.push_back(**std::move(next));
    }
  }
  /// The code of the refusal that it was told; empty without one.
  [[nodiscard]] std::string refusal() const {
    for (const auto& frame : frames())
      if (frame.kind == frame_kind::hello_answer) {
        const auto answer = messages::decode_hello_answer(frame.payload);
        if (answer && answer->body.refusal)
          return answer->body.refusal->code;
      }
    return {};
  }

private:
  void read() {
    stream_.read_some(
        asio::buffer(input_), [self = shared_from_this()](auto failed, std::size_t bytes) {
          self->received_.insert(self->received_.end(), self->input_.begin(),
                                 self->input_.begin() + static_cast<std::ptrdiff_t>(bytes));
          self->closed_ = self->closed_ || failed;
          if (!failed)
            return self->read();
          self->stream_.cut(); // As a process would: both sides are done.
        });
  }
  void write() {
    if (!begun_ || !sending_.empty() || waiting_.empty())
      return;
    sending_.swap(waiting_);
    write_more(0);
  }
  void write_more(std::size_t from) {
    stream_.write_some(asio::buffer(sending_) + from,
                       [self = shared_from_this(), from](auto failed, std::size_t bytes) {
                         if (!failed && from + bytes < self->sending_.size())
                           return self->write_more(from + bytes);
                         self->sending_.clear();
                         if (!failed)
                           self->write();
                       });
  }

  channel stream_;
  std::array<char, 4096> input_{};
  std::vector<char> received_;
  std::vector<char> waiting_;
  std::vector<char> sending_;
  bool begun_ = false;
  bool closed_ = false;
};

/// A link and all that was heard from it.
struct heard_link {
  std::shared_ptr<link> handle;
  messages::frame hello;
  std::vector<messages::frame> frames;
  std::optional<error> closed;
  bool slow = false; ///< Every frame is still worked on.
  std::vector<frame_hold> holds = {};

  void listen() {
    handle->start({[this](messages::frame frame) {
                     frames.push_back(std::move(frame));
                     if (slow)
                       holds.push_back(handle->hold());
                   },
                   [this](const error& why) { closed = why; }});
  }
  [[nodiscard]] std::string closed_by() const { return closed ? closed->code : ""; }
};

class link_fixture : public testing::Test {
protected:
  link_fixture() { log_lines(); }

  /// Ends everything while what callbacks refer to is still there.
  void TearDown() override {
    for (const auto& one : connectors_)
      one->stop();
    if (guard_)
      guard_->stop();
    for (auto& one : links_)
      one.handle.reset();
    io_.restart();
    io_.run_for(std::chrono::seconds(20)); // Returns as soon as nothing is left to do.
    EXPECT_TRUE(io_.stopped()) << "something is still pending";
  }

  /// Runs what there is to do until `done`. Returns: false when that takes too long.
  template <class Done>
  bool run_until(const Done& done) {
    const auto patience = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!done()) {
      if (std::chrono::steady_clock::now() > patience)
        return false;
      io_.restart();
      io_.run_one_for(std::chrono::milliseconds(20));
    }
    return true;
  }

  void start_guard(guard_options options = {}) {
    options.cluster = cluster;
    options.join_token = token;
    options.life = incarnation{9};
    options.limits = patient(options.limits);
    auto started = guard::start(
        io_, options, [this](const std::shared_ptr<link>& made, messages::frame hello) {
          auto& heard = links_.emplace_back(heard_link{made, std::move(hello), {}, {}});
          if (listen_)
            heard.listen();
        });
    ASSERT_TRUE(started) << started.failure().message;
    guard_ = std::move(*started);
  }
  std::shared_ptr<raw_peer> dial(const std::string& from = "127.0.0.1") {
    return raw_peer::dial(io_, guard_->port(), from);
  }
  /// A raw peer that was let in.
  std::shared_ptr<raw_peer> join(const messages::frame& hello = hello_frame()) {
    const auto before = links_.size();
    const auto peer = dial();
    peer->begin();
    peer->send(hello);
    EXPECT_TRUE(run_until([&] { return links_.size() > before; }));
    return peer;
  }
  std::uint64_t refused(const std::string& reason) {
    const auto counted = guard_->counters().refused;
    const auto found = counted.find(reason);
    return found == counted.end() ? 0 : found->second;
  }
  /// Lines of the logger so far; its sink holds the latest hundreds.
  static std::vector<std::string> log_lines() {
    static const auto sink = [] {
      auto made = std::make_shared<spdlog::sinks::ringbuffer_sink_mt>(500);
      spdlog::register_logger(std::make_shared<spdlog::logger>("links", made));
      return made;
    }();
    return sink->last_formatted();
  }

  asio::io_context io_;
  bool listen_ = true; ///< Links are started when they come.
  std::list<heard_link> links_;
  std::unique_ptr<guard> guard_;
  std::vector<std::unique_ptr<connector>> connectors_;
};

} // namespace consort::links::testing_support
