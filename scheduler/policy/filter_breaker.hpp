// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Keeps devices whose circuit breaker for this model admits an attempt.

#include "scheduler/policy/facts.hpp"

namespace consort::core::filters {

struct breaker {
  static constexpr const char* name = "breaker";
  static bool keeps(const candidate_facts& one) { return one.breaker_admits; }
  static std::string reason(const candidate_facts& one) {
    return "too many failures in a row; it will be tried again soon"
           + (one.breaker_error.empty() ? "" : ": " + std::string(one.breaker_error));
  }
};

} // namespace consort::core::filters
