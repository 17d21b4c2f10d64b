// SPDX-License-Identifier: Apache-2.0
// `consort sim SCENARIO --live`: once in virtual time, once with real processes, side by side.
#include "cli/live/plan.hpp"
#include "cli/live/report.hpp"
#include "cli/live/run.hpp"
#include "cli/sim_command.hpp"
#include "cli/table.hpp"
#include "cli/version.hpp"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <ostream>

namespace consort::cli {

namespace {

namespace fs = std::filesystem;

/// Of data, configuration and logs: below --out, where it stays, or in a temporary place, where it
/// stays when something went wrong.
class live_folder {
public:
  explicit live_folder(const std::string& out_dir) : own_(out_dir.empty()) {
    if (!own_) {
      path_ = fs::absolute(out_dir) / "processes";
      fs::remove_all(path_, failed_);
      fs::create_directories(path_, failed_);
      return;
    }
    auto pattern = (fs::temp_directory_path() / "consort-live-XXXXXX").string();
    const auto* made = ::mkdtemp(pattern.data());
    path_ = made == nullptr ? "" : made;
  }
  ~live_folder() {
    if (own_ && !kept_ && !path_.empty())
      fs::remove_all(path_, failed_);
  }
  live_folder(const live_folder&) = delete;
  live_folder& operator=(const live_folder&) = delete;

  [[nodiscard]] bool usable() const { return !failed_ && !path_.empty(); }
  void keep() { kept_ = true; }
  [[nodiscard]] std::string path() const { return path_.string(); }

private:
  fs::path path_;
  bool own_;
  bool kept_ = false;
  std::error_code failed_;
};

result<sim::run_summary> play_live(context& env, const sim_options& wanted,
                                   const sim::scenario& plan, const sim::run_options& options,
                                   const std::string& folder, std::string& partitions_by) {
  progress_line progress(env, "per cent of the arrivals, live", 100);
  const live::run_settings settings{{plan, fs::absolute(wanted.path).string(), folder,
                                     executable_path(), options.policy->value,
                                     env.options.log_level},
                                    options.seed,
                                    [&](std::uint32_t done_pm) { progress.show(done_pm / 10); },
                                    [&](duration_us spent, std::uint64_t left) {
                                      progress.show_settling(spent, plan.settle_us, left);
                                    },
                                    [&](const std::string& means) { partitions_by = means; }};
  return live::run(settings);
}

live::comparison_head head_of(const sim_options& wanted, const sim::run_summary& simulated,
                              const std::string& partitions_by) {
  return {simulated.scenario,
          simulated.seed,
          simulated.policy,
          version_text(),
          command_line(wanted, simulated.seed),
          partitions_by};
}

result<done> write_comparison(const sim_options& wanted, const sim::scenario& plan,
                              const live::comparison_head& head, const sim::run_summary& simulated,
                              const sim::run_summary& lived) {
  const auto cost = sim::cost_per_h(plan);
  const auto command = command_line(wanted, simulated.seed);
  if (auto written = write_results(
          wanted, plan, simulated.seed,
          {{"virtual", cost, &simulated, command}, {"live", cost, &lived, command}}, "");
      !written)
    return written;
  const auto path = fs::path(wanted.out_dir) / "comparison.json";
  std::ofstream file(path, std::ios::binary);
  file << live::comparison_json(head, live::compare(simulated, lived), simulated, lived);
  if (file.flush())
    return done{};
  return error{recovery::refuse, "failed",
               "cannot write " + path.string() + ": check --out and the free space"};
}

void show(context& env, const live::comparison_head& head, const sim::run_summary& simulated,
          const sim::run_summary& lived) {
  const auto rows = live::compare(simulated, lived);
  if (env.json()) {
    env.out << live::comparison_json(head, rows, simulated, lived);
    return;
  }
  if (!head.partitions_by.empty())
    env.out << "partitions by " << head.partitions_by << "\n";
  env.out << live::render_comparison(rows);
}

} // namespace

exit_code simulate_live(context& env, const sim_options& wanted) {
  auto plan = sim::load_scenario(wanted.path);
  if (!plan)
    return complain(env, plan.failure());
  const auto root = sim::load_scenario_tree(wanted.path);
  if (!root)
    return complain(env, root.failure());
  if (const auto why = live::why_not_live(*plan, *root, wanted.path))
    return complain(env, *why);
  if (const auto known = check_policies(wanted, *plan); !known)
    return complain(env, known.failure());
  if (const auto made = make_out_folder(wanted); !made)
    return complain(env, made.failure());
  // Answers go to stdout, and nothing else.
  spdlog::set_default_logger(spdlog::stderr_logger_mt("consort"));
  sim::run_options options;
  options.seed = chosen_seed(wanted, plan->seed);
  options.policy = chosen_policy(wanted, *plan);
  options.timeline = !wanted.out_dir.empty();
  if (!env.json())
    env.out << "scenario " << printable(plan->name) << ", seed " << options.seed << ", policy "
            << options.policy->value << ": in virtual time, then " << plan->nodes.size() + 2
            << " processes for " << plan->safety_us / sim::limits::second_us << " s\n"
            << origin_line(wanted, options.seed) << std::flush;
  const auto simulated = run_with_progress(env, *plan, options, ", in virtual time");
  if (simulated.input_failure)
    return complain(env, *simulated.input_failure);
  live_folder folder(wanted.out_dir);
  if (!folder.usable())
    return complain(env, {recovery::refuse, "failed",
                          "cannot make " + folder.path() + ": check --out and the free space"});
  std::string partitions_by;
  const auto lived = play_live(env, wanted, *plan, options, folder.path(), partitions_by);
  if (!lived) {
    // Whoever interrupts it knows why it ended.
    if (lived.failure().code != "interrupted") {
      folder.keep();
      env.err << "consort: what each process said is in " << folder.path() << "/logs\n";
    }
    return complain(env, lived.failure());
  }
  const auto head = head_of(wanted, simulated, partitions_by);
  show(env, head, simulated, *lived);
  if (!wanted.out_dir.empty())
    if (const auto written = write_comparison(wanted, *plan, head, simulated, *lived); !written)
      return complain(env, written.failure());
  const auto replay = command_line(wanted, options.seed);
  const bool well = tell_verdict(env, simulated, replay);
  if (tell_verdict(env, *lived, replay) && well)
    return exit_code::done;
  folder.keep();
  env.err << "consort: what each process said is in " << folder.path() << "/logs\n";
  return exit_code::failed;
}

} // namespace consort::cli
