// SPDX-License-Identifier: Apache-2.0
#pragma once
/// What a client asks for by header: device, policy, priority, deadline, wait, session, tenant,
/// labels of its data, hedging and request id. Pure. A malformed header is a 400 that names it and
/// what it may hold; so is one of ours that does not exist, since whoever mistyped it relies on it.

#include "gateway/errors.hpp"
#include "scheduler/types.hpp"

#include <array>
#include <variant>

namespace consort::gateway {

/// Every `X-Consort-*` header of a request; others are refused.
inline constexpr std::array<std::string_view, 9> request_header_names{
    "X-Consort-Device",   "X-Consort-Policy", "X-Consort-Priority",
    "X-Consort-Deadline", "X-Consort-Wait",   "X-Consort-Tenant",
    "X-Consort-Labels",   "X-Consort-Hedge",  "X-Consort-Session"};

/// What a list of labels may hold, in words.
inline constexpr std::string_view labels_allowed
    = "1 to 8 labels joined by commas, such as local-only; each of lower-case letters, digits, `-`,"
      " `_` and `.`, beginning with a letter";

/// Defaults are those of a request without any header.
struct request_options {
  std::string external_id; ///< Empty = the client sent none that can be used.
  std::string selector = "auto";
  std::string session;
  tenant_id tenant;
  priority_class priority = priority_class::standard;
  std::optional<policy_name> policy;
  std::optional<duration_us> deadline_us;
  std::optional<duration_us> wait_us;
  std::vector<std::string> labels; ///< X-Consort-Labels.
  bool hedge = false;
};

/// `a, b` as a header or the body's `metadata.consort_labels` has it. Returns: the labels, or
/// nothing when one is malformed or there are too many.
[[nodiscard]] std::optional<std::vector<std::string>> parse_labels(std::string_view text);

[[nodiscard]] std::variant<request_options, api_error>
read_request_options(const http_request& from);

/// X-Request-Id when it has 1 to 128 printable ASCII characters; else empty.
[[nodiscard]] std::string usable_request_id(const http_request& from);

} // namespace consort::gateway
