// SPDX-License-Identifier: Apache-2.0
#pragma once
/// What it costs those whose beginnings its cache forgets for the prompt that it reads: as much of
/// them as is asked for again, lately, of what it writes, is read once more, while all who run
/// there stand still. Where the cache is large enough for what comes, nothing.

#include "scheduler/policy/figures.hpp"

namespace consort::core::scores {

struct forgetting {
  static constexpr const char* name = "forgetting";
  static linear_score of(const endpoint_figures& at) {
    const auto read_ns = std::min(std::int64_t{at.batch} * at.prefill_ns, per_token_max);
    return {0, std::min(read_ns * at.forgets_pm / 1000, per_token_max), 0};
  }
};

} // namespace consort::core::scores
