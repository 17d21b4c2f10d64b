// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Time until the model is loaded there, a compile included.

#include "scheduler/policy/figures.hpp"

namespace consort::core::scores {

struct setup {
  static constexpr const char* name = "setup";
  static linear_score of(const endpoint_figures& at) { return {at.setup_ns, 0, 0}; }
};

} // namespace consort::core::scores
