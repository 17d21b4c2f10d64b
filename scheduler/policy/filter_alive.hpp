// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Keeps devices whose node holds a lease and still advertises them.

#include "scheduler/policy/facts.hpp"

namespace consort::core::filters {

struct alive {
  static constexpr const char* name = "alive";
  static bool keeps(const candidate_facts& one) { return one.node_alive; }
  static std::string reason(const candidate_facts&) {
    return "its node is not known to be alive, no longer has it, or came and went too often lately";
  }
};

} // namespace consort::core::filters
