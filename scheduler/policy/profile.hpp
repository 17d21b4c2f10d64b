// SPDX-License-Identifier: Apache-2.0
#pragma once
/// A policy's profile: which filters it asks beyond those that always hold, what each scorer
/// weighs, and how one of the scored candidates is picked. Lower scores win, ties go to the
/// endpoint in front. Pure values, made once when the core starts. docs/POLICIES.md says of each
/// built-in what it is for, with its formula.
///
///   score = sum over scorers of weight * scorer(candidate, request without its cached beginning)
///
/// To add a built-in: its line in profile.cpp and its section in docs/POLICIES.md.

#include "scheduler/policy/filters.hpp"
#include "scheduler/policy/scorers.hpp"
#include "scheduler/result.hpp"

#include <vector>

namespace consort::core {

enum class pick_kind : std::uint8_t {
  best,        ///< The lowest score.
  slo,         ///< The lowest score among those predicted to meet the SLO; if none, the fastest.
  random,      ///< Any that can start, all alike likely.
  turn,        ///< One after the other.
  two_choices, ///< The better of two drawn at random.
  prefix,      ///< Who holds most of the prompt; if nobody does, the lowest score.
};

/// A profile as configuration spells it.
struct profile_config {
  policy_name name;
  std::map<std::string, std::uint32_t> weights; ///< By scorer, 0 to weight_max; others are 0.
  std::vector<std::string> filters;             ///< Optional ones that it adds.
  std::string pick = "best";
  bool waits = true; ///< May wait for a busy candidate that is clearly better.
  friend bool operator==(const profile_config&, const profile_config&) = default;
};

inline constexpr std::uint32_t weight_max = 1'000;
inline constexpr std::int64_t wait_ns_max = term_ns_max / weight_max;
inline constexpr std::size_t profiles_max = 32; ///< Built-in and custom.

struct profile {
  policy_name name;
  scorer_weights weights{};
  std::uint32_t filters = required_filters; ///< Bit by filter_id.
  pick_kind pick = pick_kind::best;
  bool waits = false;
  bool late = false; ///< Sends no prompt where as much is to be read as keeps the engine busy.

  [[nodiscard]] std::uint16_t weight(scorer_id of) const {
    return weights[static_cast<std::size_t>(of)];
  }
  /// The candidate's score as a function of the request's size.
  [[nodiscard]] linear_score weigh(const endpoint_figures& at) const;
  /// A score at a time, the wait until the candidate is ready included.
  [[nodiscard]] std::int64_t at(const linear_score& score, std::int64_t prompt, std::int64_t output,
                                std::int64_t now_ns) const {
    const auto wait = wait_until(score.ready_ns, score.behind_ns, now_ns, wait_ns_max);
    return score.of(prompt, output) + wait * weight(scorer_id::queue);
  }
  /// Whether a decision by it looks for who holds the prompt's beginning: who is drawn, or next in
  /// turn, is so whatever it holds.
  [[nodiscard]] bool follows_prefixes() const {
    const bool scores = pick == pick_kind::best || pick == pick_kind::slo;
    return pick == pick_kind::prefix || (scores && weight(scorer_id::prefix) != 0);
  }
  /// Neither energy nor money is worth a wait to it.
  [[nodiscard]] bool weighs_time_alone() const {
    return weight(scorer_id::energy) == 0 && weight(scorer_id::money) == 0;
  }
  [[nodiscard]] bool has_optional_filters() const { return filters != required_filters; }
  /// Whether candidates can differ by it: it weighs something beside what is cached, which only
  /// takes off what others weigh, or draws.
  [[nodiscard]] bool tells_apart() const;
};

/// In the order of docs/POLICIES.md: the five of the mission, then baselines to compare with.
[[nodiscard]] const std::vector<profile>& builtin_profiles();
/// Their names.
[[nodiscard]] const std::vector<std::string>& policy_words();

/// Returns: the profile, or what is wrong with its name, a weight, a filter or the pick, with the
/// nearest known names.
[[nodiscard]] result<profile> profile_of(const profile_config& wanted);

/// Predicted finish: queue + setup + prefill + decode + exact, each as it is.
[[nodiscard]] linear_score finish_of(const endpoint_figures& at);
/// How long its queue takes from now on.
[[nodiscard]] inline std::int64_t queue_left(const endpoint_figures& at, std::int64_t now_ns) {
  return at.queue_ns + wait_until(at.ready_ns, at.behind_ns, now_ns, wait_ns_max);
}

/// Until one that cannot start it has room, beyond the queue that all meet there: its KV is full
/// although it has sequences left, say.
[[nodiscard]] inline std::int64_t room_in(const endpoint_figures& at) {
  return std::clamp<std::int64_t>(at.full_ns - at.queue_ns, 0, wait_ns_max);
}

} // namespace consort::core
