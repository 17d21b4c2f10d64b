// SPDX-License-Identifier: Apache-2.0
#pragma once
/// The two documents that the gateway serves about itself. Pure.

#include "gateway/router.hpp"

namespace consort::gateway {

/// OpenAPI 3.1 of every route given.
[[nodiscard]] std::string openapi_document(std::span<const route> rows);
/// A page that shows the cluster's live state and how to use it; needs nothing but this server.
[[nodiscard]] std::string_view front_page_html();

} // namespace consort::gateway
