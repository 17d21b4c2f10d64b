// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Keeps devices that did not refuse for good to load all that they could run of the model.

#include "scheduler/policy/facts.hpp"

namespace consort::core::filters {

struct loads {
  static constexpr const char* name = "loads";
  static bool keeps(const candidate_facts& one) { return !one.load_barred; }
  static std::string reason(const candidate_facts& one) {
    return "did not load it"
           + (one.load_refused.empty() ? ", without a reason"
                                       : ": " + std::string(one.load_refused));
  }
};

} // namespace consort::core::filters
