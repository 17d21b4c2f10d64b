// SPDX-License-Identifier: Apache-2.0
#pragma once
/// HTTP messages as plain values, and the interface through which a handler answers. Handlers know
/// nothing of sockets; connection.cpp knows nothing of routes.

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>

#include <charconv>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace consort::gateway {

/// A coroutine of the gateway. GCC 12 copies temporaries inside a co_await expression bit by bit
/// and frees them twice (its bug 99576): coroutines here take references or plain values, and
/// callers name what they pass.
template <class T>
using task = boost::asio::awaitable<T>;

using header_list = std::vector<std::pair<std::string, std::string>>;

/// One whole request, within the limits. Owned by its connection while it is served.
struct http_request {
  std::string method; ///< As sent, upper case.
  std::string path;   ///< Percent-decoded, without the query.
  std::string query;  ///< After `?`, raw.
  bool http_1_0 = false;
  bool keep_alive = true;
  header_list headers; ///< Names in lower case, in order of arrival.
  std::string body;

  /// The first header of that lower-case name; nullopt when absent.
  [[nodiscard]] std::optional<std::string_view> header(std::string_view name) const;
};

struct http_response {
  unsigned status = 200;
  std::string content_type = "application/json";
  header_list headers = {};
  std::string body = {};
};

/// Why a request must end before its answer is complete.
enum class gone_reason { client_left, stopping };

/// The write side of one request. Used on the connection's strand only, by one coroutine. A handler
/// answers exactly once: respond(), or begin_stream() then write()s then end_stream().
class exchange {
public:
  virtual ~exchange() = default;
  /// Runs everything of this connection.
  [[nodiscard]] virtual boost::asio::any_io_executor executor() const = 0;
  /// `callback` runs on the strand when the client has left or the server stops; at once when that
  /// already happened. Empty = no longer interested. Must not destroy the exchange.
  virtual void on_gone(std::function<void(gone_reason)> callback) = 0;
  /// Sends a complete answer. Returns: false when the client could not be reached.
  virtual task<bool> respond(const http_response& answer) = 0;
  /// Holds a head back until the first write, so that both travel together.
  virtual void begin_stream(http_response head) = 0;
  /// Sends `piece` whole, within the stall limit. Returns: false when the client is gone or stalls;
  /// nothing can be sent afterwards.
  virtual task<bool> write(std::string_view piece) = 0;
  /// The same without waiting. Takes what is in `piece` and leaves it empty. Returns: whether the
  /// kernel took all of it at once; else `done` says on the strand how write() would have ended,
  /// and never before this returns. Keeps itself alive meanwhile. Requires: nothing else is being
  /// sent.
  virtual bool start_write(std::string& piece, std::function<void(bool)> done) = 0;
  virtual task<bool> end_stream() = 0;
  /// Ends the connection under whatever is being sent.
  virtual void cut() = 0;
  /// Whether anything of the answer has been sent or held back.
  [[nodiscard]] virtual bool answered() const = 0;
};

/// An answer with a body.
[[nodiscard]] http_response make_response(unsigned status, std::string body,
                                          std::string content_type = "application/json");
/// The reason phrase of a status; `Unknown` for others than ours.
[[nodiscard]] std::string_view reason_phrase(unsigned status);
/// Status line and headers with the blank line. `framing` is a complete header line such as
/// `Content-Length: 12`, or empty.
[[nodiscard]] std::string render_head(const http_response& answer, std::string_view framing,
                                      bool keep_alive);
/// Decodes %XX. Returns: nullopt when malformed or when it hides a zero byte.
[[nodiscard]] std::optional<std::string> percent_decode(std::string_view text);
/// The `name=value` of a query, decoded, in order; what has no `=` has an empty value. Returns:
/// nullopt as percent_decode().
using query_pairs = std::vector<std::pair<std::string, std::string>>;
[[nodiscard]] std::optional<query_pairs> split_query(std::string_view query);
/// All of the text, in decimal. Returns: nullopt when it is anything else, or does not fit.
template <class Number>
[[nodiscard]] std::optional<Number> decimal(std::string_view text) {
  Number made{};
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), made);
  if (failed != std::errc{} || end != text.data() + text.size())
    return std::nullopt;
  return made;
}

} // namespace consort::gateway
