// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Time to write the expected answer, beside what runs there.

#include "scheduler/policy/figures.hpp"

namespace consort::core::scores {

struct decode {
  static constexpr const char* name = "decode";
  static linear_score of(const endpoint_figures& at) { return {0, 0, at.itl_ns}; }
};

} // namespace consort::core::scores
