// SPDX-License-Identifier: Apache-2.0
#include "scheduler/policy/scorers.hpp"

#include "scheduler/policy/score_crowding.hpp"
#include "scheduler/policy/score_decode.hpp"
#include "scheduler/policy/score_energy.hpp"
#include "scheduler/policy/score_exact.hpp"
#include "scheduler/policy/score_load.hpp"
#include "scheduler/policy/score_money.hpp"
#include "scheduler/policy/score_prefill.hpp"
#include "scheduler/policy/score_prefix.hpp"
#include "scheduler/policy/score_queue.hpp"
#include "scheduler/policy/score_reading.hpp"
#include "scheduler/policy/score_setup.hpp"

namespace consort::core {

namespace {

template <class Scorer>
constexpr scorer scorer_of(scorer_id id) {
  return {id, Scorer::name, &Scorer::of};
}

} // namespace

const std::array<scorer, scorer_count>& all_scorers() {
  static constexpr std::array<scorer, scorer_count> table{
      scorer_of<scores::queue>(scorer_id::queue),
      scorer_of<scores::setup>(scorer_id::setup),
      scorer_of<scores::prefill>(scorer_id::prefill),
      scorer_of<scores::prefix>(scorer_id::prefix),
      scorer_of<scores::decode>(scorer_id::decode),
      scorer_of<scores::exact>(scorer_id::exact),
      scorer_of<scores::crowding>(scorer_id::crowding),
      scorer_of<scores::energy>(scorer_id::energy),
      scorer_of<scores::money>(scorer_id::money),
      scorer_of<scores::load>(scorer_id::load),
      scorer_of<scores::reading>(scorer_id::reading),
  };
  return table;
}

} // namespace consort::core
