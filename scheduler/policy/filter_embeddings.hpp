// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Keeps devices whose runtime makes embeddings, when the request wants them.

#include "scheduler/policy/facts.hpp"

namespace consort::core::filters {

struct embeddings {
  static constexpr const char* name = "embeddings";
  static bool keeps(const candidate_facts& one) { return !one.embeddings_needed || one.embeddings; }
  static std::string reason(const candidate_facts&) { return "its runtime makes no embeddings"; }
};

} // namespace consort::core::filters
