// SPDX-License-Identifier: Apache-2.0
#include "scenarios/sim/swarm.hpp"

#include "scenarios/sim/parallel.hpp"
#include "scenarios/sim/simulation.hpp"

#include <algorithm>
#include <mutex>

namespace consort::sim {

namespace {

struct swarm_run {
  run_summary summary;
  std::string drawn;
  std::size_t faults = 0;
  bool repeated = false;
};

swarm_run run_seed(std::uint64_t seed, bool twice) {
  const auto plan = draw_scenario(seed);
  run_options options;
  options.seed = seed;
  swarm_run done{run_scenario(plan, options), "", plan.faults.size(), twice};
  if (twice && run_scenario(plan, options).run_digest != done.summary.run_digest)
    done.summary.violations.emplace_back("digest: a second run of the same seed differs");
  if (!done.summary.violations.empty())
    done.drawn = describe_scenario(plan);
  return done;
}

void add(swarm_report& report, std::uint64_t seed, swarm_run done) {
  const auto figure
      = [&](const char* name) { return static_cast<std::uint64_t>(done.summary.figures.at(name)); };
  ++report.runs;
  report.requests += figure("requests");
  report.finished += figure("finished");
  report.failed += figure("failed");
  report.failovers += figure("failovers");
  report.resumes += figure("resumes");
  report.faults += done.faults;
  report.repeated += done.repeated ? 1 : 0;
  if (!done.summary.violations.empty())
    report.failures.push_back({seed, std::move(done.summary.violations), std::move(done.drawn)});
}

} // namespace

swarm_report run_swarm(const swarm_options& wanted) {
  swarm_report report;
  std::mutex one_at_a_time;
  run_parallel(wanted.count, wanted.jobs, [&](std::size_t number) {
    const auto seed = wanted.first_seed + number;
    const bool twice = wanted.repeat_every > 0 && number % wanted.repeat_every == 0;
    auto done = run_seed(seed, twice);
    const std::lock_guard lock(one_at_a_time);
    add(report, seed, std::move(done));
    if (wanted.on_progress)
      wanted.on_progress(report);
  });
  std::sort(report.failures.begin(), report.failures.end(),
            [](const auto& left, const auto& right) { return left.seed < right.seed; });
  return report;
}

} // namespace consort::sim
