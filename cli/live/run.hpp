// SPDX-License-Identifier: Apache-2.0
#pragma once
/// A scenario played by real processes in real time: the same arrivals, faults and observers as a
/// simulated run of the same seed, hence the same figures. Blocks for as long as the scenario
/// takes; leaves no process behind, whatever happens. One thread.

#include "cli/live/cluster.hpp"
#include "scenarios/sim/summary.hpp"

namespace consort::live {

struct run_settings {
  cluster_settings processes;
  std::uint64_t seed = 1;
  std::function<void(std::uint32_t)> on_progress; ///< Per mille of the safety phase.
  /// How much of the liveness phase is over, and how many requests have not ended.
  std::function<void(duration_us, std::uint64_t)> on_settling;
  /// All are up; what carries out partitions (cluster::partitions_by()).
  std::function<void(const std::string& partitions_by)> on_ready;
};

/// Errors: what did not start, `interrupted` after SIGINT or SIGTERM. A process that dies by itself
/// in the middle is a violation in the summary.
[[nodiscard]] result<sim::run_summary> run(const run_settings& wanted);

} // namespace consort::live
