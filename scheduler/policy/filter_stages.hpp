// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Keeps devices whose stages, if it has any, both can work: each member takes work and has a
/// replica of the model that is open.

#include "scheduler/policy/facts.hpp"

namespace consort::core::filters {

struct stages {
  static constexpr const char* name = "stages";
  static bool keeps(const candidate_facts& one) { return one.stage_lacks.empty(); }
  static std::string reason(const candidate_facts& one) { return one.stage_lacks; }
};

} // namespace consort::core::filters
