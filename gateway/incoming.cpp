// SPDX-License-Identifier: Apache-2.0
#include "gateway/incoming.hpp"

#include <boost/beast/core/string.hpp>

#include <algorithm>

namespace consort::gateway {

namespace beast = boost::beast;
namespace http = boost::beast::http;

namespace {

constexpr unsigned http_1_1 = 11;

struct target_parts {
  std::string_view host; ///< Empty = the target names none.
  std::string_view rest; ///< Path and query.
};

/// Servers take targets as proxies get them, too.
target_parts split_target(std::string_view target) {
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (!beast::iequals(target.substr(0, scheme.size()), scheme))
      continue;
    const auto from = target.substr(scheme.size());
    const auto end = std::min(from.find_first_of("/?"), from.size());
    return {from.substr(0, end), end == from.size() ? "/" : from.substr(end)};
  }
  return {{}, target};
}

std::string lower_case(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), [](unsigned char c) {
    return static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
  });
  return out;
}

api_error no_http(std::string what) {
  return bad_request("malformed_http", std::move(what));
}

} // namespace

std::optional<api_error> judge_head(const http::request_header<>& head) {
  const bool modern = head.version() >= http_1_1;
  const auto hosts = head.count(http::field::host);
  if (hosts > 1 || (modern && hosts == 0))
    return no_http("an HTTP/1.1 request has one Host header");
  if (const auto encoded = head.find(http::field::transfer_encoding); encoded != head.end()) {
    if (!modern)
      return no_http("HTTP/1.0 knows no Transfer-Encoding");
    if (!beast::iequals(encoded->value(), "chunked"))
      return api_error{.status = 501,
                       .code = "unknown_transfer_encoding",
                       .message = "Transfer-Encoding takes chunked only"};
  }
  const auto expect = head[http::field::expect];
  if (!expect.empty() && !beast::iequals(expect, "100-continue"))
    return api_error{
        .status = 417, .code = "expectation_failed", .message = "Expect takes 100-continue only"};
  return std::nullopt;
}

std::variant<http_request, api_error> convert(request_parser&& parser) {
  const bool keep_alive = parser.keep_alive();
  auto message = parser.release();
  http_request out;
  out.method = std::string(message.method_string());
  out.http_1_0 = message.version() < http_1_1;
  out.keep_alive = keep_alive;
  const auto target = split_target({message.target().data(), message.target().size()});
  const auto question = target.rest.find('?');
  auto path = percent_decode(target.rest.substr(0, question));
  if (!path || path->empty() || path->front() != '/')
    return no_http("the request target is not a path");
  out.path = std::move(*path);
  if (question != std::string_view::npos)
    out.query = std::string(target.rest.substr(question + 1));
  if (!target.host.empty())
    out.headers.emplace_back("host", target.host);
  for (const auto& field : message.base())
    if (target.host.empty() || field.name() != http::field::host)
      out.headers.emplace_back(lower_case({field.name_string().data(), field.name_string().size()}),
                               std::string(field.value()));
  out.body = std::move(message.body());
  return out;
}

api_error describe_read(beast::error_code failed, const limits::limit_set& limits) {
  if (failed == http::error::header_limit)
    return {.status = 431,
            .code = "headers_too_large",
            .message
            = "request line and headers exceed " + std::to_string(limits.header_bytes) + " bytes"};
  if (failed == http::error::body_limit)
    return {.status = 413,
            .code = "body_too_large",
            .message = "the body exceeds " + std::to_string(limits.body_bytes) + " bytes"};
  if (failed == http::error::buffer_overflow)
    return no_http("what stands beside the chunks of the body exceeds "
                   + std::to_string(limits::framing_bytes_max) + " bytes");
  return no_http("not a valid HTTP/1.1 request: " + failed.message());
}

} // namespace consort::gateway
