// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Keeps endpoints whose free KV cache holds the whole request. An idle endpoint is kept: only the
/// engine knows whether a request is too long for it.

#include "scheduler/policy/facts.hpp"

namespace consort::core::filters {

struct kv {
  static constexpr const char* name = "kv";
  static bool keeps(const candidate_facts& one) {
    return !one.loaded || one.sequences_used == 0 || one.kv_need_tokens <= one.kv_free_tokens;
  }
  static std::string reason(const candidate_facts& one) {
    return "needs " + std::to_string(one.kv_need_tokens) + " KV tokens, has "
           + std::to_string(one.kv_free_tokens);
  }
};

} // namespace consort::core::filters
