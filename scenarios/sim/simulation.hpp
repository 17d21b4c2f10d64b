// SPDX-License-Identifier: Apache-2.0
#pragma once
/// One run of a scenario in virtual time: safety phase (arrivals and faults), then liveness phase
/// (everything healed, no arrivals, every request must end within `settle`). Same scenario, seed
/// and build: the same frames at the same times, hence the same digest. Single-threaded; runs share
/// nothing.

#include "scenarios/sim/scenario.hpp"
#include "scenarios/sim/summary.hpp"

#include <functional>

namespace consort::sim {

struct run_options {
  std::uint64_t seed = 1;
  std::optional<policy_name> policy;                 ///< Over the scenario's.
  bool timeline = false;                             ///< Keep what a report draws.
  std::uint64_t requests_max = limits::requests_max; ///< Fewer where a test reaches it.
  std::uint64_t steps_max = limits::steps_max;       ///< Likewise.
  /// Called now and then with per mille of the safety phase.
  std::function<void(std::uint32_t)> on_progress;
  /// Likewise in the liveness phase, with how much of it is over, and how many requests have not
  /// ended.
  std::function<void(duration_us, std::uint64_t)> on_settling;
};

/// The driver's violation of `steps_max`.
[[nodiscard]] std::string too_many_steps(std::uint64_t most, time_us now);

/// Runs to the end, or to the first violation of a checker.
[[nodiscard]] run_summary run_scenario(const scenario& plan, const run_options& options);

} // namespace consort::sim
