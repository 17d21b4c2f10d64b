// SPDX-License-Identifier: Apache-2.0
#include "cli/sim_command.hpp"
#include "scenarios/sim/swarm.hpp"

#include <nlohmann/json.hpp>

#include <iomanip>
#include <ostream>

namespace consort::cli {

namespace {

void print(context& env, const sim::swarm_report& report, std::uint64_t first, double seconds) {
  env.out << "swarm of " << report.runs << " drawn scenarios, seeds " << first << " to "
          << first + report.runs - 1 << ", " << std::fixed << std::setprecision(1) << seconds
          << " s\n"
          << "  requests      " << report.requests << " submitted, " << report.finished
          << " finished, " << report.failed << " failed\n"
          << "  faults        " << report.faults << " struck, " << report.failovers
          << " failovers, " << report.resumes << " resumed mid-stream\n"
          << "  repeated      " << report.repeated << " runs twice, for the same digest\n"
          << "  violated      " << report.failures.size() << " seeds\n";
}

void print_json(context& env, const sim::swarm_report& report, std::uint64_t first) {
  nlohmann::ordered_json made;
  made["first_seed"] = first;
  made["runs"] = report.runs;
  made["requests"] = report.requests;
  made["finished"] = report.finished;
  made["failed"] = report.failed;
  made["faults"] = report.faults;
  made["failovers"] = report.failovers;
  made["resumes"] = report.resumes;
  made["repeated"] = report.repeated;
  made["violated"] = nlohmann::ordered_json::array();
  for (const auto& one : report.failures)
    made["violated"].push_back(
        {{"seed", one.seed}, {"violations", one.violations}, {"drawn", one.drawn}});
  env.out << made.dump(2) << '\n';
}

} // namespace

exit_code simulate_swarm(context& env, const sim_options& wanted) {
  sim::swarm_options options;
  options.first_seed = chosen_seed(wanted, std::nullopt);
  options.count = wanted.swarm;
  options.jobs = chosen_jobs(wanted);
  const auto began = std::chrono::steady_clock::now();
  sim::swarm_report report;
  {
    progress_line progress(env, "scenarios", wanted.swarm);
    options.on_progress = [&](const sim::swarm_report& so_far) { progress.show(so_far.runs); };
    report = sim::run_swarm(options);
  }
  const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - began;
  if (env.json())
    print_json(env, report, options.first_seed);
  else
    print(env, report, options.first_seed, spent.count());
  for (const auto& one : report.failures) {
    for (const auto& violation : one.violations)
      env.err << "consort: seed " << one.seed << " violated " << violation << '\n';
    env.err << "consort: drawn: " << one.drawn
            << "\nconsort: replay with: consort sim --swarm 1 --seed " << one.seed << '\n';
  }
  return report.failures.empty() ? exit_code::done : exit_code::failed;
}

} // namespace consort::cli
