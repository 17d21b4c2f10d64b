// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Keeps devices whose runtime answers what the request asks for: its kind, and what its body wants
/// besides. Embeddings, which most runtimes do not make, have a filter of their own.

#include "scheduler/asks.hpp"
#include "scheduler/policy/facts.hpp"

namespace consort::core::filters {

struct answers {
  static constexpr const char* name = "answers";
  static bool keeps(const candidate_facts& one) { return one.unanswered == 0; }
  static std::string reason(const candidate_facts& one) {
    std::string words;
    for (const auto& each : asks::all)
      if ((one.unanswered & each.bit) != 0)
        words.append(words.empty() ? "" : ", ").append(each.said);
    return "its runtime does not answer " + words;
  }
};

} // namespace consort::core::filters
