// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Keeps endpoints with a free sequence or a place in their short backlog, that did not say that
/// they are full.

#include "scheduler/policy/facts.hpp"

namespace consort::core::filters {

struct sequences {
  static constexpr const char* name = "sequences";
  static bool keeps(const candidate_facts& one) {
    return !one.loaded
           || (!one.full
               && (one.sequences_used + one.sequences_need <= one.sequences_max
                   || one.sequences_used == 0));
  }
  static std::string reason(const candidate_facts& one) {
    if (one.full)
      return "it takes nothing more"
             + (one.full_error.empty() ? "" : ": " + std::string(one.full_error));
    return std::to_string(one.sequences_used) + " of " + std::to_string(one.sequences_max)
           + " sequences in use";
  }
};

} // namespace consort::core::filters
