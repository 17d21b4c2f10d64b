// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Optional: asked only by profiles that name it. Keeps devices whose speed was learned from
/// limits::explore_samples attempts at least; asked only while there is such a one, see
/// policy_bars.hpp.

#include "scheduler/limits.hpp"
#include "scheduler/policy/facts.hpp"

namespace consort::core::filters {

struct measured {
  static constexpr const char* name = "measured";
  static bool keeps(const candidate_facts& one) {
    return !one.loaded || one.samples >= limits::explore_samples;
  }
  static std::string reason(const candidate_facts& one) {
    return "only " + std::to_string(one.samples) + " attempts were measured there";
  }
};

} // namespace consort::core::filters
