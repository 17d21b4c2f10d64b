// SPDX-License-Identifier: Apache-2.0
#include "gateway/connection.hpp"

#include "gateway/errors.hpp"
#include "gateway/incoming.hpp"
#include "gateway/log.hpp"
#include "links/spare_room.hpp"
#include "links/task.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/beast/core/buffers_suffix.hpp>
#include <boost/beast/http/read.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <exception>

namespace consort::gateway {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;

namespace {

using links::as_values;
constexpr std::size_t read_ahead_bytes = 4096;
static_assert(limits::pipeline_bytes_max + read_ahead_bytes <= limits::framing_bytes_max);

api_error too_slow(std::string_view what) {
  return {.status = 408, .code = "request_timeout", .message = std::string(what)};
}

} // namespace

connection::connection(asio::ip::tcp::socket socket, const limits::limit_set& limits,
                       const request_handler& handle)
    : socket_(std::move(socket)),
      limits_(limits),
      handle_(handle),
      deadline_(socket_),
      buffer_(limits::framing_bytes_max),
      watch_ended_(socket_.get_executor()) {
  beast::error_code ignored;
  socket_.set_option(asio::ip::tcp::no_delay(true), ignored);
  socket_.non_blocking(true, ignored); // For send_now().
  enter(stage::idle);
}

void connection::enter(stage next) {
  since_us_ = std::chrono::duration_cast<std::chrono::microseconds>(
                  std::chrono::steady_clock::now().time_since_epoch())
                  .count();
  stage_ = next;
}

asio::any_io_executor connection::executor() const {
  // basic_socket hands its executor out of non-const objects only.
  return const_cast<asio::ip::tcp::socket&>(socket_).get_executor();
}

task<void> connection::run() {
  const auto self = shared_from_this();
  // No co_await within && or ||: GCC 12 runs it whatever stands before.
  while (!broken_ && !draining_ && keep_alive_ && !gone_) {
    const bool more = co_await wait_first_byte();
    if (!more)
      break;
    enter(stage::asking);
    auto got = co_await read_request();
    if (auto* problem = std::get_if<api_error>(&got)) {
      co_await refuse(*problem);
      break;
    }
    const auto* request = std::get_if<http_request>(&got);
    if (request == nullptr)
      break;
    enter(stage::serving);
    co_await serve_request(*request);
    enter(stage::idle);
  }
  deadline_.stop();
  beast::error_code ignored;
  socket_.shutdown(asio::ip::tcp::socket::shutdown_both, ignored);
  socket_.close(ignored);
}

task<bool> connection::wait_first_byte() {
  if (buffer_.size() > 0)
    co_return true;
  deadline_.set(limits_.idle_time);
  auto [failed, bytes]
      = co_await socket_.async_read_some(buffer_.prepare(read_ahead_bytes), as_values);
  buffer_.commit(bytes);
  co_return !failed;
}

task<connection::incoming> connection::read_request() {
  request_parser parser;
  parser.header_limit(static_cast<std::uint32_t>(limits_.header_bytes));
  parser.body_limit(limits_.body_bytes);
  deadline_.set(limits_.header_time);
  auto [bad_header, head_bytes]
      = co_await http::async_read_header(socket_, buffer_, parser, as_values);
  http_1_0_ = parser.get().version() < 11;
  if (deadline_.expired())
    co_return too_slow("the headers did not arrive in time");
  if (bad_header == http::error::end_of_stream || bad_header == asio::error::connection_reset
      || bad_header == asio::error::operation_aborted)
    co_return closed{};
  if (bad_header)
    co_return describe_read(bad_header, limits_);
  if (auto problem = judge_head(parser.get()))
    co_return std::move(*problem);

  const bool waits = parser.get().count(http::field::expect) > 0 && !parser.is_done();
  if (waits && !http_1_0_) {
    const bool told = co_await send("HTTP/1.1 100 Continue\r\n\r\n");
    if (!told)
      co_return closed{};
  }
  deadline_.set(limits_.body_time);
  auto [bad_body, body_bytes] = co_await http::async_read(socket_, buffer_, parser, as_values);
  if (deadline_.expired())
    co_return too_slow("the body did not arrive in time");
  deadline_.clear();
  if (bad_body == http::error::partial_message || bad_body == asio::error::connection_reset
      || bad_body == asio::error::operation_aborted)
    co_return closed{};
  if (bad_body)
    co_return describe_read(bad_body, limits_);
  auto request = convert(std::move(parser));
  if (auto* problem = std::get_if<api_error>(&request))
    co_return std::move(*problem);
  co_return std::move(std::get<http_request>(request));
}

void connection::begin_answers(const http_request& request) {
  answered_ = false;
  streaming_ = false;
  head_only_ = request.method == "HEAD";
  http_1_0_ = request.http_1_0;
  keep_alive_ = request.keep_alive;
  held_head_.clear();
}

task<void> connection::serve_request(const http_request& request) {
  begin_answers(request);
  watch();
  // A defect, or no memory; it costs its own request, not the connection's place for ever.
  try {
    co_await handle_(request, *this);
  } catch (const std::exception& thrown) {
    log().error("{} {} ended by an exception: {}", request.method, request.path, thrown.what());
    forsake();
  }
  on_gone_ = nullptr;
  if (!answered_ && !gone_) {
    log().error("{} {} was not answered: a defect", request.method, request.path);
    const api_error defect{.code = "internal", .message = "no answer was made"};
    co_await respond_error(*this, defect);
  }
  co_await stop_watching();
}

/// Whoever was answering is gone, and nobody waits for a write any more. Half an answer has no
/// other end than that of its connection.
void connection::forsake() {
  if (out_.done)
    out_.done = [](bool) {};
  if (answered_)
    cut();
}

/// An answer to what could not be read; then the rest of it is swallowed, since closing a socket
/// with unread data would tear the answer away from the client.
task<void> connection::refuse(const api_error& problem) {
  keep_alive_ = false;
  head_only_ = false;
  answered_ = false;
  log().info("refused a request: {} {}", problem.status, problem.message);
  const auto answer = to_response(problem);
  const bool told = co_await respond(answer);
  if (told)
    co_await linger();
}

task<void> connection::linger() {
  beast::error_code failed;
  socket_.shutdown(asio::ip::tcp::socket::shutdown_send, failed);
  deadline_.set(limits_.linger_time);
  std::vector<char> waste(64 * 1024);
  for (std::size_t total = 0; !failed && total < limits_.linger_bytes;) {
    auto [ended, bytes] = co_await socket_.async_read_some(asio::buffer(waste), as_values);
    failed = ended;
    total += bytes;
  }
}

// --- noticing that the client left ---

void connection::watch() {
  if (gone_ || buffer_.size() >= limits::pipeline_bytes_max)
    return;
  watching_ = true;
  socket_.async_read_some(
      buffer_.prepare(read_ahead_bytes),
      asio::bind_cancellation_slot(stop_watch_.slot(),
                                   [self = shared_from_this()](auto failed, std::size_t bytes) {
                                     self->watched(failed, bytes);
                                   }));
}

void connection::watched(boost::system::error_code failed, std::size_t bytes) {
  watching_ = false;
  buffer_.commit(bytes);
  watch_ended_.cancel();
  if (!failed)
    watch();
  else if (failed != asio::error::operation_aborted)
    gone(gone_reason::client_left);
}

task<void> connection::stop_watching() {
  while (watching_) {
    stop_watch_.emit(asio::cancellation_type::all);
    watch_ended_.expires_at(steady_time::max());
    co_await watch_ended_.async_wait(as_values);
  }
}

void connection::gone(gone_reason why) {
  if (gone_)
    return;
  if (why == gone_reason::client_left)
    gone_ = why;
  if (const auto callback = on_gone_)
    callback(why);
}

void connection::on_gone(std::function<void(gone_reason)> callback) {
  on_gone_ = std::move(callback);
  if (on_gone_ && gone_)
    on_gone_(*gone_);
}

// --- answering ---

task<bool> connection::send(std::string_view first, std::string_view second,
                            std::string_view third) {
  if (broken_)
    co_return false;
  const std::array<asio::const_buffer, 3> parts{asio::buffer(first), asio::buffer(second),
                                                asio::buffer(third)};
  beast::buffers_suffix<std::array<asio::const_buffer, 3>> rest(parts);
  beast::error_code failed;
  const auto until
      = std::chrono::steady_clock::now() + std::chrono::microseconds(limits_.leave_time);
  while (!failed && asio::buffer_size(rest) > 0) {
    const auto left = std::chrono::duration_cast<std::chrono::microseconds>(
        until - std::chrono::steady_clock::now());
    if (left.count() <= 0) { // A sip now and then would hold the answer and its place for ever.
      failed = asio::error::timed_out;
      break;
    }
    deadline_.set(std::min<duration_us>(limits_.write_stall, left.count()));
    auto [ended, bytes] = co_await socket_.async_write_some(rest, as_values);
    failed = ended;
    rest.consume(bytes);
  }
  deadline_.clear();
  broken_ = broken_ || failed;
  co_return !broken_;
}

task<bool> connection::respond(const http_response& answer) {
  answered_ = true;
  keep_alive_ = keep_alive_ && !draining_;
  const auto head
      = render_head(answer, "Content-Length: " + std::to_string(answer.body.size()), keep_alive_);
  co_return co_await send(head, head_only_ ? std::string_view{} : std::string_view(answer.body));
}

void connection::begin_stream(http_response head) {
  answered_ = true;
  streaming_ = true;
  keep_alive_ = keep_alive_ && !draining_ && !http_1_0_;
  head.headers.emplace_back("Cache-Control", "no-store");
  held_head_ = render_head(head, http_1_0_ ? "" : "Transfer-Encoding: chunked", keep_alive_);
}

task<bool> connection::write(std::string_view piece) {
  if (piece.empty())
    co_return !broken_;
  if (head_only_) {
    const auto head = std::exchange(held_head_, {});
    co_return co_await send(head);
  }
  const auto lead = lead_of(piece.size());
  co_return co_await send(lead, piece, http_1_0_ ? "" : "\r\n");
}

/// What stands before a piece of a stream: a head that was held back, and the size of its chunk.
std::string connection::lead_of(std::size_t piece_bytes) {
  auto lead = std::exchange(held_head_, {});
  if (http_1_0_)
    return lead;
  std::array<char, 18> size{};
  const auto end = std::to_chars(size.data(), size.data() + size.size(), piece_bytes, 16).ptr;
  lead.append(size.data(), end).append("\r\n");
  return lead;
}

std::array<asio::const_buffer, 3> connection::outgoing::unsent() const {
  std::array<asio::const_buffer, 3> rest{asio::buffer(lead), asio::buffer(piece),
                                         asio::buffer(tail)};
  auto skipped = sent;
  for (auto& part : rest) {
    const auto passed = std::min(skipped, part.size());
    part += passed;
    skipped -= passed;
  }
  return rest;
}

bool connection::start_write(std::string& piece, std::function<void(bool)> done) {
  out_.lead = lead_of(piece.size());
  out_.piece.swap(piece);
  out_.tail = http_1_0_ ? "" : "\r\n";
  out_.sent = 0;
  const bool whole = send_now();
  if (whole)
    out_.piece.swap(piece); // Its room serves the next one.
  links::empty(piece, limits::kept_bytes_max);
  if (whole)
    return true;
  out_.done = std::move(done);
  if (broken_)
    asio::post(executor(),
               [self = shared_from_this()] { std::exchange(self->out_.done, {})(false); });
  else
    send_on();
  return false;
}

/// What the kernel takes at once, which mostly is all: a token is small. Returns: whether it was.
bool connection::send_now() {
  if (broken_)
    return false;
  beast::error_code failed;
  out_.sent += socket_.write_some(out_.unsent(), failed);
  broken_ = failed && failed != asio::error::would_block;
  return !failed && out_.sent == out_.bytes();
}

void connection::send_on() {
  deadline_.set(limits_.write_stall);
  socket_.async_write_some(out_.unsent(),
                           [self = shared_from_this()](auto failed, std::size_t bytes) {
                             auto& out = self->out_;
                             out.sent += bytes;
                             if (!failed && out.sent < out.bytes())
                               return self->send_on();
                             self->deadline_.clear();
                             self->broken_ = self->broken_ || failed;
                             std::exchange(out.done, {})(!self->broken_);
                           });
}

task<bool> connection::end_stream() {
  streaming_ = false;
  const auto lead = std::exchange(held_head_, {});
  co_return co_await send(lead, http_1_0_ || head_only_ ? "" : "0\r\n\r\n");
}

void connection::cut() {
  beast::error_code ignored;
  broken_ = true;
  socket_.close(ignored);
}

// --- from other threads ---

void connection::drain() {
  draining_ = true;
  asio::post(executor(), [self = shared_from_this()] {
    beast::error_code ignored;
    if (self->stage_ == stage::idle)
      self->socket_.close(ignored);
  });
}

void connection::stop_request() {
  asio::post(executor(), [self = shared_from_this()] { self->gone(gone_reason::stopping); });
}

void connection::give_way() {
  asio::post(executor(), [self = shared_from_this()] {
    beast::error_code ignored;
    if (self->stage_ != stage::serving)
      self->socket_.close(ignored);
  });
}

void connection::close() {
  draining_ = true;
  asio::post(executor(), [self = shared_from_this()] {
    beast::error_code ignored;
    self->broken_ = true;
    self->gone(gone_reason::client_left);
    self->socket_.close(ignored);
  });
}

} // namespace consort::gateway
