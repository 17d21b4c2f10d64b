// SPDX-License-Identifier: Apache-2.0
// What `consort sim --out` leaves, and what it says at the end.
#include "cli/sim_command.hpp"
#include "cli/table.hpp"
#include "cli/version.hpp"
#include "scenarios/sim/engine_replay.hpp"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <ostream>

namespace consort::cli {

namespace {

namespace fs = std::filesystem;

result<done> write_result_file(const fs::path& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary);
  file << text;
  if (file.flush())
    return done{};
  return error{recovery::refuse, "failed",
               "cannot write " + path.string() + ": check --out and the free space"};
}

result<done> make_folder(const fs::path& folder) {
  std::error_code failed;
  fs::create_directories(folder, failed);
  if (!failed)
    return done{};
  return error{recovery::refuse, "failed",
               "cannot make " + folder.string() + ": " + failed.message()};
}

/// Of a folder's name; file systems have room for 255.
constexpr std::size_t folder_bytes_max = 200;

/// A label as a folder's name. One that is too long is cut, and `number` tells it from others.
std::string folder_name(std::string label, std::size_t number) {
  for (char& letter : label)
    if (letter == '/' || letter == ' ')
      letter = '_';
  if (label.size() <= folder_bytes_max)
    return label;
  return label.substr(0, folder_bytes_max) + "..._" + std::to_string(number);
}

result<done> write_run(const fs::path& folder, const sim::report_run& run) {
  const auto& summary = *run.summary;
  if (auto made = make_folder(folder); !made)
    return made;
  const sim::run_origin origin{version_text(), run.command};
  if (auto written = write_result_file(folder / "summary.json", sim::summary_json(summary, origin));
      !written)
    return written;
  if (summary.course)
    if (auto written = write_result_file(folder / "events.csv", sim::events_csv(*summary.course));
        !written)
      return written;
  return write_result_file(folder / "requests.csv", sim::requests_csv(summary));
}

} // namespace

result<done> write_results(const sim_options& wanted, const sim::scenario& plan, std::uint64_t seed,
                           const std::vector<sim::report_run>& runs, const std::string& best) {
  const fs::path folder(wanted.out_dir);
  for (std::size_t number = 0; number < runs.size(); ++number) {
    const auto& run = runs[number];
    const auto own = runs.size() > 1 ? folder / folder_name(run.label, number + 1) : folder;
    if (auto written = write_run(own, run); !written)
      return written;
  }
  std::vector<std::uint64_t> seeds;
  for (const auto& run : runs)
    seeds.push_back(run.summary->seed);
  const sim::report_head head{
      plan.name, plan.proves, seed_words(seeds), version_text(), command_line(wanted, seed), best};
  return write_result_file(folder / "report.html", sim::report_html(head, runs));
}

std::string replay_command(const sim_options& wanted, const sim::run_summary& summary,
                           const sweep_settings& settings) {
  sim_options one;
  one.path = wanted.path;
  // A run of an engine alone was made by no policy.
  if (summary.policy != sim::engine_only_word)
    one.policies = {summary.policy};
  for (const auto& [path, value] : settings)
    if (path != "seed") // Said as the run's seed.
      one.sweeps.push_back(path + "=" + value);
  return command_line(one, summary.seed);
}

void tell_notes(context& env, const sim::run_summary& summary, const std::string& label) {
  for (const auto& note : summary.notes)
    env.err << "consort: " << printable(label + "note: " + note) << '\n';
}

bool tell_verdict(context& env, const sim::run_summary& summary, const std::string& replay,
                  const std::string& label) {
  tell_notes(env, summary, label);
  if (summary.passed())
    return true;
  for (const auto& violation : summary.violations)
    env.err << "consort: " << printable(label + "violated " + violation) << '\n';
  for (const auto& miss : summary.misses)
    env.err << "consort: " << printable(label + "expectation missed: " + miss) << '\n';
  env.err << "consort: " << printable(label) << "replay with: " << replay << '\n';
  return false;
}

result<done> make_out_folder(const sim_options& wanted) {
  if (wanted.out_dir.empty())
    return done{};
  if (const auto made = make_folder(wanted.out_dir); !made)
    return usage_error("--out: " + made.failure().message);
  if (::access(wanted.out_dir.c_str(), W_OK | X_OK) != 0)
    return usage_error("--out: " + wanted.out_dir + " may not be written to");
  return done{};
}

} // namespace consort::cli
