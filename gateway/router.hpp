// SPDX-License-Identifier: Apache-2.0
#pragma once
/// The table of routes, and what happens to a request that matches none. One row per method and
/// path; /openapi.json is made from the same rows, so it cannot forget one.

#include "gateway/context.hpp"

#include <span>

namespace consort::gateway {

/// `rest` is what the pattern's `*` matched, percent-decoded; empty without one.
using route_handler = task<void> (*)(gateway_context& context, const http_request& request,
                                     const std::string& rest, exchange& out);

struct route {
  std::string_view method;  ///< GET also answers HEAD.
  std::string_view pattern; ///< A path; a last `*` matches one or more characters, slashes too.
  route_handler handle;
  std::string_view tag;
  std::string_view summary; ///< One line for /openapi.json.
};

[[nodiscard]] std::span<const route> routes();

/// Serves one request: the handler of its route, or 404, or 405 with Allow.
task<void> dispatch(gateway_context& context, const http_request& request, exchange& out);

} // namespace consort::gateway
