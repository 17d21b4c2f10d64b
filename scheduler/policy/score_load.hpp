// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Sequences there now, waiting and foreign ones included, each counted as 1e9 whatever the
/// device's speed: what routers without a cost model balance.

#include "scheduler/policy/figures.hpp"

namespace consort::core::scores {

struct load {
  static constexpr const char* name = "load";
  static linear_score of(const endpoint_figures& at) {
    return {std::int64_t{at.running} * 1'000'000'000, 0, 0};
  }
};

} // namespace consort::core::scores
