// SPDX-License-Identifier: Apache-2.0
#pragma once
/// What a parser read, as a request of ours, or why it is none. Whatever a proxy before us could
/// read in another way is refused (RFC 9112, 3 and 6), since two that disagree about where a
/// request ends let a client slip one past the first. Pure; knows no socket.

#include "gateway/errors.hpp"
#include "gateway/http.hpp"
#include "gateway/limits.hpp"

#include <boost/beast/http/message.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>

#include <variant>

namespace consort::gateway {

using request_parser = boost::beast::http::request_parser<boost::beast::http::string_body>;

/// Looks at a head before its body is read: one Host (HTTP/1.0 may go without), no encoding of the
/// transfer but `chunked`, no expectation but `100-continue`. Returns: nullopt when all is well.
[[nodiscard]] std::optional<api_error> judge_head(const boost::beast::http::request_header<>& head);

/// Takes a whole message. An absolute target (`http://HOST/PATH`) counts as its path, and its host
/// in place of the header. Returns: an error when the target is no path.
[[nodiscard]] std::variant<http_request, api_error> convert(request_parser&& parser);

/// What a failed read says to the client.
[[nodiscard]] api_error describe_read(boost::beast::error_code failed,
                                      const limits::limit_set& limits);

} // namespace consort::gateway
