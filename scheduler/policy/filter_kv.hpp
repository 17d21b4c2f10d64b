// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Keeps endpoints whose free KV cache holds the whole request. An idle endpoint is kept when its
/// cache holds the prompt: the answer may be shorter than its bound. A prompt that it cannot hold
/// would stop its engine for ever. Nor is one kept whose context is smaller than the request.

#include "scheduler/policy/facts.hpp"

namespace consort::core::filters {

struct kv {
  static constexpr const char* name = "kv";
  static bool keeps(const candidate_facts& one) {
    return !one.loaded
           || (!too_small(one) && !short_context(one)
               && (one.sequences_used == 0 || one.kv_need_tokens <= one.kv_free_tokens));
  }
  static bool too_small(const candidate_facts& one) {
    return one.kv_all_tokens != 0 && one.kv_least_tokens > one.kv_all_tokens;
  }
  /// Of the request, or of its prompt alone where that has a bound of its own.
  static bool short_context(const candidate_facts& one) {
    return one.context_all_tokens != 0 && one.context_least_tokens > one.context_all_tokens;
  }
  static std::string reason(const candidate_facts& one) {
    if (short_context(one) && one.context_of_prompt)
      return "its prompt has some " + std::to_string(one.context_least_tokens) + " tokens, "
             + std::to_string(one.context_all_tokens) + " at most may be there";
    if (short_context(one))
      return "it may come to " + std::to_string(one.context_least_tokens)
             + " tokens, its context has " + std::to_string(one.context_all_tokens);
    if (too_small(one))
      return "its prompt needs " + std::to_string(one.kv_least_tokens) + " KV tokens, it has "
             + std::to_string(one.kv_all_tokens) + " in all";
    return "needs " + std::to_string(one.kv_need_tokens) + " KV tokens, has "
           + std::to_string(one.kv_free_tokens);
  }
};

} // namespace consort::core::filters
