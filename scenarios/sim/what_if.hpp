// SPDX-License-Identifier: Apache-2.0
#pragma once
/// What-if: one scenario under several policies, sizes and settings, and the search for the best
/// cluster that keeps a promise. A case is the scenario's file with some values replaced, read
/// anew, so that whatever a file may say can be swept and is checked. Runs share nothing and go in
/// parallel; results are ordered by case, not by who was first. At most limits::sweep_runs_max.

#include "scenarios/sim/scenario.hpp"
#include "scenarios/sim/summary.hpp"
#include "scenarios/strict_json.hpp"

#include <functional>
#include <map>

namespace consort::sim {

/// One thing that changes: `nodes.gpu=1..16`, `workload[0].poisson=5/s,10/s`.
struct sweep_axis {
  std::string path; ///< `nodes.NAME` stands for the count of the group of that name.
  std::vector<std::string> values;
};

/// `A..B`, `A..B:STEP` or a comma list. Returns: an error that says what was expected.
[[nodiscard]] result<sweep_axis> parse_sweep(std::string_view text);

/// The file with one value replaced, or with one more where the file leaves the field out: whether
/// there is such a field is told when the file is read. `nodes.NAME` finds the group named `NAME`
/// or `NAME-{n}`; a count of 0 leaves it out. Returns: an error that names the nearest path.
[[nodiscard]] result<done> replace_value(strict_json::value& root, const std::string& path,
                                         const std::string& wanted);

/// One run of a what-if, and what became of it.
struct what_if_case {
  std::vector<std::pair<std::string, std::string>> settings; ///< Path and value, per axis.
  policy_name policy;
  scenario plan;
  double cost_per_h = 0;             ///< Of its nodes.
  std::optional<std::uint64_t> seed; ///< Where the sweep is over seeds; else all have the same.
  bool ran = false;
  run_summary summary; ///< Without its requests, unless they were asked for.

  [[nodiscard]] std::string label() const;
  /// Its label but for the seed, which is no choice.
  [[nodiscard]] std::string cluster() const;
};

/// Combinations of a sweep that are no cluster: no group of nodes is left.
struct empty_cases {
  std::size_t count = 0;
  std::string first; ///< Its settings, `PATH=VALUE`.
};

/// Every combination of axes and policies, in order, but for those without a node, which `empty`
/// counts. A fault on a node that the file, or the largest cluster of the sweep, has and the
/// combination lacks is left out of it, with a note in its plan. Returns: the first combination
/// that is no valid scenario as an error, since half a sweep would mislead.
[[nodiscard]] result<std::vector<what_if_case>> make_cases(const strict_json::value& root,
                                                           std::string_view origin,
                                                           const std::vector<sweep_axis>& axes,
                                                           const std::vector<policy_name>& policies,
                                                           empty_cases* empty = nullptr);

/// How far a what-if is.
struct what_if_progress {
  std::size_t finished = 0; ///< Runs.
  std::size_t most = 0;     ///< Runs that there will be; of a search, at most.
  double share = 0;         ///< Of all that is to be run, those under way included.
};

struct what_if_options {
  std::uint64_t seed = 1;
  unsigned jobs = 1;
  bool keep_requests = false;
  bool timelines = false;
  /// Called by one thread at a time, at the start, and as runs go on and finish.
  std::function<void(const what_if_progress&)> on_progress;
};

/// Which part of a what-if some runs are.
struct what_if_part {
  std::size_t before = 0; ///< Runs that are over.
  std::size_t most = 0;   ///< In all.
};

/// Runs the cases whose places are given.
void run_part(std::vector<what_if_case>& cases, const std::vector<std::size_t>& places,
              const what_if_options& wanted, const what_if_part& of);
/// Likewise where these are all.
void run_cases(std::vector<what_if_case>& cases, const std::vector<std::size_t>& places,
               const what_if_options& wanted);

/// `cheapest cluster with slo_attainment >= 0.99 and ttft_p99_ms <= 500`.
struct search_goal {
  bool fewest = false; ///< `smallest`: fewest devices; else by money.
  std::vector<scenario_expectation> wanted;
};
[[nodiscard]] result<search_goal> parse_goal(std::string_view text);
/// Whether a run kept the goal, and no checker was violated.
[[nodiscard]] bool keeps_goal(const run_summary& summary, const search_goal& goal);

/// What a search came to.
struct search_result {
  /// Place of the case; nothing when none does. Of several seeds the one that came nearest to a
  /// miss, as a share of a bound.
  std::optional<std::size_t> best;
  std::vector<std::size_t> best_runs; ///< Of that cluster, one per seed.
  std::size_t runs = 0;
  std::size_t no_better = 0;     ///< Not played: they cost as much as what was found, or more.
  std::size_t beyond_budget = 0; ///< Not played either.
};

/// The best cluster that keeps the goal within `budget_per_h` (0 = none), under every seed of the
/// sweep; of equally cheap ones the one with the fewest devices, of equally large ones the first.
/// Plays them in that order, each under all its seeds, `jobs` runs at a time (or one cluster's),
/// until one keeps the goal. A cluster is never ruled out by what another one did: more
/// devices may serve worse.
[[nodiscard]] search_result search_cases(std::vector<what_if_case>& cases, const search_goal& goal,
                                         double budget_per_h, const what_if_options& wanted);

/// The largest cluster of those that were played and missed the goal, or null.
[[nodiscard]] const what_if_case* largest_that_missed(const std::vector<what_if_case>& cases,
                                                      const search_goal& goal);

/// What whoever asked should know of the end of a search, a line each: whom the found cluster did
/// not serve and which faults it was spared; of one that found nothing, whether size matters, and
/// what loading has to do with it.
[[nodiscard]] std::vector<std::string> search_remarks(const std::vector<what_if_case>& cases,
                                                      const search_goal& goal,
                                                      const search_result& found);

/// The runs of one cluster under several seeds, and the mean of each figure over those that have
/// it.
struct seed_mean {
  std::vector<std::size_t> runs; ///< Their places.
  std::map<std::string, double> figures;
};
/// Of each cluster that was played under more than one seed, in order.
[[nodiscard]] std::vector<seed_mean> means_over_seeds(const std::vector<what_if_case>& cases);

/// What a search by money, or within a budget, counts as free since nobody said what it costs: a
/// line with what to write, or nothing.
[[nodiscard]] std::optional<std::string> unpriced_note(const std::vector<what_if_case>& cases);

} // namespace consort::sim
