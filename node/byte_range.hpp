// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Byte ranges of HTTP (RFC 9110): what a request asks for, and what an answer says it is. Pure.

#include "scheduler/ids.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace consort::node {

/// `size` bytes from `begin`.
struct byte_range {
  std::uint64_t begin = 0;
  std::uint64_t size = 0;
  friend bool operator==(const byte_range&, const byte_range&) = default;
};

enum class range_verdict : std::uint8_t {
  whole,   ///< No range, or one that may be ignored: several, another unit, malformed.
  partial, ///< One range, cut to the size.
  beyond,  ///< Nothing of it exists.
};

struct range_answer {
  range_verdict verdict = range_verdict::whole;
  byte_range range; ///< What to send; of `beyond`, nothing.
};

/// A `Range` header over content of `size_bytes`.
[[nodiscard]] range_answer judge_range(std::string_view header, std::uint64_t size_bytes);

/// A `Content-Range` of an answer: `bytes 5-9/100`, and the whole size.
struct content_range {
  byte_range range;
  std::uint64_t size_bytes = 0;
};
[[nodiscard]] std::optional<content_range> parse_content_range(std::string_view header);
[[nodiscard]] std::string format_content_range(const byte_range& range, std::uint64_t size_bytes);

} // namespace consort::node
