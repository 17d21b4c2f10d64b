// SPDX-License-Identifier: Apache-2.0
#pragma once
/// What a host process prints: split into lines, logged up to a count, and the last ones kept for
/// the message of a death. Never interpreted. Lines are made harmless (control characters and bad
/// UTF-8 become `?`) and cut at limits::log_line_bytes_max. Not thread-safe.

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>

namespace consort::node {

class host_log {
public:
  /// `name` stands before each logged line, e.g. the device's id.
  explicit host_log(std::string name) : name_(std::move(name)) {}

  /// Takes bytes as they come from the pipe.
  void feed(std::string_view bytes);
  /// The last lines, an unfinished one included, joined with ` | `; empty when none.
  [[nodiscard]] std::string tail() const;
  [[nodiscard]] std::uint64_t lines_total() const { return lines_; }

private:
  void end_line();

  const std::string name_;
  std::string line_; ///< Unfinished; at most limits::log_line_bytes_max.
  std::deque<std::string> tail_;
  std::uint64_t lines_ = 0;
};

/// Whether the bytes are well-formed UTF-8: no overlong forms, no surrogates, none cut short.
[[nodiscard]] bool is_utf8(std::string_view bytes);

} // namespace consort::node
