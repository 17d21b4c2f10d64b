// SPDX-License-Identifier: Apache-2.0
#include "node/weights/web_client.hpp"

#include "links/lookup.hpp"
#include "links/task.hpp"
#include "scheduler/units.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/buffer_body.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/write.hpp>
#include <boost/beast/ssl/ssl_stream.hpp>
#include <boost/beast/version.hpp>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <vector>

namespace consort::node {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using links::as_values;
using links::task;

namespace {

using web_failure = std::optional<error>;

/// In words; of what was given up after that long, `late` and how long.
std::string why_ended(const boost::system::error_code& failed, const char* late, duration_us span) {
  return failed == beast::error::timeout ? late + format_duration(span) : failed.message();
}

/// One exchange with one server. Lives on an io_context that its caller runs.
class web_call {
public:
  web_call(asio::io_context& io, const web_request& wanted, const web_means& means,
           const web_sink& sink)
      : io_(io), wanted_(wanted), means_(means), sink_(sink), stop_look_(io) {}

  task<void> run() {
    if (wanted_.url.tls)
      outcome = co_await over_tls();
    else
      outcome = co_await over_tcp();
    stop_look_.cancel();
    done_ = true;
  }

  /// Looks now and then whether the caller wants an end of it.
  task<void> watch() {
    while (!done_ && means_.stop != nullptr) {
      stop_look_.expires_after(std::chrono::microseconds(limits::web_stop_look_us));
      co_await stop_look_.async_wait(as_values);
      if (!*means_.stop || done_)
        continue;
      stopped_ = true;
      io_.stop();
    }
  }
  [[nodiscard]] bool stopped() const { return stopped_; }

  web_head head;
  web_failure outcome;

private:
  [[nodiscard]] error unreachable(const std::string& why) const {
    return {recovery::retry_later, "web_unreachable", wanted_.url.authority() + ": " + why};
  }
  [[nodiscard]] error broken(const std::string& why) const {
    return {recovery::retry_later, "web_broken", wanted_.url.authority() + ": " + why};
  }

  task<web_failure> connect(beast::tcp_stream& stream) {
    links::name_lookup names(io_.get_executor());
    links::time_limit limit(io_.get_executor());
    limit.set(means_.limits.connect, [&names] { names.cancel(); });
    std::uint16_t port = 0;
    std::from_chars(wanted_.url.port.data(), wanted_.url.port.data() + wanted_.url.port.size(),
                    port);
    const auto where = co_await names.find(wanted_.url.host, port);
    limit.clear();
    if (where.failed)
      co_return unreachable(where.failed.message());
    stream.expires_after(std::chrono::microseconds(means_.limits.connect));
    const auto [refused, at] = co_await stream.async_connect(where.ends, as_values);
    if (refused)
      co_return unreachable(why_ended(refused, "no connection within ", means_.limits.connect));
    co_return std::nullopt;
  }

  task<web_failure> over_tcp() {
    beast::tcp_stream stream(io_);
    auto problem = co_await connect(stream);
    if (!problem)
      problem = co_await talk(stream, stream);
    co_return problem;
  }

  task<web_failure> over_tls() {
    asio::ssl::context trust(asio::ssl::context::tls_client);
    boost::system::error_code failed;
    if (means_.authorities.empty())
      trust.set_default_verify_paths(failed);
    else
      trust.load_verify_file(means_.authorities, failed);
    if (failed)
      co_return error{recovery::refuse, "tls_failed",
                      means_.authorities + ": no certificates of authorities: " + failed.message()};
    beast::ssl_stream<beast::tcp_stream> stream(io_, trust);
    stream.set_verify_mode(asio::ssl::verify_peer);
    stream.set_verify_callback(asio::ssl::host_name_verification(wanted_.url.host));
    SSL_set_min_proto_version(stream.native_handle(), TLS1_2_VERSION);
    SSL_set_tlsext_host_name(stream.native_handle(), wanted_.url.host.c_str());
    auto problem = co_await connect(stream.next_layer());
    if (problem)
      co_return problem;
    const auto [distrusted]
        = co_await stream.async_handshake(asio::ssl::stream_base::client, as_values);
    if (distrusted)
      co_return error{recovery::retry_later, "tls_failed",
                      wanted_.url.authority() + ": "
                          + why_ended(distrusted, "no TLS within ", means_.limits.connect)};
    problem = co_await talk(stream, stream.next_layer());
    co_return problem;
  }

  http::request<http::empty_body> question() const {
    http::request<http::empty_body> ask(wanted_.head ? http::verb::head : http::verb::get,
                                        wanted_.url.target, 11);
    ask.set(http::field::host, wanted_.url.authority());
    ask.set(http::field::user_agent, "consort");
    ask.set(http::field::accept_encoding, "identity");
    ask.set(http::field::connection, "close");
    if (!wanted_.token.empty())
      ask.set(http::field::authorization, "Bearer " + wanted_.token);
    if (wanted_.from == 0 && !wanted_.to)
      return ask;
    ask.set(http::field::range, "bytes=" + std::to_string(wanted_.from) + "-"
                                    + (wanted_.to ? std::to_string(*wanted_.to) : ""));
    if (!wanted_.etag.empty())
      ask.set(http::field::if_range, wanted_.etag);
    return ask;
  }

  template <class Stream>
  task<web_failure> talk(Stream& stream, beast::tcp_stream& clock) {
    const auto stall = std::chrono::microseconds(means_.limits.stall);
    const char* const silent = "nothing came for ";
    const auto ask = question();
    clock.expires_after(stall);
    const auto [unsent, sent] = co_await http::async_write(stream, ask, as_values);
    if (unsent)
      co_return unreachable(why_ended(unsent, silent, means_.limits.stall));
    beast::flat_buffer buffer(limits::web_held_bytes_max);
    http::response_parser<http::buffer_body> parser;
    parser.header_limit(static_cast<std::uint32_t>(limits::web_head_bytes_max));
    parser.body_limit(boost::none);
    parser.skip(wanted_.head);
    const auto [unread, size] = co_await http::async_read_header(stream, buffer, parser, as_values);
    if (unread)
      co_return unreachable(why_ended(unread, silent, means_.limits.stall));
    keep_head(parser.get());
    std::vector<char> piece(limits::web_piece_bytes);
    while (!parser.is_done()) {
      auto& body = parser.get().body();
      body.data = piece.data();
      body.size = piece.size();
      clock.expires_after(stall);
      auto [failed, count] = co_await http::async_read_some(stream, buffer, parser, as_values);
      const auto filled = piece.size() - body.size;
      if (filled > 0)
        if (auto refused = sink_(head, {piece.data(), filled}))
          co_return refused;
      if (failed && failed != http::error::need_buffer)
        co_return broken(failed == http::error::end_of_stream
                                 || failed == http::error::partial_message
                             ? "the answer ended early"
                             : why_ended(failed, silent, means_.limits.stall));
    }
    co_return std::nullopt;
  }

  void keep_head(const http::response<http::buffer_body>& answer) {
    head.status = answer.result_int();
    head.url = wanted_.url;
    for (const auto& field : answer) {
      std::string name(field.name_string().data(), field.name_string().size());
      std::transform(name.begin(), name.end(), name.begin(),
                     [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
      head.headers[name] = std::string(field.value().data(), field.value().size());
    }
  }

  asio::io_context& io_;
  const web_request& wanted_;
  const web_means& means_;
  const web_sink& sink_;
  asio::steady_timer stop_look_;
  bool done_ = false;
  bool stopped_ = false;
};

result<web_head> exchange_once(const web_request& wanted, const web_means& means,
                               const web_sink& sink) {
  asio::io_context io(1);
  web_call call(io, wanted, means, sink);
  asio::co_spawn(io, call.run(), asio::detached);
  asio::co_spawn(io, call.watch(), asio::detached);
  io.run();
  if (call.stopped())
    return error{recovery::retry_later, "web_stopped", "reading was stopped"};
  if (call.outcome)
    return *call.outcome;
  return std::move(call.head);
}

bool redirects(unsigned status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

} // namespace

result<web_head> web_exchange(const web_request& wanted, const web_means& means,
                              const web_sink& sink) {
  auto next = wanted;
  const web_sink unless_moved
      = [&sink](const web_head& head, std::string_view piece) -> std::optional<error> {
    return redirects(head.status) ? std::nullopt : sink(head, piece);
  };
  std::map<std::string, std::string> passed;
  for (std::size_t hop = 0; hop <= limits::web_redirects_max; ++hop) {
    auto answer = exchange_once(next, means, unless_moved);
    if (!answer)
      return answer;
    // What a hub says of a file, it says where it sends on to the file.
    for (const auto& [name, value] : passed)
      answer->headers.emplace(name, value);
    if (!redirects(answer->status))
      return answer;
    for (const auto& [name, value] : answer->headers)
      if (name.starts_with("x-linked-"))
        passed.emplace(name, value);
    auto moved = resolve_url(next.url, answer->header("location"));
    if (!moved)
      return moved.failure();
    if (next.url.tls && !moved->tls)
      return error{recovery::refuse, "web_redirects",
                   next.url.authority() + " leads from TLS to none: " + moved->authority()};
    if (!moved->same_origin(next.url)) {
      if (!wanted.foreign)
        return answer;
      next.token.clear();
    }
    next.url = *std::move(moved);
  }
  return error{recovery::refuse, "web_redirects",
               wanted.url.authority() + " leads on and on: more than "
                   + std::to_string(limits::web_redirects_max) + " redirects"};
}

result<web_text> web_read(const web_request& wanted, const web_means& means) {
  web_text out;
  auto answer = web_exchange(wanted, means, [&](const web_head& head, std::string_view piece) {
    std::optional<error> full;
    if (out.body.size() + piece.size() > limits::web_text_bytes_max)
      full = error{recovery::refuse, "web_too_large",
                   head.url.authority() + ": an answer of more than "
                       + std::to_string(limits::web_text_bytes_max) + " bytes"};
    out.body += piece;
    return full;
  });
  if (!answer)
    return answer.failure();
  out.head = *std::move(answer);
  return out;
}

} // namespace consort::node
