// SPDX-License-Identifier: Apache-2.0
#include "node/byte_range.hpp"

#include <algorithm>
#include <charconv>

namespace consort::node {

namespace {

/// Takes a whole number off the front.
std::optional<std::uint64_t> take_number(std::string_view& text) {
  std::uint64_t value = 0;
  const auto [stop, status] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (status != std::errc{})
    return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(stop - text.data()));
  return value;
}

bool take_word(std::string_view& text, std::string_view word) {
  if (!text.starts_with(word))
    return false;
  text.remove_prefix(word.size());
  return true;
}

} // namespace

range_answer judge_range(std::string_view header, std::uint64_t size_bytes) {
  const range_answer whole{range_verdict::whole, {0, size_bytes}};
  const range_answer beyond{range_verdict::beyond, {}};
  if (!take_word(header, "bytes="))
    return whole;
  if (take_word(header, "-")) {
    const auto last = take_number(header);
    if (!last || !header.empty())
      return whole;
    const auto size = std::min(*last, size_bytes);
    return size == 0 ? beyond : range_answer{range_verdict::partial, {size_bytes - size, size}};
  }
  const auto begin = take_number(header);
  if (!begin || !take_word(header, "-"))
    return whole;
  const auto last = header.empty() ? std::optional<std::uint64_t>(UINT64_MAX) : take_number(header);
  if (!last || !header.empty() || *last < *begin)
    return whole;
  if (*begin >= size_bytes)
    return beyond;
  return {range_verdict::partial, {*begin, std::min(*last, size_bytes - 1) - *begin + 1}};
}

std::optional<content_range> parse_content_range(std::string_view header) {
  if (!take_word(header, "bytes "))
    return std::nullopt;
  const auto begin = take_number(header);
  if (!begin || !take_word(header, "-"))
    return std::nullopt;
  const auto last = take_number(header);
  if (!last || !take_word(header, "/"))
    return std::nullopt;
  const auto size = take_number(header);
  if (!size || !header.empty() || *last < *begin || *last >= *size)
    return std::nullopt;
  return content_range{{*begin, *last - *begin + 1}, *size};
}

std::string format_content_range(const byte_range& range, std::uint64_t size_bytes) {
  if (range.size == 0)
    return "bytes */" + std::to_string(size_bytes);
  return "bytes " + std::to_string(range.begin) + "-" + std::to_string(range.begin + range.size - 1)
         + "/" + std::to_string(size_bytes);
}

} // namespace consort::node
