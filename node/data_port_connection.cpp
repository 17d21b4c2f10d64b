// SPDX-License-Identifier: Apache-2.0
// How a connection of a data port reads requests and notices its peer; what it answers is in
// data_port_answers.cpp.
#include "node/data_port_connection.hpp"

#include "links/opening.hpp"

#include <boost/beast/http/read.hpp>

#include <algorithm>

namespace consort::node {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using boost::system::error_code;
using links::as_values;
using links::task;

namespace {

constexpr std::size_t watch_bytes = 4'096;
constexpr const char* handshake_late = "its handshake was not done in time";

refusal too_late(const char* code, const char* message) {
  return {408, {recovery::retry_elsewhere, code, message}};
}

} // namespace

data_port_connection::data_port_connection(asio::ip::tcp::socket socket,
                                           const asio::ip::address& from,
                                           std::shared_ptr<data_port_shared> shared,
                                           std::function<void()> in_order)
    : stream_(std::move(socket)),
      address_(from.to_string()),
      key_(links::admission::key_of(from)),
      shared_(std::move(shared)),
      limits_(shared_->options.limits),
      in_order_(std::move(in_order)),
      deadline_(stream_.get_executor(), [this] { out_of_time(); }),
      changed_(stream_.get_executor()) {}

task<void> data_port_connection::run() {
  bool more = co_await greet();
  if (more)
    in_order_();
  in_order_ = nullptr;
  while (more && keep_alive_ && !gone_) {
    more = co_await wait_request();
    if (!more)
      break;
    more = co_await serve_one();
  }
  end();
}

/// Lets go of everything; the watch, if any, ends by itself.
void data_port_connection::end() {
  gone_ = true;
  deadline_.stop();
  attempt_.reset();
  stream_.cut();
}

/// Nothing is kept of a connection that has not said anything, and a handshake waits for its turn.
task<bool> data_port_connection::greet() {
  const auto& credentials = shared_->options.credentials;
  if (!credentials) {
    stream_.hurry();
    co_return true;
  }
  limit_whole(limits_.handshake);
  const bool spoke = co_await hear_first();
  if (!spoke)
    co_return false;
  stream_.hurry();
  if (const bool came = co_await wait_turn(); !came) {
    refused("handshake_timeout", handshake_late);
    co_return false;
  }
  auto peer = co_await stream_.greet(*credentials, asio::ssl::stream_base::server);
  costly_ = !peer;
  if (peer)
    turn_->went_well();
  turn_.reset();
  deadline_.clear();
  if (!peer && peer.failure().code == "tls_failed") {
    const auto& why = stream_.handshake_failure();
    if (deadline_.expired() || gone_)
      refused("handshake_timeout", handshake_late);
    else
      refused(why.code, why.message);
    co_return false;
  }
  peer_ = std::move(peer); // A bad name is answered to its first request.
  if (!*peer_)
    co_return true;
  if (const auto held = shared_->known.held(peer_->value(), links::steady_now_us())) {
    refused(held->code, held->message);
    co_return false;
  }
  co_return true;
}

task<bool> data_port_connection::hear_first() {
  const auto first = co_await links::await_opening(stream_.socket(), true);
  if (first.failed && (deadline_.expired() || gone_))
    refused("handshake_timeout", handshake_late);
  else if (first.failed)
    refused("closed_early", "it left before it said anything");
  else if (first.unlike)
    refused(first.unlike->code, first.unlike->message);
  co_return !first.failed && !first.unlike;
}

/// As at the link guard: whose turn comes late is not heard any more.
task<bool> data_port_connection::wait_turn() {
  turn_ = shared_->turns->ask(key_, [weak = weak_from_this(), strand = executor()] {
    asio::post(strand, [weak] {
      if (const auto self = weak.lock())
        self->changed_.ring();
    });
  });
  if (turn_->has_come())
    co_return true;
  const auto until
      = std::chrono::steady_clock::now() + std::chrono::microseconds(limits_.peers.turn);
  const auto waits = [&] { return !gone_ && std::chrono::steady_clock::now() < until; };
  while (!turn_->has_come() && waits()) {
    co_await changed_.wait(until);
  }
  const bool came = turn_->has_come() && waits();
  if (!came)
    turn_.reset();
  co_return came;
}

task<bool> data_port_connection::wait_request() {
  state_ = state::idle;
  limit_whole(limits_.idle);
  watch();
  while (watching_ && !gone_) {
    co_await changed_.wait(std::chrono::steady_clock::time_point::max());
  }
  co_return !gone_ && buffer_.size() > 0;
}

task<bool> data_port_connection::serve_one() {
  request_parser parser;
  state_ = state::reading;
  auto problem = co_await read_head(parser);
  if (!problem && !gone_) {
    const auto route = find_route(parser.get());
    if (const auto* unknown = std::get_if<refusal>(&route))
      problem = *unknown;
    else
      problem = forbid(std::get<data_route>(route));
  }
  if (!problem && !gone_)
    problem = co_await read_body(parser);
  deadline_.clear();
  if (gone_)
    co_return false;
  if (problem) {
    slipped();
    shared_->complain(address_, problem->why.code, problem->why.message);
    co_await respond(*problem, true);
    co_return false;
  }
  state_ = state::busy;
  keep_alive_ = parser.keep_alive();
  const auto request = parser.release();
  const auto route = std::get<data_route>(find_route(request));
  watch();
  if (route.target == data_target::attempts)
    co_await serve_attempt(request);
  else if (route.target == data_target::metrics)
    co_await serve_metrics();
  else
    co_await serve_artifact(request, route);
  co_return true;
}

task<std::optional<refusal>> data_port_connection::read_head(request_parser& parser) {
  parser.header_limit(static_cast<std::uint32_t>(limits::data_head_bytes_max));
  parser.body_limit(messages::limits::body_frame_bytes_max + messages::frame_header_bytes);
  limit_reading(limits_.head);
  const auto [failed, size] = co_await http::async_read_header(stream_, buffer_, parser, as_values);
  if (deadline_.expired())
    co_return too_late("head_timeout", "the request's head did not arrive in time");
  gone_ = gone_ || (failed && !describe_read(failed));
  co_return failed ? describe_read(failed) : std::nullopt;
}

task<std::optional<refusal>> data_port_connection::read_body(request_parser& parser) {
  if (parser.get().count(http::field::expect) > 0 && !parser.is_done()) {
    const std::string_view proceed = "HTTP/1.1 100 Continue\r\n\r\n";
    const bool told = co_await write(proceed);
    if (!told)
      co_return std::nullopt;
  }
  limit_reading(limits_.body);
  const auto [failed, size] = co_await http::async_read(stream_, buffer_, parser, as_values);
  if (deadline_.expired())
    co_return too_late("body_timeout", "the request's body did not arrive in time");
  gone_ = gone_ || (failed && !describe_read(failed));
  co_return failed ? describe_read(failed) : std::nullopt;
}

/// A certificate may lose its meaning while its connection lives.
std::optional<refusal> data_port_connection::forbid(const data_route& route) const {
  if (!peer_)
    return std::nullopt;
  if (!*peer_)
    return refusal{403, peer_->failure()};
  const auto& peer = peer_->value();
  const auto& credentials = shared_->options.credentials;
  if (credentials->revoked(peer.serial))
    return refusal{403,
                   {recovery::refuse, "certificate_revoked",
                    "the certificate of " + peer.name + " has been revoked"}};
  if (auto held = shared_->known.held(peer, links::steady_now_us()))
    return refusal{503, std::move(*held)};
  if (!may_use(peer.role, route.target))
    return refusal{403,
                   {recovery::refuse, "wrong_role",
                    "a " + std::string(links::name_of(peer.role))
                        + (route.target == data_target::attempts ? " opens no attempts"
                                                                 : " fetches no artifacts")}};
  return std::nullopt;
}

void data_port_connection::refused(const std::string& code, const std::string& message) {
  shared_->refused(address_, code, message);
}

/// It asked for what no peer of ours asks for.
void data_port_connection::slipped() {
  if (peer_ && *peer_)
    shared_->known.slipped(peer_->value(), links::steady_now_us());
}

// --- time ---

/// Being late ends the reading, and an answer says so.
void data_port_connection::limit_reading(duration_us span) {
  reading_ = true;
  deadline_.set(span);
}

void data_port_connection::limit_whole(duration_us span) {
  reading_ = false;
  deadline_.set(span);
}

void data_port_connection::out_of_time() {
  if (reading_)
    return stream_.cut_reading();
  gone_ = true;
  attempt_.reset();
  stream_.cut();
  changed_.ring();
}

// --- the other end ---

/// Reads beside run(), so that the end is noticed. What comes early is kept for the next request;
/// then only writes notice the end, since a second read would wait for more than that request.
void data_port_connection::watch() {
  if (watching_ || gone_ || buffer_.size() > 0)
    return;
  watching_ = true;
  stream_.async_read_some(buffer_.prepare(watch_bytes),
                          [self = shared_from_this()](error_code failed, std::size_t size) {
                            self->watched(failed, size);
                          });
}

void data_port_connection::watched(error_code failed, std::size_t size) {
  watching_ = false;
  buffer_.commit(size);
  if (failed) {
    if (attempt_ && !gone_)
      ++shared_->abandoned;
    gone_ = true;
    attempt_.reset();
    stream_.cut();
  }
  changed_.ring();
}

/// The attempt's outbox has something, or too much. What the kernel takes at once, as it does a
/// token, goes from here: run() need not be woken for each.
void data_port_connection::woken() {
  if (outbox_ && outbox_->overflowed())
    attempt_.reset();
  if (pumping_ && !gone_ && pump())
    return;
  changed_.ring();
}

void data_port_connection::cut() {
  asio::post(executor(), [self = shared_from_this()] {
    self->gone_ = true;
    self->attempt_.reset();
    self->stream_.cut();
    self->changed_.ring();
  });
}

void data_port_connection::drop(std::shared_ptr<const std::vector<std::string>> serials) {
  asio::post(executor(), [self = shared_from_this(), serials = std::move(serials)] {
    if (!self->peer_ || !*self->peer_)
      return;
    const auto& serial = self->peer_->value().serial;
    if (std::find(serials->begin(), serials->end(), serial) != serials->end())
      self->cut();
  });
}

} // namespace consort::node
