// SPDX-License-Identifier: Apache-2.0
#include "links/door.hpp"

#include "links/log.hpp"
#include "links/tls_error.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>

#include <array>

namespace consort::links {

namespace asio = boost::asio;

namespace {

error no_link(const char* code, std::string message) {
  return {recovery::retry_later, code, std::move(message)};
}

} // namespace

door::door(channel::tcp::socket socket, std::string address,
           std::shared_ptr<const door_rules> rules)
    : stream_(std::move(socket)),
      address_(std::move(address)),
      rules_(std::move(rules)),
      limit_(stream_.socket().get_executor()) {}

void door::run(std::function<void(door_outcome)> report) {
  const auto self = shared_from_this();
  asio::co_spawn(
      stream_.socket().get_executor(), [self] { return self->pass(); },
      [self, report = std::move(report)](const std::exception_ptr& thrown, door_outcome outcome) {
        if (thrown) {
          self->stream_.cut();
          outcome.core = nullptr;
          outcome.refusal = no_link("internal", "a connection ended by an exception");
        }
        report(std::move(outcome));
      });
}

void door::cut() {
  asio::post(limit_.executor(), [self = shared_from_this()] { self->stream_.cut(); });
}

/// Keeps only a weak hold: a limit that outlives its door has nothing to cut.
void door::limit(duration_us span) {
  limit_.set(span, [weak = weak_from_this()] {
    if (const auto self = weak.lock())
      self->stream_.cut();
  });
}

error door::lost(const char* late, boost::system::error_code failed) const {
  if (limit_.expired())
    return no_link(late, address_ + " did not finish in time");
  return no_link("closed_early", address_ + " left before its hello: " + failed.message());
}

task<door_outcome> door::pass() {
  door_outcome outcome;
  auto unopened = co_await open();
  if (unopened) {
    co_await refuse(*unopened);
    outcome.refusal = std::move(*unopened);
    co_return outcome;
  }
  auto hello = co_await hear_hello();
  auto who = hello ? judge_hello(*hello, *hello_rules_) : result<peer_identity>(hello.failure());
  if (!who) {
    co_await refuse(who.failure());
    outcome.refusal = who.failure();
    co_return outcome;
  }
  limit_.clear();
  session_->admit(who->role, hello_rules_.get());
  outcome.hello = std::move(*hello);
  outcome.core = std::make_shared<link_core>(
      link_core::parts{std::move(stream_), std::move(session_), hello_rules_, std::move(*who),
                       address_, rules_->limits});
  co_return outcome;
}

/// Up to who this is by its certificate. Nothing is kept for a connection that stays silent or half
/// spoken but the socket.
task<std::optional<error>> door::open() {
  limit(rules_->limits.handshake);
  auto unlike = co_await look();
  if (unlike)
    co_return unlike;
  hello_rules_
      = std::make_shared<hello_rules>(hello_rules{rules_->cluster, rules_->join_token, {}});
  session_ = std::make_unique<session>(rules_->limits, steady_now_us());
  speaks_ = rules_->credentials == nullptr;
  if (speaks_)
    co_return std::nullopt;
  co_return co_await shake_hands();
}

/// Waits for the first bytes, and under TLS for the whole first record, and leaves them where they
/// are: the kernel wakes us when that much is there.
task<std::optional<error>> door::look() {
  auto& socket = stream_.socket();
  const bool tls = rules_->credentials != nullptr;
  std::array<char, opening_bytes> first{};
  for (std::size_t wanted = 1;;) {
    boost::system::error_code failed;
    socket.set_option(asio::socket_base::receive_low_watermark(static_cast<int>(wanted)), failed);
    auto [unheard] = co_await socket.async_wait(asio::socket_base::wait_read, as_values);
    failed = unheard;
    std::size_t bytes = 0;
    if (!failed)
      bytes = socket.receive(asio::buffer(first), asio::socket_base::message_peek, failed);
    const auto there = failed ? 0 : socket.available(failed);
    if (!failed && there < wanted)
      failed = asio::error::eof;
    if (failed)
      co_return lost("handshake_timeout", failed);
    const std::span seen(first.data(), bytes);
    auto unlike = judge_opening(seen, tls);
    if (unlike)
      co_return unlike;
    if (there >= opening_wanted(seen, tls))
      break;
    wanted = opening_wanted(seen, tls);
  }
  boost::system::error_code failed;
  socket.set_option(asio::socket_base::receive_low_watermark(1), failed);
  co_return std::nullopt;
}

task<std::optional<error>> door::shake_hands() {
  const auto context = rules_->credentials->server_context();
  auto& tls = stream_.secure(*context);
  auto [failed] = co_await tls.async_handshake(asio::ssl::stream_base::server, as_values);
  if (failed) {
    if (limit_.expired())
      co_return lost("handshake_timeout", failed);
    co_return describe_handshake(failed, tls.native_handle(), address_);
  }
  speaks_ = true;
  auto identity = rules_->credentials->identify(tls.native_handle());
  if (!identity)
    co_return identity.failure();
  hello_rules_->certified = std::move(*identity);
  co_return std::nullopt;
}

task<result<messages::frame>> door::hear_hello() {
  limit(rules_->limits.hello);
  std::vector<char> input(limits::read_bytes);
  for (;;) {
    auto [failed, bytes] = co_await stream_.read_some(asio::buffer(input), as_values);
    if (failed)
      co_return lost("hello_timeout", failed);
    session_->feed(std::span(input.data(), bytes), steady_now_us());
    auto frame = session_->next(steady_now_us());
    if (!frame)
      co_return frame.failure();
    if (*frame)
      co_return **std::move(frame);
  }
}

/// Says why to whoever can read it, and lets the other end close first: closing with unread input
/// would reset the connection and tear the answer away.
task<void> door::refuse(const error& why) {
  limit(rules_->limits.refusal);
  const auto answer = understands_answers(why) && speaks_
                          ? refusal_bytes(why, rules_->cluster, rules_->life)
                          : std::vector<char>{};
  std::size_t sent = 0;
  while (sent < answer.size()) {
    auto [failed, bytes] = co_await stream_.write_some(asio::buffer(answer) + sent, as_values);
    sent += bytes;
    if (failed)
      break;
  }
  boost::system::error_code ended;
  if (sent > 0)
    stream_.socket().shutdown(asio::socket_base::shutdown_send, ended);
  std::vector<char> waste(sent > 0 ? limits::read_bytes : 0);
  for (std::size_t total = 0;
       !waste.empty() && !ended && total < limits::refusal_waste_bytes_max;) {
    auto [failed, bytes] = co_await stream_.read_some(asio::buffer(waste), as_values);
    ended = failed;
    total += bytes;
  }
  limit_.clear();
  stream_.cut();
}

} // namespace consort::links
