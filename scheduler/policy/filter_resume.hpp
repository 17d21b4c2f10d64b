// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Keeps runtimes that continue a stream begun elsewhere, when text was already sent.

#include "scheduler/policy/facts.hpp"

namespace consort::core::filters {

struct resume {
  static constexpr const char* name = "resume";
  static bool keeps(const candidate_facts& one) {
    return !one.resume_needed || one.resume != resume_support::none;
  }
  static std::string reason(const candidate_facts&) {
    return "its runtime cannot continue a stream begun elsewhere";
  }
};

} // namespace consort::core::filters
