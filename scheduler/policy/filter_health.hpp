// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Keeps devices whose own reading is not unhealthy; degraded ones stay.

#include "scheduler/policy/facts.hpp"

namespace consort::core::filters {

struct health {
  static constexpr const char* name = "health";
  static bool keeps(const candidate_facts& one) { return one.health != device_health::unhealthy; }
  static std::string reason(const candidate_facts& one) {
    return "is unhealthy: "
           + std::string(one.health_reason.empty() ? "its node gave no reason" : one.health_reason);
  }
};

} // namespace consort::core::filters
