// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Penalty, in time, of resuming on another artifact or device model than before.

#include "scheduler/policy/figures.hpp"

namespace consort::core::scores {

struct exact {
  static constexpr const char* name = "exact";
  static linear_score of(const endpoint_figures& at) { return {at.exact_ns, 0, 0}; }
};

} // namespace consort::core::scores
