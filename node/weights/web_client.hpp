// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Reads from web servers outside the cluster: HTTP/1.1, over TLS with the server's certificate
/// checked against the system's authorities (or one file of them). Redirects are followed, but
/// never from TLS to none, and what is secret is not shown to another host than the one it is for.
///
/// Blocks its caller, who sets `stop` to end it soon. No state: thread-safe.

#include "node/weights/limits.hpp"
#include "scheduler/result.hpp"

#include <atomic>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace consort::node {

/// A taken apart `http:` or `https:` address.
struct web_url {
  bool tls = false;
  std::string host; ///< Without brackets.
  std::string port; ///< Digits; the scheme's own when none was said.
  std::string target = "/";
  /// As in a Host header and in front of a target.
  [[nodiscard]] std::string authority() const;
  [[nodiscard]] std::string text() const;
  [[nodiscard]] bool same_origin(const web_url& other) const {
    return tls == other.tls && host == other.host && port == other.port;
  }
};

/// An address as messages and logs may have it: `***` for a name and password, and for whatever may
/// be part of one.
[[nodiscard]] std::string without_password(std::string_view text);

/// Errors (refuse): `bad_url`, which names what is wrong. Fragments are dropped.
[[nodiscard]] result<web_url> parse_url(std::string_view text);
/// Where a Location header leads from here.
[[nodiscard]] result<web_url> resolve_url(const web_url& from, std::string_view location);

struct web_request {
  web_url url;
  bool head = false;      ///< HEAD instead of GET.
  bool foreign = true;    ///< Follow redirects to other hosts.
  std::string token;      ///< A bearer token, for the host of `url` alone; may be empty.
  std::uint64_t from = 0; ///< First byte wanted.
  std::optional<std::uint64_t> to = {}; ///< Last byte wanted.
  std::string etag = {};                ///< The range counts only while the file is this one.
};

struct web_head {
  unsigned status = 0;
  std::map<std::string, std::string> headers; ///< Names in lower case.
  web_url url;                                ///< That answered.
  [[nodiscard]] const std::string& header(const std::string& name) const;
};

struct web_means {
  std::string authorities; ///< PEM file; empty = the system's.
  limits::web_set limits = {};
  const std::atomic<bool>* stop = nullptr; ///< May be null. Outlives the call.
};

/// Takes the next bytes of an answer's body; an error ends the exchange and is its outcome.
using web_sink = std::function<std::optional<error>(const web_head&, std::string_view)>;

/// One exchange, redirects included. Statuses are the caller's to judge; redirects that may not be
/// followed are answers. Errors: `bad_url`, `tls_failed`, `web_unreachable`, `web_broken` (a body
/// that ended early: what came before was handed on), `web_redirects`, `web_stopped`, the sink's.
[[nodiscard]] result<web_head> web_exchange(const web_request& wanted, const web_means& means,
                                            const web_sink& sink);

/// The same with the body kept, at most limits::web_text_bytes_max. Further error: `web_too_large`.
struct web_text {
  web_head head;
  std::string body;
};
[[nodiscard]] result<web_text> web_read(const web_request& wanted, const web_means& means);

} // namespace consort::node
