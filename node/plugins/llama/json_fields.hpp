// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Reads typed, bounded fields of a JSON object that a stranger wrote. Absent and null are the same
/// (clients send null for "default"). The first fault is kept and names its field; later reads
/// still return their defaults, so a parser reads everything and asks once. Single-threaded.

#include "scheduler/result.hpp"

#include <nlohmann/json.hpp>

#include <cstdint>
#include <optional>
#include <string>

namespace consort::llama {

/// A request's own fault, under the code that programs look for.
[[nodiscard]] error invalid(std::string message);
[[nodiscard]] error unsupported(std::string message);

class json_fields {
public:
  /// Borrows `object`. Requires: it is a JSON object.
  explicit json_fields(const nlohmann::json& object) : object_(object) {}

  /// Returns: the field, or null when absent or null.
  [[nodiscard]] const nlohmann::json* find(const char* name) const;
  [[nodiscard]] double number(const char* name, double otherwise, double least, double most);
  [[nodiscard]] std::int64_t integer(const char* name, std::int64_t otherwise, std::int64_t least,
                                     std::int64_t most);
  [[nodiscard]] bool boolean(const char* name, bool otherwise);
  [[nodiscard]] std::string string(const char* name, std::string otherwise);

  /// Records a fault unless one is recorded already.
  void fail(error fault);
  [[nodiscard]] const std::optional<error>& fault() const { return fault_; }

private:
  const nlohmann::json& object_;
  std::optional<error> fault_;
};

/// Parses text that must be one JSON object; `what` names it in the failure.
[[nodiscard]] result<nlohmann::json> parse_object(std::string_view text, const char* what);

} // namespace consort::llama
