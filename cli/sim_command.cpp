// SPDX-License-Identifier: Apache-2.0
#include "cli/sim_command.hpp"

#include "cli/version.hpp"
#include "scheduler/units.hpp"

#include <array>
#include <cstdio>
#include <ostream>
#include <random>
#include <thread>

namespace consort::cli {

namespace {

/// Between two lines of progress: a terminal's is rewritten, a log gets a new one.
constexpr std::chrono::milliseconds rewrite_every{100};
constexpr std::chrono::seconds line_every{10};

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

bool sweeps_seed(const sim_options& wanted) {
  return std::any_of(wanted.sweeps.begin(), wanted.sweeps.end(),
                     [](const std::string& one) { return one.starts_with("seed="); });
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
  if (!sweeps_seed(wanted))
    made += " --seed " + std::to_string(seed);
  for (const auto& policy : wanted.policies)
    made += (&policy == &wanted.policies.front() ? " --policy " : ",") + policy;
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
    : env_(env), what_(std::move(what)), total_(total), live_(env.out_is_tty && !env.json()) {}

progress_line::~progress_line() {
  if (live_)
    env_.err << "\r\x1b[K" << std::flush;
}

void progress_line::show(std::uint64_t done) {
  show(done, total_, static_cast<double>(done) / static_cast<double>(total_));
}

void progress_line::show(std::uint64_t done, std::uint64_t total, double share) {
  const auto now = clock::now();
  if (now - shown_ < (live_ ? clock::duration(rewrite_every) : clock::duration(line_every)))
    return;
  shown_ = now;
  const auto spent_us = std::chrono::duration<double, std::micro>(now - began_).count();
  env_.err << (live_ ? "\r\x1b[K  " : "consort: ") << done << " of " << total << " " << what_;
  if (share > 0 && share < 1)
    env_.err << ", " << format_duration(static_cast<std::int64_t>(spent_us / share * (1 - share)))
             << " left";
  env_.err << (live_ ? "" : "\n") << std::flush;
}

} // namespace consort::cli
