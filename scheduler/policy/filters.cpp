// SPDX-License-Identifier: Apache-2.0
#include "scheduler/policy/filters.hpp"

#include "scheduler/policy/filter_adapters.hpp"
#include "scheduler/policy/filter_alive.hpp"
#include "scheduler/policy/filter_answers.hpp"
#include "scheduler/policy/filter_artifact.hpp"
#include "scheduler/policy/filter_breaker.hpp"
#include "scheduler/policy/filter_draining.hpp"
#include "scheduler/policy/filter_embeddings.hpp"
#include "scheduler/policy/filter_excluded.hpp"
#include "scheduler/policy/filter_format.hpp"
#include "scheduler/policy/filter_health.hpp"
#include "scheduler/policy/filter_kv.hpp"
#include "scheduler/policy/filter_loads.hpp"
#include "scheduler/policy/filter_local.hpp"
#include "scheduler/policy/filter_measured.hpp"
#include "scheduler/policy/filter_memory.hpp"
#include "scheduler/policy/filter_ranks.hpp"
#include "scheduler/policy/filter_remote.hpp"
#include "scheduler/policy/filter_resume.hpp"
#include "scheduler/policy/filter_selector.hpp"
#include "scheduler/policy/filter_sequences.hpp"
#include "scheduler/policy/filter_stages.hpp"
#include "scheduler/policy/filter_steady.hpp"

namespace consort::core {

namespace {

/// All filters, each as a type: asked without a call through a pointer, since every refusal that is
/// explained asks them in turn.
template <class... Filters>
struct filter_list {
  using table_type = std::array<filter, sizeof...(Filters)>;

  static constexpr table_type make() {
    std::uint8_t at = 0;
    return {filter{filter_id{at}, Filters::name, filter_id{at++} >= filter_id::local,
                   &Filters::keeps, &Filters::reason}...};
  }
  static filter_id first_refusal(const candidate_facts& one, std::uint32_t set) {
    std::uint8_t at = 0;
    const auto refuses = [&](bool (*keeps)(const candidate_facts&)) {
      return (set >> at & 1U) != 0 && !keeps(one);
    };
    const bool refused = ((refuses(Filters::keeps) || (++at, false)) || ...);
    return refused ? filter_id{at} : filter_id::passed;
  }
};

/// In the order of filter_id.
using filters_in_order
    = filter_list<filters::selector, filters::format, filters::adapters, filters::ranks,
                  filters::artifact, filters::loads, filters::embeddings, filters::answers,
                  filters::memory, filters::remote, filters::excluded, filters::alive,
                  filters::draining, filters::health, filters::breaker, filters::stages,
                  filters::resume, filters::sequences, filters::kv, filters::local, filters::steady,
                  filters::measured>;

} // namespace

const std::array<filter, static_cast<std::size_t>(filter_id::passed)>& all_filters() {
  static constexpr auto table = filters_in_order::make();
  return table;
}

filter_id first_refusal(const candidate_facts& one, std::uint32_t set) {
  return filters_in_order::first_refusal(one, set);
}

const char* word(filter_id id) {
  return id == filter_id::passed ? "" : all_filters()[static_cast<std::size_t>(id)].name;
}

} // namespace consort::core
