// SPDX-License-Identifier: Apache-2.0
#include "cli/commands.hpp"
#include "scenarios/sim/simulation.hpp"
#include "scheduler/nearest_name.hpp"

#include <CLI/App.hpp>

#include <filesystem>
#include <fstream>
#include <memory>
#include <ostream>
#include <random>

namespace consort::cli {

namespace {

namespace fs = std::filesystem;

struct sim_options {
  std::string path;
  std::optional<std::uint64_t> seed;
  std::vector<std::string> policies;
  std::string out_dir;
  bool check = false;
};

std::uint64_t drawn_seed() {
  std::random_device source;
  return source();
}

result<done> write_file(const fs::path& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary);
  file << text;
  if (file.flush())
    return done{};
  return error{recovery::refuse, "failed",
               "cannot write " + path.string() + ": check --out and the free space"};
}

result<done> write_results(const sim_options& wanted, const sim::run_summary& summary,
                           bool several) {
  const auto folder
      = several ? fs::path(wanted.out_dir) / summary.policy : fs::path(wanted.out_dir);
  std::error_code failed;
  fs::create_directories(folder, failed);
  if (failed)
    return error{recovery::refuse, "failed",
                 "cannot make " + folder.string() + ": " + failed.message()};
  if (auto written = write_file(folder / "summary.json", sim::summary_json(summary)); !written)
    return written;
  return write_file(folder / "requests.csv", sim::requests_csv(summary));
}

std::string replay_command(const sim_options& wanted, const sim::run_summary& summary) {
  return "consort sim " + wanted.path + " --seed " + std::to_string(summary.seed) + " --policy "
         + summary.policy;
}

/// Runs once, and with --check a second time. Returns: whether all was well.
bool run_one(context& env, const sim_options& wanted, const sim::scenario& plan,
             sim::run_options options, sim::run_summary& summary) {
  const bool live = env.out_is_tty && !env.json();
  if (live)
    options.on_progress = [&env](std::uint32_t done_pm) {
      env.err << "\r  " << done_pm / 10 << "% " << std::flush;
    };
  summary = sim::run_scenario(plan, options);
  if (live)
    env.err << "\r       \r";
  if (summary.input_failure)
    return false;
  if (wanted.check && sim::run_scenario(plan, options).run_digest != summary.run_digest)
    summary.violations.emplace_back("digest: a second run of the same seed differs");
  env.out << (env.json() ? sim::summary_json(summary) : sim::render_summary(summary));
  if (summary.passed())
    return true;
  for (const auto& violation : summary.violations)
    env.err << "consort: violated " << violation << '\n';
  for (const auto& miss : summary.misses)
    env.err << "consort: expectation missed: " << miss << '\n';
  env.err << "consort: replay with: " << replay_command(wanted, summary) << '\n';
  return false;
}

exit_code simulate(context& env, const sim_options& wanted) {
  auto plan = sim::load_scenario(wanted.path);
  if (!plan)
    return complain(env, plan.failure());
  std::vector<policy_name> policies;
  for (const auto& word : wanted.policies)
    policies.push_back(*sim::parse_policy(word));
  if (policies.empty())
    policies.push_back(plan->policy);
  sim::run_options options;
  options.seed = wanted.seed ? *wanted.seed : plan->seed ? *plan->seed : drawn_seed();
  bool well = true;
  for (const auto& policy : policies) {
    options.policy = policy;
    if (!env.json())
      env.out << "scenario " << plan->name << ", seed " << options.seed << ", policy "
              << policy.value << ", " << plan->nodes.size() << " nodes, " << plan->faults.size()
              << " faults\n"
              << std::flush;
    sim::run_summary summary;
    well = run_one(env, wanted, *plan, options, summary) && well;
    if (summary.input_failure)
      return complain(env, *summary.input_failure);
    if (!wanted.out_dir.empty())
      if (const auto written = write_results(wanted, summary, policies.size() > 1); !written)
        return complain(env, written.failure());
  }
  return well ? exit_code::done : exit_code::failed;
}

} // namespace

void add_sim(CLI::App& root, context& env) {
  auto* command
      = root.add_subcommand("sim", "Play a scenario against the scheduler in virtual time");
  auto wanted = std::make_shared<sim_options>();
  command->add_option("SCENARIO", wanted->path, "Scenario file, e.g. scenarios/quickstart.json")
      ->required();
  command->add_option("--seed", wanted->seed, "Same seed, same run; else the file's, else drawn");
  command->add_option("--policy", wanted->policies, "One run for each policy")
      ->delimiter(',')
      ->check(CLI::IsMember(sim::policy_words()));
  command->add_option("--out", wanted->out_dir, "Folder for summary.json and requests.csv");
  command->add_flag("--check", wanted->check, "Run twice and compare the digests");
  command->callback(
      [&env, wanted] { env.action = [&env, wanted] { return simulate(env, *wanted); }; });
}

} // namespace consort::cli
