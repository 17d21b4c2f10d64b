// SPDX-License-Identifier: Apache-2.0
#include "links/door.hpp"

#include "links/opening.hpp"
#include "links/tls_error.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>

#include <ctime>

namespace consort::links {

namespace asio = boost::asio;

namespace {

error no_link(const char* code, std::string message) {
  return {recovery::retry_later, code, std::move(message)};
}

} // namespace

door::door(channel::tcp::socket socket, std::string address, std::string key,
           std::shared_ptr<const door_rules> rules)
    : stream_(std::move(socket)),
      address_(std::move(address)),
      key_(std::move(key)),
      rules_(std::move(rules)),
      limit_(stream_.socket().get_executor()),
      called_(stream_.socket().get_executor()) {}

void door::run(std::function<void(door_outcome)> report) {
  const auto self = shared_from_this();
  asio::co_spawn(
      stream_.socket().get_executor(), [self] { return self->pass(); },
      [self, report = std::move(report)](const std::exception_ptr& thrown, door_outcome outcome) {
        if (thrown) {
          self->end();
          outcome.core = nullptr;
          outcome.refusal = no_link("internal", "a connection ended by an exception");
        }
        report(std::move(outcome));
      });
}

void door::cut() {
  asio::post(limit_.executor(), [self = shared_from_this()] { self->end(); });
}

void door::end() {
  stream_.cut();
  called_.cancel();
}

/// Keeps only a weak hold: a limit that outlives its door has nothing to cut.
void door::limit(duration_us span) {
  limit_.set(span, [weak = weak_from_this()] {
    if (const auto self = weak.lock())
      self->end();
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
    if (costly_)
      outcome.failures = limits::failures_per_handshake;
    co_return outcome;
  }
  auto hello = co_await hear_hello();
  auto who = hello ? judge(*hello) : result<peer_identity>(hello.failure());
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

/// Who has a certificate and does not know how to behave is remembered by its name.
result<peer_identity> door::judge(const messages::frame& hello) {
  auto who = judge_hello(hello, *hello_rules_);
  if (!who) {
    if (hello_rules_->certified)
      rules_->known->slipped(*hello_rules_->certified, steady_now_us());
    return who;
  }
  auto held = rules_->known->judge_join(*who, steady_now_us());
  return held ? result<peer_identity>(std::move(*held)) : std::move(who);
}

/// Up to who this is by its certificate. Nothing is kept for a connection that stays silent or half
/// spoken but the socket.
task<std::optional<error>> door::open() {
  limit(rules_->limits.handshake);
  const bool tls = rules_->credentials != nullptr;
  auto first = co_await await_opening(stream_.socket(), tls);
  if (first.failed)
    co_return lost("handshake_timeout", first.failed);
  if (first.unlike)
    co_return first.unlike;
  stream_.hurry();
  hello_rules_
      = std::make_shared<hello_rules>(hello_rules{rules_->cluster, rules_->join_token, {}});
  session_ = std::make_unique<session>(rules_->limits, steady_now_us());
  speaks_ = !tls;
  if (speaks_)
    co_return std::nullopt;
  if (const bool came = co_await wait_turn(); !came)
    co_return no_link("handshake_timeout", address_ + " waited too long behind other handshakes");
  auto failed = co_await shake_hands();
  costly_ = failed.has_value();
  if (!failed)
    turn_->went_well();
  turn_.reset();
  co_return failed;
}

/// A handshake costs a signature: those of one address go through a few at a time. Whose turn comes
/// late cannot finish in time: were it heard, each of a crowd that says no more would cost one.
task<bool> door::wait_turn() {
  turn_ = rules_->turns->ask(key_, [weak = weak_from_this(), strand = limit_.executor()] {
    asio::post(strand, [weak] {
      if (const auto self = weak.lock())
        self->called_.cancel();
    });
  });
  if (turn_->has_come())
    co_return true;
  const auto until
      = std::chrono::steady_clock::now() + std::chrono::microseconds(rules_->limits.turn);
  const auto waits
      = [&] { return stream_.socket().is_open() && std::chrono::steady_clock::now() < until; };
  while (!turn_->has_come() && waits()) {
    called_.expires_at(until);
    co_await called_.async_wait(as_values);
  }
  const bool came = turn_->has_come() && waits();
  if (!came)
    turn_.reset();
  co_return came;
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
  co_return rules_->known->held(*hello_rules_->certified, steady_now_us());
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
                          ? refusal_bytes(why, rules_->cluster, rules_->life, std::time(nullptr))
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
