// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Prompt tokens that the candidate's cache probably holds already: they are taken off the prompt
/// before anything else is computed, for every profile whose weight of it is not 0. The saving has
/// no part of its own to add.

#include "scheduler/policy/figures.hpp"

namespace consort::core::scores {

struct prefix {
  static constexpr const char* name = "prefix";
  static linear_score of(const endpoint_figures&) { return {}; }
};

} // namespace consort::core::scores
