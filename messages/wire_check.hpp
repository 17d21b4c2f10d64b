// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Meaning, which Cap'n Proto does not check: lengths, characters, counts and ranges. Used by the
/// codec only, in both directions, so that what is encoded can be decoded. The first violation is
/// kept and everything after it is harmless: a violating text reads as empty, a list as shorter.
/// One object per message; not thread-safe.

#include "messages/frame.hpp"
#include "messages/limits.hpp"

#include <concepts>

namespace consort::messages {

/// Whether these bytes are well-formed UTF-8 (no overlong forms, surrogates or values too high).
[[nodiscard]] bool is_utf8(std::string_view bytes);
/// The longest prefix of at most `bytes_max` bytes that ends at a character, with each byte that is
/// no UTF-8 replaced by `?`.
[[nodiscard]] std::string repaired(std::string_view bytes, std::size_t bytes_max);

class wire_check {
public:
  [[nodiscard]] bool ok() const { return why_.empty(); }
  /// Records a violation unless there is one already. `field` is `struct.field`.
  void fail(std::string_view field, std::string_view why);
  /// Requires: !ok().
  [[nodiscard]] error failure(frame_kind kind) const;

  /// An id of a node or device: 1 to name_bytes_max characters of letters, digits, `._/:@+-`.
  bool check_name(std::string_view text, std::string_view field);
  /// UTF-8 without control characters, at most `bytes_max`; may be empty.
  bool check_label(std::string_view text, std::string_view field,
                   std::size_t bytes_max = limits::label_bytes_max);
  /// Any UTF-8 of at most `bytes_max`; may be empty.
  bool check_text(std::string_view text, std::string_view field, std::size_t bytes_max);
  /// Any bytes, at most `bytes_max`.
  bool check_bytes(std::size_t bytes, std::string_view field, std::size_t bytes_max);
  /// Empty, or a SHA-256 in lower-case hex.
  bool check_digest(std::string_view text, std::string_view field);
  bool check_count(std::size_t count, std::size_t max, std::string_view field);

  /// Returns: the number, or `low` when it is out of range.
  template <std::integral T>
  T number(T value, T low, T high, std::string_view field) {
    if (low <= value && value <= high)
      return value;
    fail(field, "is out of range");
    return low;
  }
  /// A span of time that cannot be negative.
  duration_us duration(duration_us value, std::string_view field) {
    return number<duration_us>(value, 0, limits::duration_us_max, field);
  }
  /// A time or a signed span.
  time_us time(time_us value, std::string_view field) {
    return number<time_us>(value, -limits::duration_us_max, limits::duration_us_max, field);
  }

private:
  std::string why_; ///< `field why`.
};

} // namespace consort::messages
