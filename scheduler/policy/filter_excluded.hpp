// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Keeps devices where no earlier attempt of this request failed.

#include "scheduler/policy/facts.hpp"

namespace consort::core::filters {

struct excluded {
  static constexpr const char* name = "excluded";
  static bool keeps(const candidate_facts& one) { return !one.excluded; }
  static std::string reason(const candidate_facts&) { return "an earlier attempt failed there"; }
};

} // namespace consort::core::filters
