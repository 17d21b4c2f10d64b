// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Which of a plugin's `failures` a tool's end fits: the first whose exit code and pattern are both
/// met. One for the rules of compilers, of servers, and for the samples that `plugin check` is
/// shown. Not synchronized; reads no clock.

#include "node/child_process.hpp"
#include "node/pattern.hpp"

#include <optional>

namespace consort::node {

/// `Rule` has `exit` (optional, of a program that a signal ended 128 and its number, as shells say
/// it) and `match` (a pattern; empty = whatever it printed). The rules must outlive this.
template <class Rule>
class failure_rules {
public:
  /// Requires: the patterns are some, as load_plugin_json() makes sure; others fit nothing.
  explicit failure_rules(const std::vector<Rule>& rules) : rules_(&rules) {
    for (const auto& rule : rules) {
      auto made = pattern::compile(rule.match);
      patterns_.emplace_back(rule.match.empty() || !made ? std::nullopt
                                                         : std::optional<pattern>(*std::move(made)),
                             false);
    }
  }

  /// A line that it printed. Returns: empty; or that a rule's pattern was given up on it, in words,
  /// and from then on that rule fits nothing more: who prints much is not waited for each time.
  std::string hear(std::string_view line) {
    std::string given_up;
    for (std::size_t at = 0; at < patterns_.size(); ++at) {
      auto& [wanted, seen] = patterns_[at];
      if (seen || !wanted)
        continue;
      const auto match = wanted->search(line);
      seen = match.found;
      if (match.gave_up) {
        given_up = "failures/" + std::to_string(at) + "/match: " + given_up_words(line);
        wanted.reset();
      }
    }
    return given_up;
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
  std::vector<std::pair<std::optional<pattern>, bool>> patterns_; ///< And whether a line fitted.
};

} // namespace consort::node
