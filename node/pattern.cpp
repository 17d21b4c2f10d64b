// SPDX-License-Identifier: Apache-2.0
#include "node/pattern.hpp"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>
#include <array>

namespace consort::node {

namespace {

/// The dialect that was documented before, ECMAScript's, where PCRE2 knows its rules; and what
/// would let a pattern choose for itself how text is read is forbidden.
constexpr std::uint32_t dialect = PCRE2_ALT_BSUX | PCRE2_MATCH_UNSET_BACKREF
                                  | PCRE2_ALLOW_EMPTY_CLASS | PCRE2_DOLLAR_ENDONLY | PCRE2_NEVER_UTF
                                  | PCRE2_NEVER_UCP | PCRE2_NEVER_BACKSLASH_C;

template <auto release>
struct releaser {
  template <class T>
  void operator()(T* thing) const {
    release(thing);
  }
};

using code_ptr = std::unique_ptr<pcre2_code, releaser<pcre2_code_free>>;
using compile_context_ptr
    = std::unique_ptr<pcre2_compile_context, releaser<pcre2_compile_context_free>>;
using match_context_ptr = std::unique_ptr<pcre2_match_context, releaser<pcre2_match_context_free>>;
using match_data_ptr = std::unique_ptr<pcre2_match_data, releaser<pcre2_match_data_free>>;

/// PCRE2 reads characters as unsigned bytes.
PCRE2_SPTR bytes_of(std::string_view text) {
  return reinterpret_cast<PCRE2_SPTR>(text.data()); // NOLINT: what its interface wants.
}

std::string words_of(int status) {
  constexpr std::size_t longest = 256; // As its documentation says.
  std::array<PCRE2_UCHAR, longest> said{};
  const int length = pcre2_get_error_message(status, said.data(), said.size());
  return {said.begin(), said.begin() + std::max(length, 0)};
}

} // namespace

struct pattern::compiled {
  code_ptr code;
  match_context_ptr bounds;
  std::uint32_t groups = 0;
};

result<pattern> pattern::compile(const std::string& text) {
  const compile_context_ptr rules(pcre2_compile_context_create(nullptr));
  auto made = std::make_shared<compiled>();
  made->bounds.reset(pcre2_match_context_create(nullptr));
  if (!rules || !made->bounds)
    return error{recovery::retry_later, "bad_pattern", "no memory for a regular expression"};
  pcre2_set_newline(rules.get(), PCRE2_NEWLINE_ANYCRLF); // What `.` leaves out.
  int status = 0;
  PCRE2_SIZE at = 0;
  made->code.reset(pcre2_compile(bytes_of(text), text.size(), dialect, &status, &at, rules.get()));
  if (!made->code)
    return error{recovery::refuse, "bad_pattern",
                 "not a regular expression at byte " + std::to_string(at) + ": "
                     + words_of(status)};
  pcre2_pattern_info(made->code.get(), PCRE2_INFO_CAPTURECOUNT, &made->groups);
  pcre2_set_match_limit(made->bounds.get(), limits::pattern_steps_max);
  pcre2_set_heap_limit(made->bounds.get(), limits::pattern_heap_kib_max);
  pcre2_set_depth_limit(made->bounds.get(), limits::pattern_depth_max);
  return pattern(std::move(made));
}

std::size_t pattern::groups() const {
  return code_->groups;
}

pattern_match pattern::search(std::string_view line) const {
  pattern_match out;
  const auto cut = line.substr(0, limits::pattern_line_bytes_max);
  const match_data_ptr data(pcre2_match_data_create_from_pattern(code_->code.get(), nullptr));
  const int status = !data ? PCRE2_ERROR_NOMEMORY
                           : pcre2_match(code_->code.get(), bytes_of(cut), cut.size(), 0, 0,
                                         data.get(), code_->bounds.get());
  out.found = status > 0;
  out.gave_up = status < 0 && status != PCRE2_ERROR_NOMATCH;
  if (!out.found)
    return out;
  const auto* const places = pcre2_get_ovector_pointer(data.get());
  for (std::size_t group = 0; group <= code_->groups; ++group) {
    const auto from = places[2 * group], to = places[2 * group + 1]; // NOLINT: a C array.
    const bool there = from != PCRE2_UNSET && from <= to; // `\K` in a lookahead: from is behind.
    out.groups.emplace_back(there ? cut.substr(from, to - from) : std::string_view{});
  }
  return out;
}

std::string given_up_words(std::string_view line) {
  constexpr std::size_t shown_bytes = 80;
  std::string shown;
  for (const char c : line.substr(0, shown_bytes))
    shown += c >= ' ' && c <= '~' ? c : '?';
  return "its regular expression needs more than " + std::to_string(limits::pattern_steps_max)
         + " steps, " + std::to_string(limits::pattern_depth_max) + " of them nested, or "
         + std::to_string(limits::pattern_heap_kib_max) + " KiB on the line `" + shown
         + "`: write it without a repetition inside a repetition";
}

} // namespace consort::node
