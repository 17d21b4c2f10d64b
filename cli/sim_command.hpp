// SPDX-License-Identifier: Apache-2.0
#pragma once
/// What the ways to use `consort sim` share: options, how many runs at once, and the line that
/// shows how far they are. Private to the sim_*.cpp files. Single-threaded but for progress lines,
/// which one thread at a time writes.

#include "cli/context.hpp"
#include "scenarios/report/report.hpp"
#include "scenarios/sim/simulation.hpp"

#include <chrono>
#include <string>
#include <vector>

namespace consort::cli {

struct sim_options {
  std::string path;
  std::optional<std::uint64_t> seed;
  std::vector<std::string> policies; ///< Built-in ones, or profiles of the scenario.
  std::string out_dir;
  bool check = false;
  bool live = false;               ///< With real processes, too.
  std::uint64_t swarm = 0;         ///< Scenarios to draw; 0 = play the file.
  unsigned jobs = 0;               ///< 0 = one per core.
  std::vector<std::string> sweeps; ///< `nodes.gpu=1..16`.
  std::string find;                ///< `cheapest cluster with ...`; empty = none.
  double budget_per_h = 0;         ///< Of a found cluster, currency units; 0 = none.
};

/// Seed of the flag, else of the file, else drawn.
[[nodiscard]] std::uint64_t chosen_seed(const sim_options& wanted,
                                        const std::optional<std::uint64_t>& of_file);
[[nodiscard]] unsigned chosen_jobs(const sim_options& wanted);
/// Whether `--sweep FIELD=...` gives each run such a field of its own.
[[nodiscard]] bool sweeps(const sim_options& wanted, std::string_view field);
/// `seed 4`, or `seeds 4, 5` of runs that have several; of many the first ones and their number.
[[nodiscard]] std::string seed_words(const std::vector<std::uint64_t>& seeds);
/// The command line of this invocation, as a figure names what made it.
[[nodiscard]] std::string command_line(const sim_options& wanted, std::uint64_t seed);
/// A table's second line: `consort 0.1.0 by: consort sim ...`.
[[nodiscard]] std::string origin_line(const sim_options& wanted, std::uint64_t seed);

/// Of `--policy` with a scenario that has no scheduler.
[[nodiscard]] error no_policy_for_engines();
/// Whether the scenario has all profiles that `--policy` names; else an error with the nearest.
[[nodiscard]] result<done> check_policies(const sim_options& wanted, const sim::scenario& plan);
/// Of the flag, else of the file. Requires: check_policies() passed.
[[nodiscard]] policy_name chosen_policy(const sim_options& wanted, const sim::scenario& plan);

/// `done of all, ETA` on stderr, one line that changes, where that is a terminal; else nothing.
class progress_line {
public:
  progress_line(context& env, std::string what, std::uint64_t total);
  /// Erases the line.
  ~progress_line();
  void show(std::uint64_t done);
  /// Likewise where there may be fewer in all than was thought, and `share` of all is done,
  /// unfinished ones included.
  void show(std::uint64_t done, std::uint64_t total, double share);
  /// Of the liveness phase: nobody knows how long it takes, only how long at most.
  void show_settling(duration_us spent, duration_us most, std::uint64_t live);
  progress_line(const progress_line&) = delete;
  progress_line& operator=(const progress_line&) = delete;

private:
  using clock = std::chrono::steady_clock;
  [[nodiscard]] bool due();

  context& env_;
  std::string what_;
  std::uint64_t total_;
  clock::time_point began_ = clock::now();
  std::optional<clock::time_point> shown_;
};

/// A run in virtual time that shows how far it is, `what` behind `12 of 100 per cent of the
/// arrivals`.
[[nodiscard]] sim::run_summary run_with_progress(context& env, const sim::scenario& plan,
                                                 sim::run_options options, const std::string& what);

/// The folder of `--out`: report.html, and of each run summary.json, requests.csv and events.csv,
/// in a folder of its own when there are several.
[[nodiscard]] result<done> write_results(const sim_options& wanted, const sim::scenario& plan,
                                         std::uint64_t seed,
                                         const std::vector<sim::report_run>& runs,
                                         const std::string& best);
/// Fields of the file and the values that one run of a sweep gave them.
using sweep_settings = std::vector<std::pair<std::string, std::string>>;
/// The command that plays one run again, alone.
[[nodiscard]] std::string replay_command(const sim_options& wanted, const sim::run_summary& summary,
                                         const sweep_settings& settings);
/// What a run says of itself, on stderr, each line with the run's `label` in front.
void tell_notes(context& env, const sim::run_summary& summary, const std::string& label = {});
/// Its notes, what went wrong and the command that replays it, on stderr, each line with the run's
/// `label` in front. Returns: whether nothing did.
bool tell_verdict(context& env, const sim::run_summary& summary, const std::string& replay,
                  const std::string& label = {});
/// Makes the folder of `--out` before a run of hours is over. Returns: an error when it cannot be.
[[nodiscard]] result<done> make_out_folder(const sim_options& wanted);

/// Several policies, `--sweep` or `--find`.
exit_code simulate_what_if(context& env, const sim_options& wanted);
/// `--live`: in virtual time and with real processes, side by side.
exit_code simulate_live(context& env, const sim_options& wanted);
/// `--swarm`: plays drawn scenarios.
exit_code simulate_swarm(context& env, const sim_options& wanted);

} // namespace consort::cli
