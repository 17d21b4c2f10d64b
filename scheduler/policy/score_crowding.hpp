// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Time that it costs those who run there already: they stand still for its prefill, and each of
/// their tokens comes later by what one more sequence adds to the gap.

#include "scheduler/policy/figures.hpp"

namespace consort::core::scores {

struct crowding {
  static constexpr const char* name = "crowding";
  static linear_score of(const endpoint_figures& at) {
    const auto others = std::int64_t{at.batch} - 1;
    return {others * at.first_ns, std::min(others * at.prefill_ns, per_token_max),
            std::min(others * at.step_ns, per_token_max)};
  }
};

} // namespace consort::core::scores
