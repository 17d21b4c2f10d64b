// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Energy charged to it: power above idle for the engine's time, shared by those who decode
/// together. A device whose power is unknown has a guess of its kind.

#include "scheduler/policy/figures.hpp"

namespace consort::core::scores {

struct energy {
  static constexpr const char* name = "energy";
  static linear_score of(const endpoint_figures& at) {
    const auto nj
        = [&](std::int64_t ns) { return std::min(ns * at.active_mw / 1000, per_token_max); };
    return {nj(at.first_ns), nj(at.prefill_ns),
            nj(at.itl_ns) / std::max<std::int64_t>(at.batch, 1)};
  }
};

} // namespace consort::core::scores
