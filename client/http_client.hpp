// SPDX-License-Identifier: Apache-2.0
#pragma once
/// A small blocking HTTP/1.1 client for one server: a call is one connection, every wait has a
/// timeout, nothing throws. Errors carry the exit code's word: `unreachable` when nobody answers,
/// `failed` when the answer broke off, `cancelled` when its caller stopped it. Not thread-safe.
/// Limit: answers of limits::response_bytes_max bytes.

#include "links/sse.hpp"
#include "scheduler/result.hpp"

#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <string>

namespace consort::transport {

/// Where a base URL points. Only `http` for now: TLS ends at the server's own listener.
struct http_target {
  std::string host;
  std::string port;
  std::string prefix; ///< Path of the base URL without its last slash, e.g. `/v1`.
};
/// Parses `http://HOST[:PORT][/PATH]`. Returns: an error of code `usage` when it is something else.
[[nodiscard]] result<http_target> parse_url(const std::string& url);

using http_headers = std::map<std::string, std::string>;

struct http_request {
  std::string method = "GET";
  std::string path; ///< Below the base URL, e.g. `/api/v1/nodes`.
  std::string body;
  http_headers headers;
};

struct http_answer {
  int status = 0;
  std::string body;     ///< Empty when it was an event stream.
  http_headers headers; ///< Names in lower case.
};

class http_client {
public:
  http_client(std::string base_url, std::string api_key);

  /// Sends and reads one whole answer, whatever its status; `timeout` bounds the answer.
  [[nodiscard]] result<http_answer> call(const http_request& request,
                                         std::chrono::milliseconds timeout);
  /// Sends and, when the answer is an event stream, hands over its events until it ends or
  /// `on_event` returns false; `gap` bounds each silence. Any other answer is returned whole.
  /// `*cancel` set, also by another thread, ends it within about limits::cancel_look, but while a
  /// name is looked up; `cancel` has to outlive the call.
  [[nodiscard]] result<http_answer> stream(const http_request& request,
                                           const links::sse_parser::handler& on_event,
                                           std::chrono::milliseconds gap,
                                           const std::atomic<bool>* cancel = nullptr);

  [[nodiscard]] const std::string& base_url() const { return base_url_; }

private:
  std::string base_url_;
  std::string api_key_;
};

} // namespace consort::transport
