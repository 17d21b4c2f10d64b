// SPDX-License-Identifier: Apache-2.0
#pragma once
/// JSON (with `//` and `/* */` comments) as people write it in configuration and scenario files,
/// kept with the line of every value so that an error can name line and field. Owned by the parser
/// of one file. Limits: text_bytes_max, depth_max, values_max. Single-threaded; pure.

#include "scheduler/result.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace consort::strict_json {

inline constexpr std::size_t text_bytes_max = 4 * 1024 * 1024;
inline constexpr std::size_t depth_max = 32;
inline constexpr std::size_t values_max = 200'000; ///< Values of one file, nested ones included.

enum class kind : std::uint8_t { null, boolean, number, string, array, object };

/// One value and where it stands. Members keep the order of the file; their names are unique.
struct value {
  kind type = kind::null;
  std::uint32_t line = 0; ///< From 1: where the member's name, or else the value itself, stands.
  std::string path;       ///< Field as people write it: `nodes[0].count`; empty = the whole file.
  bool boolean = false;
  double number = 0;
  std::string text;
  std::vector<value> items;
  std::vector<std::pair<std::string, value>> members;

  [[nodiscard]] const value* find(std::string_view name) const;
};

/// Parses a whole file; the root must be an object. `origin` is the name used in errors.
[[nodiscard]] result<value> parse(std::string_view text, std::string_view origin);

/// Reads named fields of one object and remembers the first thing wrong, so that a caller can read
/// them all in a row and look once. Every accessor returns its fallback when the field is absent
/// (or wrong, after noting the error). Keeps references: object, origin and error outlive it.
class object_reader {
public:
  object_reader(const value& object, std::string_view origin, std::optional<error>& first_error);
  /// Checks for unknown keys, offering the nearest known ones. An unknown key is told rather than a
  /// missing one, which it often is, misspelt. Call after the last accessor.
  void finish();

  [[nodiscard]] const value* member(std::string_view name);
  [[nodiscard]] const value* array(std::string_view name);
  [[nodiscard]] const value* object(std::string_view name);
  [[nodiscard]] std::string text(std::string_view name, std::string fallback = {});
  [[nodiscard]] bool boolean(std::string_view name, bool fallback);
  [[nodiscard]] double number(std::string_view name, double fallback, double min, double max);
  [[nodiscard]] std::int64_t integer(std::string_view name, std::int64_t fallback, std::int64_t min,
                                     std::int64_t max);
  /// `250ms`, `10m`: microseconds.
  [[nodiscard]] std::int64_t duration(std::string_view name, std::int64_t fallback);
  /// `4GiB` or a bare number: bytes.
  [[nodiscard]] std::uint64_t size(std::string_view name, std::uint64_t fallback);
  /// An array of strings.
  [[nodiscard]] std::vector<std::string> texts(std::string_view name);
  /// Notes that a required field is missing.
  void require(std::string_view name);
  /// Notes that none of several fields is there, of which one is required: finish() tells a
  /// misspelt one instead.
  void fail_missing(const std::string& message);
  /// Notes an error about a field (or, with an empty name, about the object itself).
  void fail(std::string_view name, const std::string& message);

private:
  const value* typed(std::string_view name, kind wanted);

  const value& object_;
  std::string_view origin_;
  std::optional<error>& first_error_;
  std::vector<std::string> known_;
  bool noted_missing_ = false; ///< The first error is a missing field of this object.
};

/// `file:line: field: message`, as an error that refuses.
[[nodiscard]] error error_at(std::string_view origin, const value& where,
                             const std::string& message);

/// Applies `change` to every string of the tree; stops at its first error.
[[nodiscard]] result<done>
map_strings(value& root, std::string_view origin,
            const std::function<result<std::string>(const std::string&)>& change);

} // namespace consort::strict_json
