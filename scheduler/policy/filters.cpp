// SPDX-License-Identifier: Apache-2.0
#include "scheduler/policy/filters.hpp"

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
#include "scheduler/policy/filter_resume.hpp"
#include "scheduler/policy/filter_selector.hpp"
#include "scheduler/policy/filter_sequences.hpp"
#include "scheduler/policy/filter_steady.hpp"

namespace consort::core {

namespace {

template <class Filter>
constexpr filter make(filter_id id, bool is_static, bool optional = false) {
  return {id, Filter::name, is_static, optional, &Filter::keeps, &Filter::reason};
}

} // namespace

const std::array<filter, static_cast<std::size_t>(filter_id::passed)>& all_filters() {
  static constexpr std::array<filter, static_cast<std::size_t>(filter_id::passed)> table{
      make<filters::selector>(filter_id::selector, true),
      make<filters::format>(filter_id::format, true),
      make<filters::ranks>(filter_id::ranks, true),
      make<filters::artifact>(filter_id::artifact, true),
      make<filters::embeddings>(filter_id::embeddings, true),
      make<filters::memory>(filter_id::memory, true),
      make<filters::excluded>(filter_id::excluded, true),
      make<filters::alive>(filter_id::alive, false),
      make<filters::draining>(filter_id::draining, false),
      make<filters::health>(filter_id::health, false),
      make<filters::breaker>(filter_id::breaker, false),
      make<filters::resume>(filter_id::resume, false),
      make<filters::sequences>(filter_id::sequences, false),
      make<filters::kv>(filter_id::kv, false),
      make<filters::local>(filter_id::local, true, true),
      make<filters::steady>(filter_id::steady, false, true),
      make<filters::measured>(filter_id::measured, false, true),
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
