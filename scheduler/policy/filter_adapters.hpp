// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Keeps devices whose runtime loads a model with its LoRA adapters. A model that has some is
/// placed nowhere else, even for requests that name none: one instance serves them all.

#include "scheduler/policy/facts.hpp"

namespace consort::core::filters {

struct adapters {
  static constexpr const char* name = "adapters";
  static bool keeps(const candidate_facts& one) { return one.adapters_run; }
  static std::string reason(const candidate_facts& one) {
    const bool some = one.adapters_max != 0 && one.adapters_need > one.adapters_max;
    return some ? "its runtime loads " + std::to_string(one.adapters_max) + " of "
                      + std::to_string(one.adapters_need) + " LoRA adapters"
                : std::string("its runtime loads no LoRA adapters with this format");
  }
};

} // namespace consort::core::filters
