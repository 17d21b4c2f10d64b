// SPDX-License-Identifier: Apache-2.0
#include "scheduler/policy/scorers.hpp"

#include "scheduler/policy/score_crowding.hpp"
#include "scheduler/policy/score_decode.hpp"
#include "scheduler/policy/score_energy.hpp"
#include "scheduler/policy/score_exact.hpp"
#include "scheduler/policy/score_forgetting.hpp"
#include "scheduler/policy/score_load.hpp"
#include "scheduler/policy/score_money.hpp"
#include "scheduler/policy/score_prefill.hpp"
#include "scheduler/policy/score_prefix.hpp"
#include "scheduler/policy/score_queue.hpp"
#include "scheduler/policy/score_reading.hpp"
#include "scheduler/policy/score_setup.hpp"

#include <limits>
#include <type_traits>

namespace consort::core {

namespace {

/// All scorers, each as a type: what an endpoint scores is made anew whenever something happens
/// there, so that their formulas are not called through a pointer then.
template <class... Scorers>
struct scorer_list {
  static constexpr std::array<scorer, sizeof...(Scorers)> make() {
    std::uint8_t at = 0;
    return {scorer{scorer_id{at++}, Scorers::name, &Scorers::of}...};
  }
  /// Of those that count: factor and scorer. As a type: all formulas have the same, and handed over
  /// as such they were called through a pointer.
  template <class Use>
  static void each(const scorer_weights& weights, Use&& use) {
    std::size_t at = 0;
    ((weights[at] != 0 ? use(std::int64_t{weights[at]}, std::type_identity<Scorers>{}) : void(),
      ++at),
     ...);
  }
};

/// In the order of scorer_id.
using scorers_in_order
    = scorer_list<scores::queue, scores::setup, scores::prefill, scores::prefix, scores::decode,
                  scores::exact, scores::crowding, scores::energy, scores::money, scores::load,
                  scores::reading, scores::forgetting>;

} // namespace

const std::array<scorer, scorer_count>& all_scorers() {
  static constexpr auto table = scorers_in_order::make();
  return table;
}

namespace {

/// Up to here no weight brings a span near its bound, and nothing has to be divided to know it.
constexpr auto never_near = term_ns_max >> 16U;
static_assert(std::numeric_limits<scorer_weights::value_type>::max() < 1U << 16U);

} // namespace

linear_score weighted_sum(const scorer_weights& weights, const endpoint_figures& at) {
  linear_score sum;
  scorers_in_order::each(
      weights, [&]<class Scorer>(std::int64_t factor, std::type_identity<Scorer>) {
        const auto part = Scorer::of(at);
        // Spans near the bound mean "never", whatever they weigh.
        sum.ready_ns = std::max(sum.ready_ns, part.ready_ns);
        sum.behind_ns = std::max(sum.behind_ns, part.behind_ns);
        sum.fixed += part.fixed <= never_near ? part.fixed * factor
                                              : std::min(part.fixed, term_ns_max / factor) * factor;
        sum.fixed = std::min(sum.fixed, term_ns_max);
        sum.per_prompt = std::min(sum.per_prompt + part.per_prompt * factor, per_token_max);
        sum.per_output = std::min(sum.per_output + part.per_output * factor, per_token_max);
      });
  return sum;
}

} // namespace consort::core
