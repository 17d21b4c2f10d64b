// SPDX-License-Identifier: Apache-2.0
#pragma once
/// The scorers by name. A profile's weights say what each adds to a candidate's score. To add one:
/// a small file like score_queue.hpp, its word here, and its line in scorers.cpp.

#include "scheduler/policy/figures.hpp"

#include <array>

namespace consort::core {

enum class scorer_id : std::uint8_t {
  queue,
  setup,
  prefill,
  prefix,
  decode,
  exact,
  crowding,
  energy,
  money,
  load,
  reading,
  forgetting,
  count ///< How many there are.
};
inline constexpr auto scorer_count = static_cast<std::size_t>(scorer_id::count);

struct scorer {
  scorer_id id = scorer_id::count;
  const char* name = "";
  linear_score (*of)(const endpoint_figures&) = nullptr;
};

/// All scorers, indexed by scorer_id.
[[nodiscard]] const std::array<scorer, scorer_count>& all_scorers();

/// What each counts for, by scorer_id; 0 = nothing.
using scorer_weights = std::array<std::uint16_t, scorer_count>;
/// Their sum for one candidate, every part within its bound.
[[nodiscard]] linear_score weighted_sum(const scorer_weights& weights, const endpoint_figures& at);

} // namespace consort::core
