// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Keeps devices whose whole memory could hold their share of the model. Unknown memory is kept:
/// the node has the last word.

#include "scheduler/policy/facts.hpp"
#include "scheduler/units.hpp"

namespace consort::core::filters {

struct memory {
  static constexpr const char* name = "memory";
  static bool keeps(const candidate_facts& one) {
    return one.memory_bytes == 0 || one.memory_need_bytes <= one.memory_bytes;
  }
  static std::string reason(const candidate_facts& one) {
    return "needs " + format_size(one.memory_need_bytes) + " of " + format_size(one.memory_bytes);
  }
};

} // namespace consort::core::filters
