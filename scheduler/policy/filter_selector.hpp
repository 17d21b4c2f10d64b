// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Keeps devices that the request's selector names.

#include "scheduler/policy/facts.hpp"

namespace consort::core::filters {

struct selector {
  static constexpr const char* name = "selector";
  static bool keeps(const candidate_facts& one) { return one.selected; }
  static std::string reason(const candidate_facts&) { return "not asked for by the selector"; }
};

} // namespace consort::core::filters
