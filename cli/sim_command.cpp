// SPDX-License-Identifier: Apache-2.0
#include "cli/sim_command.hpp"

#include "cli/version.hpp"
#include "scheduler/nearest_name.hpp"
#include "scheduler/units.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <ostream>
#include <random>
#include <thread>

namespace consort::cli {

namespace {

/// Between two looks of a line of progress.
constexpr std::chrono::milliseconds rewrite_every{100};
/// What came before says too little of what is left.
constexpr std::chrono::seconds estimate_after{1};
constexpr const char* erased = "\r\x1b[K";

/// As a shell reads it back: quoted where it must be.
std::string shell_word(const std::string& text) {
  constexpr std::string_view plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                     "0123456789_./=,:@%+-";
  if (!text.empty() && text.find_first_not_of(plain) == std::string::npos)
    return text;
  std::string made = "'";
  for (const char letter : text)
    made += letter == '\'' ? std::string("'\\''") : std::string(1, letter);
  return made + "'";
}

} // namespace

std::uint64_t chosen_seed(const sim_options& wanted, const std::optional<std::uint64_t>& of_file) {
  if (wanted.seed)
    return *wanted.seed;
  if (of_file)
    return *of_file;
  std::random_device source;
  return source();
}

unsigned chosen_jobs(const sim_options& wanted) {
  return wanted.jobs > 0 ? wanted.jobs : std::max(std::thread::hardware_concurrency(), 1U);
}

error no_policy_for_engines() {
  return {recovery::refuse, "usage",
          "--policy: an `engine_only` scenario has no scheduler that could follow one"};
}

result<done> check_policies(const sim_options& wanted, const sim::scenario& plan) {
  const auto known = strict_json::known_policies(plan.profiles);
  for (const auto& word : wanted.policies)
    if (std::find(known.begin(), known.end(), word) == known.end())
      return usage_error("--policy: unknown policy `" + word + "`"
                         + did_you_mean_or_list(word, known));
  return done{};
}

policy_name chosen_policy(const sim_options& wanted, const sim::scenario& plan) {
  return wanted.policies.empty() ? plan.policy : policy_name{wanted.policies.front()};
}

bool sweeps(const sim_options& wanted, std::string_view field) {
  return std::any_of(wanted.sweeps.begin(), wanted.sweeps.end(), [&](const std::string& one) {
    return one.starts_with(field) && one.substr(field.size()).starts_with('=');
  });
}

std::string seed_words(const std::vector<std::uint64_t>& seeds) {
  constexpr std::size_t named_max = 8;
  std::vector<std::uint64_t> each;
  for (const auto seed : seeds)
    if (std::find(each.begin(), each.end(), seed) == each.end())
      each.push_back(seed);
  std::string words;
  for (std::size_t place = 0; place < std::min(each.size(), named_max); ++place)
    words += (place == 0 ? "" : ", ") + std::to_string(each[place]);
  if (each.size() > named_max)
    words += " and " + std::to_string(each.size() - named_max) + " more";
  return (each.size() == 1 ? "seed " : "seeds ") + words;
}

std::string command_line(const sim_options& wanted, std::uint64_t seed) {
  std::string made = "consort sim";
  if (!wanted.path.empty())
    made += " " + shell_word(wanted.path);
  if (!sweeps(wanted, "seed"))
    made += " --seed " + std::to_string(seed);
  for (const auto& policy : wanted.policies)
    made += (&policy == &wanted.policies.front() ? " --policy " : ",") + shell_word(policy);
  if (wanted.live)
    made += " --live";
  for (const auto& sweep : wanted.sweeps)
    made += " --sweep " + shell_word(sweep);
  if (!wanted.find.empty())
    made += " --find " + shell_word(wanted.find);
  if (wanted.budget_per_h > 0) {
    std::array<char, 32> text{};
    std::snprintf(text.data(), text.size(), "%.17g", wanted.budget_per_h);
    made += std::string(" --budget ") + text.data();
  }
  return made;
}

std::string origin_line(const sim_options& wanted, std::uint64_t seed) {
  return std::string("consort ") + version_text() + " by: " + command_line(wanted, seed) + "\n";
}

progress_line::progress_line(context& env, std::string what, std::uint64_t total)
    : env_(env), what_(std::move(what)), total_(total) {}

progress_line::~progress_line() {
  if (shown_)
    env_.err << erased << std::flush;
}

/// Whether it is time for another look; notes that it was shown.
bool progress_line::due() {
  const auto now = clock::now();
  if (!env_.err_is_tty || (shown_ && now - *shown_ < rewrite_every))
    return false;
  shown_ = now;
  return true;
}

void progress_line::show(std::uint64_t done) {
  show(done, total_, static_cast<double>(done) / static_cast<double>(total_));
}

void progress_line::show(std::uint64_t done, std::uint64_t total, double share) {
  if (!due())
    return;
  env_.err << erased << "  " << done << " of " << total << " " << what_;
  const auto spent = *shown_ - began_;
  const auto spent_us = std::chrono::duration<double, std::micro>(spent).count();
  if (spent >= estimate_after && share > 0 && share < 1)
    env_.err << ", " << format_duration(static_cast<std::int64_t>(spent_us / share * (1 - share)))
             << " left";
  env_.err << std::flush;
}

void progress_line::show_settling(duration_us spent, duration_us most, std::uint64_t live) {
  if (due())
    env_.err << erased << "  settling: " << live << " requests have not ended, "
             << format_duration(spent - spent % sim::limits::second_us) << " of at most "
             << format_duration(most) << std::flush;
}

sim::run_summary run_with_progress(context& env, const sim::scenario& plan,
                                   sim::run_options options, const std::string& what) {
  progress_line progress(env, "per cent of the arrivals" + what, 100);
  options.on_progress
      = [&](std::uint32_t done_pm) { progress.show(done_pm / 10, 100, done_pm / 1'000.0); };
  options.on_settling = [&](duration_us spent, std::uint64_t live) {
    progress.show_settling(spent, plan.settle_us, live);
  };
  return sim::run_scenario(plan, options);
}

} // namespace consort::cli
