// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Keeps devices that take new work.

#include "scheduler/policy/facts.hpp"

namespace consort::core::filters {

struct draining {
  static constexpr const char* name = "draining";
  static bool keeps(const candidate_facts& one) { return !one.draining && !one.cordoned; }
  static std::string reason(const candidate_facts& one) {
    return one.draining ? "draining: it takes no new work" : "cordoned: it takes no new work";
  }
};

} // namespace consort::core::filters
