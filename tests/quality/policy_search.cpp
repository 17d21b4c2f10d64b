// SPDX-License-Identifier: Apache-2.0
#include "tests/quality/policy_search.hpp"

#include "scheduler/prng.hpp"

#include <algorithm>
#include <limits>
#include <utility>

namespace consort::quality {

namespace {

/// So much dearer is what misses all promises than what keeps them: a search that may not pass
/// through what keeps too few gets nowhere.
constexpr double penalty = 30;

figures play(const std::vector<chip>& fleet, const std::vector<arrival>& arrivals, std::size_t skip,
             const assignment& to) {
  const auto* first = arrivals.data();
  return play_rule(
      fleet, arrivals,
      [&](const std::vector<engine>&, const arrival& one) {
        return to[static_cast<std::size_t>(&one - first)];
      },
      skip);
}

/// Moves some requests of a span elsewhere.
void move_some(core::prng& chance, std::size_t engines, std::size_t skip, assignment& to) {
  constexpr std::size_t before = 50, lengths = 8; // Spans of up to 128; what ran before matters.
  const auto from = skip - std::min(skip, before);
  const auto begin = from + chance.below(to.size() - from);
  const auto end = std::min(to.size(), begin + (std::size_t{1} << chance.below(lengths)));
  const auto target = chance.below(engines), source = chance.below(engines);
  const auto which = chance.below(3); // All of the span, all of one engine, a third of those.
  for (auto at = begin; at < end; ++at)
    if (which == 0 || (to[at] == source && (which == 1 || chance.below(3) == 0)))
      to[at] = target;
}

} // namespace

figures best_searched(const std::vector<chip>& fleet, const std::vector<arrival>& arrivals,
                      std::size_t skip, double slo_share, const std::vector<assignment>& starts,
                      std::size_t plays, std::uint64_t seed) {
  const auto cost = [&](const figures& of) {
    return of.joules * (1 + penalty * std::max(0., slo_share - of.slo_share));
  };
  core::prng chance(seed);
  figures best;
  assignment here;
  auto least = std::numeric_limits<double>::infinity();
  const auto consider = [&](const assignment& to) {
    const auto made = play(fleet, arrivals, skip, to);
    if (made.slo_share >= slo_share && (best.joules == 0 || made.joules < best.joules))
      best = made;
    return cost(made);
  };
  for (const auto& start : starts)
    if (const auto made = consider(start); made < least) {
      least = made;
      here = start;
    }
  for (std::size_t each = starts.size(); each < plays; ++each) {
    auto tried = here;
    move_some(chance, fleet.size(), skip, tried);
    if (const auto made = consider(tried); made <= least) {
      least = made;
      here = std::move(tried);
    }
  }
  return best;
}

} // namespace consort::quality
