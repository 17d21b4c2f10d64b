// SPDX-License-Identifier: Apache-2.0
#pragma once
/// One HTTP/1.1 request to a model server, on a connection of its own, and its answer piece by
/// piece. Used on one strand by one coroutine; cut() too. Every step has a limit.

#include "links/data_stream.hpp"
#include "links/lookup.hpp"
#include "links/task.hpp"
#include "node/limits.hpp"
#include "scheduler/result.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/buffer_body.hpp>
#include <boost/beast/http/parser.hpp>

#include <functional>
#include <optional>
#include <span>

namespace consort::node {

/// Where a server is.
struct server_address {
  std::string host;
  std::uint16_t port = 0;
  std::string prefix;       ///< Of every path; empty, or `/` and more.
  std::string base = "/v1"; ///< Stands for `/v1` of the protocol's paths.
  std::string key;          ///< Bearer token; empty = none. Never shown (key_mask.hpp).
  bool tls = false;
};

/// `http[s]://HOST:PORT[/PREFIX]`; the port may be left out, and a `/v1` at the end, which paths
/// have already, is. Returns: `bad_url` (refuse) for others.
[[nodiscard]] result<server_address> parse_server_url(const std::string& url);

/// A port of the loopback interface that is free now; its server takes it a moment later.
[[nodiscard]] result<std::uint16_t> free_loopback_port(boost::asio::io_context& io);

class server_http {
public:
  server_http(const boost::asio::any_io_executor& strand, const server_address& at);

  /// Where this server has what the OpenAI protocol calls `path`; others stay as they are.
  [[nodiscard]] std::string api(const std::string& path) const;

  /// Sends it and reads the answer's head. `body` empty = GET; `sent`: called once the server has
  /// it, before it says anything. Heads that come before the answer's own (100 Continue, 103 Early
  /// Hints) are passed over, up to limits::server_interim_heads_max within `head_us`. Returns: the
  /// status; `server_unreachable`, `server_broke_off` or `server_stalled` (retry elsewhere).
  links::task<result<unsigned>> ask(const std::string& path, const std::string& body,
                                    duration_us head_us, const std::function<void()>& sent = {});
  /// Returns: how many bytes of the body came; 0 = it is whole; the errors of ask().
  links::task<result<std::size_t>> read(std::span<char> into, duration_us silence_us);
  /// Up to `bytes_max` bytes of the body; less when it breaks off.
  links::task<std::string> read_text(std::size_t bytes_max, duration_us silence_us);
  [[nodiscard]] bool event_stream() const;
  /// Where a redirect leads; empty when the answer is none.
  [[nodiscard]] std::string location() const;
  /// The answer's headers as they came, once there is a head.
  [[nodiscard]] std::vector<std::pair<std::string, std::string>> headers() const;

  /// Ends what is under way with an error. May be called again.
  void cut();

private:
  using parser = boost::beast::http::response_parser<boost::beast::http::buffer_body>;
  links::task<boost::system::error_code> connect();
  links::task<boost::system::error_code> reach();
  void await_head();
  links::task<std::string> read_head(boost::system::error_code unsent);
  void hurry_acknowledgement();
  [[nodiscard]] error lost(const char* code, const std::string& why) const;

  const server_address& at_;
  links::data_stream stream_;
  links::name_lookup names_;
  links::moving_deadline deadline_;
  boost::beast::flat_buffer buffer_{limits::http_held_bytes_max};
  std::optional<parser> parser_; ///< Of one head and what follows it; never empty.
  bool cut_ = false;
  bool no_tls_ = false; ///< It was reached, and greeted in vain.
};

} // namespace consort::node
