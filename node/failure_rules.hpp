// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Which of a plugin's `failures` a tool's end fits: the first whose exit code and pattern are both
/// met. One for the rules of compilers, of servers, and for the samples that `plugin check` is
/// shown. Not synchronized; reads no clock.

#include "node/child_process.hpp"

#include <optional>
#include <regex>

namespace consort::node {

/// `Rule` has `exit` (optional, of a program that a signal ended 128 and its number, as shells say
/// it) and `match` (a pattern; empty = whatever it printed). The rules must outlive this.
template <class Rule>
class failure_rules {
public:
  /// Throws std::regex_error; what load_plugin_json() returned has no such pattern.
  explicit failure_rules(const std::vector<Rule>& rules) : rules_(&rules) {
    for (const auto& rule : rules)
      patterns_.emplace_back(
          rule.match.empty() ? std::nullopt : std::optional<std::regex>(rule.match), false);
  }

  /// A line that it printed.
  void hear(std::string_view line) {
    // The library's matcher recurses per character: the line is cut before it sees it.
    const std::string cut(line.substr(0, limits::pattern_line_bytes_max));
    for (auto& [pattern, seen] : patterns_)
      seen = seen || (pattern && std::regex_search(cut, *pattern));
  }

  /// `end`: how it ended; null: it still runs, and only what it printed counts. Null: no rule fits.
  [[nodiscard]] const Rule* fits(const child_exit* end) const {
    for (std::size_t at = 0; at < rules_->size(); ++at) {
      const auto& rule = (*rules_)[at];
      const bool exits = !rule.exit || (end != nullptr && code_of(*end) == *rule.exit);
      const bool said = rule.match.empty() ? end != nullptr : patterns_[at].second;
      if (exits && said)
        return &rule;
    }
    return nullptr;
  }

private:
  static constexpr int signal_base = 128;
  [[nodiscard]] static int code_of(const child_exit& end) {
    return end.signal != 0 ? signal_base + end.signal : end.code;
  }

  const std::vector<Rule>* rules_;
  std::vector<std::pair<std::optional<std::regex>, bool>> patterns_; ///< And whether a line fitted.
};

} // namespace consort::node
