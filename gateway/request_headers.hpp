// SPDX-License-Identifier: Apache-2.0
#pragma once
/// What a client asks for by header: device, policy, priority, deadline, wait, session, tenant and
/// request id. Pure. A malformed header is a 400 that names it and what it may hold.

#include "gateway/errors.hpp"
#include "scheduler/types.hpp"

#include <variant>

namespace consort::gateway {

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
};

[[nodiscard]] std::variant<request_options, api_error>
read_request_options(const http_request& from);

/// X-Request-Id when it has 1 to 128 printable ASCII characters; else empty.
[[nodiscard]] std::string usable_request_id(const http_request& from);

} // namespace consort::gateway
