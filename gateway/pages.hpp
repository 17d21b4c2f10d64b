// SPDX-License-Identifier: Apache-2.0
#pragma once
/// What the gateway serves about itself: its routes as OpenAPI, and the dashboard's files. Pure.

#include "gateway/router.hpp"

namespace consort::gateway {

/// OpenAPI 3.1 of every route given.
[[nodiscard]] std::string openapi_document(std::span<const route> rows);
/// A file of web/, compiled in. The dashboard needs nothing but the gateway that serves it.
struct web_page {
  std::string_view name;
  std::string_view text;
  [[nodiscard]] std::string_view content_type() const;
};

/// Returns: the file of that name, as long as the process lives; nullptr for names of none.
[[nodiscard]] const web_page* find_page(std::string_view name);

} // namespace consort::gateway
