// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Keeps devices whose runtime spans as many of them as an instance of the model needs.

#include "scheduler/policy/facts.hpp"

namespace consort::core::filters {

struct ranks {
  static constexpr const char* name = "ranks";
  static bool keeps(const candidate_facts& one) { return one.ranks_need <= one.ranks_max; }
  static std::string reason(const candidate_facts& one) {
    return "its runtime spans " + std::to_string(one.ranks_max) + " of "
           + std::to_string(one.ranks_need) + " devices";
  }
};

} // namespace consort::core::filters
