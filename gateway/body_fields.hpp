// SPDX-License-Identifier: Apache-2.0
#pragma once
/// What readers of JSON bodies share: members that may be absent, and failures that name a field.
/// Pure.

#include "gateway/errors.hpp"

#include <nlohmann/json.hpp>

namespace consort::gateway {

[[nodiscard]] inline std::string quoted(std::string_view field) {
  return "`" + std::string(field) + "`";
}
[[nodiscard]] inline api_error wrong_type(std::string_view field, std::string_view wanted) {
  return bad_request("invalid_type", quoted(field) + " must be " + std::string(wanted),
                     std::string(field));
}
[[nodiscard]] inline api_error wrong_value(std::string_view field, std::string_view wanted) {
  return bad_request("invalid_value", quoted(field) + " must be " + std::string(wanted),
                     std::string(field));
}
[[nodiscard]] inline api_error missing(std::string_view field) {
  return bad_request("missing_field", quoted(field) + " is required", std::string(field));
}

/// The member, or null when absent or JSON null (OpenAI clients send null for "default").
template <class Json>
[[nodiscard]] const Json* member(const Json& from, std::string_view field) {
  const auto found = from.find(field);
  return found == from.end() || found->is_null() ? nullptr : &*found;
}

} // namespace consort::gateway
