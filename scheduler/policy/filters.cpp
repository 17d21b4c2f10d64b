// SPDX-License-Identifier: Apache-2.0
#include "scheduler/policy/filters.hpp"

#include "scheduler/policy/filter_adapters.hpp"
#include "scheduler/policy/filter_alive.hpp"
#include "scheduler/policy/filter_artifact.hpp"
#include "scheduler/policy/filter_breaker.hpp"
#include "scheduler/policy/filter_draining.hpp"
#include "scheduler/policy/filter_embeddings.hpp"
#include "scheduler/policy/filter_excluded.hpp"
#include "scheduler/policy/filter_format.hpp"
#include "scheduler/policy/filter_health.hpp"
#include "scheduler/policy/filter_kv.hpp"
#include "scheduler/policy/filter_local.hpp"
#include "scheduler/policy/filter_measured.hpp"
#include "scheduler/policy/filter_memory.hpp"
#include "scheduler/policy/filter_ranks.hpp"
#include "scheduler/policy/filter_remote.hpp"
#include "scheduler/policy/filter_resume.hpp"
#include "scheduler/policy/filter_selector.hpp"
#include "scheduler/policy/filter_sequences.hpp"
#include "scheduler/policy/filter_steady.hpp"

namespace consort::core {

namespace {

template <class Filter>
constexpr filter make(filter_id id, bool optional = false) {
  return {id, Filter::name, optional, &Filter::keeps, &Filter::reason};
}

} // namespace

const std::array<filter, static_cast<std::size_t>(filter_id::passed)>& all_filters() {
  static constexpr std::array<filter, static_cast<std::size_t>(filter_id::passed)> table{
      make<filters::selector>(filter_id::selector),
      make<filters::format>(filter_id::format),
      make<filters::adapters>(filter_id::adapters),
      make<filters::ranks>(filter_id::ranks),
      make<filters::artifact>(filter_id::artifact),
      make<filters::embeddings>(filter_id::embeddings),
      make<filters::memory>(filter_id::memory),
      make<filters::remote>(filter_id::remote),
      make<filters::excluded>(filter_id::excluded),
      make<filters::alive>(filter_id::alive),
      make<filters::draining>(filter_id::draining),
      make<filters::health>(filter_id::health),
      make<filters::breaker>(filter_id::breaker),
      make<filters::resume>(filter_id::resume),
      make<filters::sequences>(filter_id::sequences),
      make<filters::kv>(filter_id::kv),
      make<filters::local>(filter_id::local, true),
      make<filters::steady>(filter_id::steady, true),
      make<filters::measured>(filter_id::measured, true),
  };
  return table;
}

filter_id first_refusal(const candidate_facts& one, std::uint32_t set) {
  for (const auto& each : all_filters())
    if ((set & bit_of(each.id)) != 0 && !each.keeps(one))
      return each.id;
  return filter_id::passed;
}

const char* word(filter_id id) {
  return id == filter_id::passed ? "" : all_filters()[static_cast<std::size_t>(id)].name;
}

} // namespace consort::core
