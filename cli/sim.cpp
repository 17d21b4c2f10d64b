// SPDX-License-Identifier: Apache-2.0
#include "cli/commands.hpp"
#include "cli/sim_command.hpp"
#include "cli/table.hpp"
#include "cli/version.hpp"

#include <CLI/App.hpp>

#include <algorithm>
#include <charconv>
#include <limits>
#include <memory>
#include <ostream>

namespace consort::cli {

namespace {

constexpr double budget_max = 1e9; ///< Per hour, in the currency of the file.

/// Runs once, and with --check a second time. Returns: whether all was well.
bool run_one(context& env, const sim_options& wanted, const sim::scenario& plan,
             const sim::run_options& options, sim::run_summary& summary) {
  summary = run_with_progress(env, plan, options, "");
  if (summary.input_failure)
    return false;
  bool same = false;
  if (wanted.check) {
    const auto again = run_with_progress(env, plan, options, ", the second time");
    same = again.run_digest == summary.run_digest;
    if (!same)
      summary.violations.emplace_back("digest: a second run of the same seed differs");
  }
  const auto replay = replay_command(wanted, summary, {});
  env.out << (env.json() ? sim::summary_json(summary, {version_text(), replay})
                         : sim::render_summary(summary));
  if (same && !env.json())
    env.out << "checked: two runs, the same digest\n";
  return tell_verdict(env, summary, replay);
}

exit_code simulate(context& env, const sim_options& wanted) {
  auto plan = sim::load_scenario(wanted.path);
  if (!plan)
    return complain(env, plan.failure());
  if (const auto known = check_policies(wanted, *plan); !known)
    return complain(env, known.failure());
  sim::run_options options;
  options.seed = chosen_seed(wanted, plan->seed);
  options.policy = chosen_policy(wanted, *plan);
  options.timeline = !wanted.out_dir.empty();
  if (plan->engine_only && !wanted.policies.empty())
    return complain(env, no_policy_for_engines());
  if (const auto made = make_out_folder(wanted); !made)
    return complain(env, made.failure());
  if (!env.json())
    env.out << "scenario " << printable(plan->name) << ", seed " << options.seed << ", "
            << (plan->engine_only ? "engine only" : "policy " + options.policy->value) << ", "
            << plan->nodes.size() << " nodes, " << plan->faults.size() << " faults\n"
            << origin_line(wanted, options.seed) << std::flush;
  sim::run_summary summary;
  const bool well = run_one(env, wanted, *plan, options, summary);
  if (summary.input_failure)
    return complain(env, *summary.input_failure);
  if (!wanted.out_dir.empty()) {
    const std::vector<sim::report_run> runs{
        {summary.policy, sim::cost_per_h(*plan), &summary, replay_command(wanted, summary, {})}};
    if (const auto written = write_results(wanted, *plan, options.seed, runs, ""); !written)
      return complain(env, written.failure());
  }
  return well ? exit_code::done : exit_code::failed;
}

/// Else `-1`, and whatever is beyond it, would be the largest number there is.
std::string is_seed(const std::string& text) {
  std::uint64_t number = 0;
  const auto [stop, status] = std::from_chars(text.data(), text.data() + text.size(), number);
  return status == std::errc{} && stop == text.data() + text.size()
             ? std::string()
             : "`" + text + "` is not a whole number from 0 to "
                   + std::to_string(std::numeric_limits<std::uint64_t>::max());
}

/// What an unset variable of a shell leaves is not what was meant.
std::string not_empty(const std::string& text) {
  return text.empty() ? "must not be empty" : std::string();
}

/// `nan` passes no comparison, hence every range.
std::string is_budget(const std::string& text) {
  double number = 0;
  const auto [stop, status] = std::from_chars(text.data(), text.data() + text.size(), number);
  const bool all = status == std::errc{} && stop == text.data() + text.size();
  return all && number > 0 && number <= budget_max
             ? std::string()
             : "`" + text + "` is not an amount above 0, at most 1000000000";
}

/// The first word that stands twice; nothing when none does.
std::optional<std::string> repeated(std::vector<std::string> words) {
  std::sort(words.begin(), words.end());
  const auto twice = std::adjacent_find(words.begin(), words.end());
  return twice == words.end() ? std::nullopt : std::optional(*twice);
}

/// What of the flags contradicts or repeats itself.
std::optional<error> objection_to(const sim_options& wanted) {
  if (const auto twice = repeated(wanted.policies))
    return usage_error("--policy: `" + *twice + "` is named twice");
  if (!wanted.policies.empty() && (sweeps(wanted, "policy") || sweeps(wanted, "scheduler.policy")))
    return usage_error("--policy: each run of `--sweep policy=...` has a policy of its own");
  if (wanted.seed && sweeps(wanted, "seed"))
    return usage_error("--seed: each run of `--sweep seed=...` has a seed of its own");
  if (wanted.budget_per_h > 0 && wanted.find.empty())
    return usage_error("--budget bounds a search: add --find 'cheapest cluster with ...'");
  return std::nullopt;
}

exit_code choose(context& env, const sim_options& wanted) {
  const bool many = wanted.policies.size() > 1 || !wanted.sweeps.empty() || !wanted.find.empty();
  if (wanted.swarm > 0
      && (many || !wanted.path.empty() || !wanted.policies.empty() || !wanted.out_dir.empty()
          || wanted.check || wanted.live))
    return complain(env, {recovery::refuse, "usage", "--swarm goes with --seed and --jobs only"});
  if (wanted.live && (many || wanted.check))
    return complain(env, {recovery::refuse, "usage",
                          "--live is for one run: it goes with --seed, --out and one --policy"});
  if (const auto wrong = objection_to(wanted))
    return complain(env, *wrong);
  if (many && wanted.check)
    return complain(env, {recovery::refuse, "usage", "--check is for one run"});
  if (wanted.swarm > 0)
    return simulate_swarm(env, wanted);
  if (wanted.path.empty())
    return complain(env, {recovery::refuse, "usage",
                          "name a scenario, e.g. scenarios/quickstart.json, or draw some with "
                          "--swarm 100"});
  if (wanted.live)
    return simulate_live(env, wanted);
  if (many)
    return simulate_what_if(env, wanted);
  return simulate(env, wanted);
}

} // namespace

void add_sim(CLI::App& root, context& env) {
  auto* command
      = root.add_subcommand("sim", "Play a scenario against the scheduler in virtual time");
  auto wanted = std::make_shared<sim_options>();
  command->add_option("SCENARIO", wanted->path, "Scenario file, e.g. scenarios/quickstart.json");
  command->add_option("--seed", wanted->seed, "Same seed, same run; else the file's, else drawn")
      ->check(CLI::Validator(is_seed, "", ""));
  command
      ->add_option("--policy", wanted->policies,
                   "One run for each: a built-in policy, or a profile of the scenario")
      ->delimiter(',');
  command
      ->add_option("--sweep", wanted->sweeps,
                   "Runs for every value: nodes.gpu=1..16 or workload[0].poisson=5/s,10/s")
      ->allow_extra_args(false);
  command
      ->add_option("--find", wanted->find,
                   "Best of the sweep: 'cheapest cluster with slo_attainment >= 0.99'")
      ->check(CLI::Validator(not_empty, "", ""));
  command
      ->add_option("--budget", wanted->budget_per_h, "Most that a found cluster may cost per hour")
      ->check(CLI::Validator(is_budget, "", ""));
  command->add_option("--swarm", wanted->swarm, "Draw so many scenarios and play them")
      ->check(CLI::Range(std::uint64_t{1}, std::uint64_t{sim::limits::swarm_runs_max}));
  command->add_option("--jobs", wanted->jobs, "Runs at a time; one per core unless given")
      ->check(CLI::Range(1U, 1'024U));
  command
      ->add_option("--out", wanted->out_dir,
                   "Folder for report.html, summary.json, requests.csv and events.csv")
      ->check(CLI::Validator(not_empty, "", ""));
  command->add_flag("--live", wanted->live,
                    "Also with real processes on this host, and both side by side");
  command->add_flag("--check", wanted->check, "Run twice and compare the digests");
  command->callback(
      [&env, wanted] { env.action = [&env, wanted] { return choose(env, *wanted); }; });
}

} // namespace consort::cli
