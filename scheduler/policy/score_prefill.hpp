// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Time to read the prompt: what comes before any token, and tokens times what one takes.

#include "scheduler/policy/figures.hpp"

namespace consort::core::scores {

struct prefill {
  static constexpr const char* name = "prefill";
  static linear_score of(const endpoint_figures& at) { return {at.first_ns, at.prefill_ns, 0}; }
};

} // namespace consort::core::scores
