// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Time until it could start there: prefill ahead of it, or all work there when it is full.

#include "scheduler/policy/figures.hpp"

namespace consort::core::scores {

struct queue {
  static constexpr const char* name = "queue";
  static linear_score of(const endpoint_figures& at) {
    return {at.queue_ns, 0, 0, at.ready_ns, at.behind_ns};
  }
};

} // namespace consort::core::scores
