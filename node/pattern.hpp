// SPDX-License-Identifier: Apache-2.0
#pragma once
/// A regular expression of a plugin, by PCRE2 without its compiler to machine code. What it may
/// cost is bounded: limits::pattern_steps_max of backtracking, limits::pattern_heap_kib_max of
/// memory, limits::pattern_depth_max of nesting, for each line that it is tried on; it never
/// recurses on the stack. Texts are bytes: no pattern turns UTF-8 on.
///
/// Immutable once compiled, and cheap to copy; may be used by several threads at once.

#include "node/limits.hpp"
#include "scheduler/result.hpp"

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace consort::node {

/// What came of trying a pattern on one line.
struct pattern_match {
  bool found = false;
  bool gave_up = false;            ///< A limit was hit: whether it matches is not known.
  std::vector<std::string> groups; ///< 0 = the whole match; empty for a group without a part in it.
};

class pattern {
public:
  /// Errors (`bad_pattern`, refuse) say what is wrong and at which byte of it, from 0.
  [[nodiscard]] static result<pattern> compile(const std::string& text);

  /// How many capture groups it has.
  [[nodiscard]] std::size_t groups() const;
  /// The first place of `line` that it matches. Of a line no more than
  /// limits::pattern_line_bytes_max is looked at.
  [[nodiscard]] pattern_match search(std::string_view line) const;

private:
  struct compiled;
  explicit pattern(std::shared_ptr<const compiled> code) : code_(std::move(code)) {}

  std::shared_ptr<const compiled> code_;
};

/// What is said of a line that was given up, for people: what happened and what to do.
[[nodiscard]] std::string given_up_words(std::string_view line);

} // namespace consort::node
