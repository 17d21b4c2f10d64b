// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Optional: asked only by profiles that name it. Keeps devices that report themselves healthy;
/// degraded ones are dropped too.

#include "scheduler/policy/facts.hpp"

namespace consort::core::filters {

struct steady {
  static constexpr const char* name = "steady";
  static bool keeps(const candidate_facts& one) { return one.health == device_health::healthy; }
  static std::string reason(const candidate_facts& one) {
    return "is degraded, and the profile wants healthy devices"
           + (one.health_reason.empty() ? "" : ": " + std::string(one.health_reason));
  }
};

} // namespace consort::core::filters
