// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Batch work that makes room for interactive work which would wait for it, on endpoints whose
/// engine can cancel. Both sides are told so by their explanations. Part of a decision: works on
/// the pass given. Deliberately knows no score: who frees a place is asked by what it would lose.

#include "scheduler/state.hpp"

namespace consort::core {

/// Code of an attempt that ended to make room, which is no failure and whose successor no retry;
/// and outcome of what is recorded of it for whoever asks.
inline constexpr const char* preempted_word = "preempted";

struct freed_place {
  index place = none; ///< none = nothing can or need be stopped.
  std::string words;  ///< Who was stopped there, for people.
};
/// Stops what gives an interactive request its room at an endpoint.
freed_place make_place(pass& p, index slot);

} // namespace consort::core
