// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Swarm mode: a scenario drawn from a seed alone. Cluster, models, workload, limits, network and
/// faults are drawn, some kinds of fault switched off and others extreme, so that seeds meet in
/// states that nobody would write down. A pure function: the same seed and build give the same
/// scenario. A change of the draws gives seeds another meaning: tests/sim/regressions.txt says so.

#include "scenarios/sim/scenario.hpp"
#include "scenarios/sim/summary.hpp"

#include <functional>

namespace consort::sim {

/// Consistent by construction: whatever it draws, a scenario file could say.
[[nodiscard]] scenario draw_scenario(std::uint64_t seed);

/// What was drawn, in one line for people: cluster, limits, and every fault with its time.
[[nodiscard]] std::string describe_scenario(const scenario& plan);

/// A seed whose run was violated.
struct swarm_failure {
  std::uint64_t seed = 0;
  std::vector<std::string> violations;
  std::string drawn; ///< As describe_scenario() says it.
};

/// What a swarm amounts to.
struct swarm_report {
  std::uint64_t runs = 0;
  std::uint64_t requests = 0;
  std::uint64_t finished = 0;
  std::uint64_t failed = 0; ///< Requests that a failure took away for good.
  std::uint64_t faults = 0;
  std::uint64_t failovers = 0;
  std::uint64_t resumes = 0;
  std::uint64_t repeated = 0;          ///< Runs made twice, to compare their digests.
  std::vector<swarm_failure> failures; ///< By seed.
};

struct swarm_options {
  std::uint64_t first_seed = 1;
  std::uint64_t count = 1;
  unsigned jobs = 1;
  std::uint64_t repeat_every = 10; ///< One in so many runs is made twice.
  /// Called by one thread at a time, after each run.
  std::function<void(const swarm_report& so_far)> on_progress;
};

/// Runs seeds `first_seed`, `first_seed + 1` ... on `jobs` threads; each run is single-threaded and
/// shares nothing. Returns: the same report for every number of threads.
[[nodiscard]] swarm_report run_swarm(const swarm_options& wanted);

} // namespace consort::sim
