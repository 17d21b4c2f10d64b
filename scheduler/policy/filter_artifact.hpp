// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Keeps devices that need no artifact, or whose artifact exists or can be built.

#include "scheduler/policy/facts.hpp"

namespace consort::core::filters {

struct artifact {
  static constexpr const char* name = "artifact";
  static bool keeps(const candidate_facts& one) { return one.artifact_obtainable; }
  static std::string reason(const candidate_facts& one) {
    return "needs an artifact that nobody has and nobody can build"
           + (one.way_back.empty() ? "" : "; " + one.way_back);
  }
};

} // namespace consort::core::filters
