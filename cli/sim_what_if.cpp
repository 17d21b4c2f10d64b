// SPDX-License-Identifier: Apache-2.0
#include "cli/sim_command.hpp"
#include "cli/table.hpp"
#include "cli/version.hpp"
#include "scenarios/sim/what_if.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <cstdio>
#include <functional>
#include <iterator>
#include <numeric>
#include <ostream>
#include <span>

namespace consort::cli {

namespace {

/// Figures of a table, with their titles and formats.
struct shown_figure {
  const char* name;
  const char* title;
  const char* format;
};
/// What clients got, and what it took: two tables, since one would be wider than a terminal.
constexpr std::array<shown_figure, 10> served_figures{{{"finished", "FINISHED", "%.0f"},
                                                       {"lost_requests", "LOST", "%.0f"},
                                                       {"slo_attainment", "SLO", "%.4f"},
                                                       {"ttft_p50_ms", "TTFT P50 MS", "%.1f"},
                                                       {"ttft_p99_ms", "TTFT P99 MS", "%.1f"},
                                                       {"itl_p50_ms", "ITL P50 MS", "%.1f"},
                                                       {"itl_p99_ms", "ITL P99 MS", "%.1f"},
                                                       {"e2e_p50_ms", "E2E P50 MS", "%.0f"},
                                                       {"e2e_p99_ms", "E2E P99 MS", "%.0f"},
                                                       {"tokens_per_s", "TOKENS/S", "%.1f"}}};
constexpr std::array<shown_figure, 8> spent_figures{{{"energy_wh", "ENERGY WH", "%.1f"},
                                                     {"joules_per_token", "J/TOKEN", "%.3f"},
                                                     {"power_max_w", "MOST W", "%.0f"},
                                                     {"money", "SPENT USD", "%.4f"},
                                                     {"failovers", "FAILOVERS", "%.0f"},
                                                     {"resumes", "RESUMED", "%.0f"},
                                                     {"builds", "BUILDS", "%.0f"},
                                                     {"loads", "LOADS", "%.0f"}}};

std::string formatted(const char* format, double number) {
  std::array<char, 64> buffer{};
  std::snprintf(buffer.data(), buffer.size(), format, number);
  return buffer.data();
}

struct sweep_outcome {
  std::optional<sim::search_goal> goal; ///< Of a search.
  std::optional<std::size_t> best;
  sim::search_result searched;
  std::vector<std::string> notes; ///< On the whole, not on one run.
  bool well = true;
};

/// On the file's expectations, or on the goal of a search.
std::string verdict_word(const sim::run_summary& summary,
                         const std::optional<sim::search_goal>& goal) {
  if (!summary.violations.empty())
    return "violated";
  if (goal)
    return sim::keeps_goal(summary, *goal) ? "kept" : "missed";
  return summary.passed() ? "passed" : "missed";
}

std::vector<std::string> figures_of(const sim::run_summary& summary,
                                    std::span<const shown_figure> shown) {
  std::vector<std::string> cells;
  for (const auto& figure : shown) {
    const auto found = summary.figures.find(figure.name);
    cells.push_back(found == summary.figures.end() ? "" : formatted(figure.format, found->second));
  }
  return cells;
}

/// The runs' names, `first` and its cells, and the figures.
void print_table(context& env, const std::vector<sim::what_if_case>& cases,
                 const sweep_outcome& outcome, column first, std::span<const shown_figure> shown,
                 const std::function<std::string(const sim::what_if_case&)>& first_of) {
  std::vector<column> columns{{"RUN"}, std::move(first)};
  for (const auto& figure : shown)
    columns.push_back({figure.title, align::right});
  table rows(std::move(columns));
  for (std::size_t place = 0; place < cases.size(); ++place) {
    const auto& one = cases[place];
    if (!one.ran)
      continue;
    std::vector<std::string> cells{(outcome.best == place ? "* " : "") + one.label(),
                                   first_of(one)};
    auto figures = figures_of(one.summary, shown);
    std::move(figures.begin(), figures.end(), std::back_inserter(cells));
    rows.add(std::move(cells));
  }
  env.out << rows.render(env.wide(), env.colour);
}

void print_tables(context& env, const std::vector<sim::what_if_case>& cases,
                  const sweep_outcome& outcome) {
  print_table(env, cases, outcome, {outcome.goal ? "GOAL" : "VERDICT", align::left, false, true},
              served_figures,
              [&](const auto& one) { return verdict_word(one.summary, outcome.goal); });
  env.out << '\n';
  print_table(env, cases, outcome, {"COST USD/H", align::right}, spent_figures,
              [](const auto& one) {
                return one.cost_per_h > 0 ? formatted("%.2f", one.cost_per_h) : std::string();
              });
}

std::ptrdiff_t ran_of(const std::vector<sim::what_if_case>& cases) {
  return std::count_if(cases.begin(), cases.end(),
                       [](const sim::what_if_case& one) { return one.ran; });
}

/// Of those that ran.
std::vector<std::uint64_t> seeds_of(const std::vector<sim::what_if_case>& cases) {
  std::vector<std::uint64_t> seeds;
  for (const auto& one : cases)
    if (one.ran)
      seeds.push_back(one.summary.seed);
  return seeds;
}

nlohmann::ordered_json run_json(const sim_options& wanted, const sim::what_if_case& one,
                                const sweep_outcome& outcome) {
  const auto& summary = one.summary;
  nlohmann::ordered_json settings = nlohmann::ordered_json::object();
  for (const auto& [path, value] : one.settings)
    settings[path] = value;
  const auto misses
      = outcome.goal ? sim::missed_expectations(summary, outcome.goal->wanted) : summary.misses;
  return {{"label", one.label()},
          {"settings", std::move(settings)},
          {"policy", summary.policy},
          {"seed", summary.seed},
          {"command", replay_command(wanted, summary, one.settings)},
          {"verdict", verdict_word(summary, outcome.goal)},
          {"violations", summary.violations},
          {"missed", misses},
          {"notes", summary.notes},
          {"cost_per_h", one.cost_per_h},
          {"figures", summary.figures}};
}

/// `seed`: of all runs, but where each has its own.
void print_json(context& env, const sim_options& wanted,
                const std::vector<sim::what_if_case>& cases, std::uint64_t seed,
                const sweep_outcome& outcome) {
  const auto best = outcome.best;
  nlohmann::ordered_json made;
  made["scenario"] = cases.front().plan.name;
  made["version"] = version_text();
  made["command"] = command_line(wanted, seed);
  if (!sweeps(wanted, "seed"))
    made["seed"] = seed;
  made["best"] = best ? nlohmann::ordered_json(cases[*best].label()) : nullptr;
  if (outcome.goal)
    made["not_played"] = {{"no_better", outcome.searched.no_better},
                          {"beyond_budget", outcome.searched.beyond_budget}};
  made["notes"] = outcome.notes;
  made["runs"] = nlohmann::ordered_json::array();
  for (const auto& one : cases)
    if (one.ran)
      made["runs"].push_back(run_json(wanted, one, outcome));
  // Paths may be any bytes.
  env.out << made.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) << '\n';
}

error about_flag(const char* flag, error wrong) {
  wrong.message = std::string(flag) + ": " + wrong.message;
  return wrong;
}

/// A combination without a node is no run, which whoever counts them is told.
void note_empty(const sim::empty_cases& empty, std::vector<std::string>& into) {
  if (empty.count > 0)
    into.push_back(std::to_string(empty.count)
                   + " combinations of the sweep have no node and were left out, the first is "
                   + empty.first);
}

result<std::vector<sim::what_if_case>> cases_of(const sim_options& wanted,
                                                std::vector<std::string>& notes) {
  auto root = sim::load_scenario_tree(wanted.path);
  if (!root)
    return root.failure();
  std::vector<sim::sweep_axis> axes;
  for (const auto& text : wanted.sweeps) {
    auto axis = sim::parse_sweep(text);
    if (!axis)
      return about_flag("--sweep", axis.failure());
    axes.push_back(std::move(*axis));
  }
  std::vector<policy_name> policies;
  for (const auto& word : wanted.policies)
    policies.push_back(policy_name{word});
  sim::empty_cases empty;
  auto made = sim::make_cases(*root, wanted.path, axes, policies, &empty);
  note_empty(empty, notes);
  if (!made && made.failure().code == "usage")
    return about_flag("--sweep", made.failure());
  if (!made)
    return made;
  if (made->front().plan.engine_only && !policies.empty())
    return no_policy_for_engines();
  for (const auto& one : *made) // A sweep may make profiles, too.
    if (auto known = check_policies(wanted, one.plan); !known)
      return known.failure();
  return made;
}

result<done> write_report(const sim_options& wanted, const std::vector<sim::what_if_case>& cases,
                          std::uint64_t seed, const sweep_outcome& outcome) {
  std::vector<sim::report_run> runs;
  for (const auto& one : cases)
    if (one.ran)
      runs.push_back({one.label(), one.cost_per_h, &one.summary,
                      replay_command(wanted, one.summary, one.settings),
                      outcome.goal ? verdict_word(one.summary, outcome.goal) : ""});
  return write_results(wanted, cases.front().plan, seed, runs,
                       outcome.best ? cases[*outcome.best].label() : "");
}

/// The goal of `--find`, where there are prices and promises that it can be judged by. What a
/// search by money does not know is noted.
result<sim::search_goal> goal_of(const sim_options& wanted,
                                 const std::vector<sim::what_if_case>& cases,
                                 std::vector<std::string>& notes) {
  auto goal = sim::parse_goal(wanted.find);
  if (!goal)
    return about_flag("--find", goal.failure());
  for (const auto& one : goal->wanted)
    if (one.metric == "slo_attainment" && !cases.front().plan.slo.given())
      return about_flag("--find", usage_error("the scenario promises nothing that slo_attainment "
                                              "could be a share of: add `slo`"));
  const bool bounded = wanted.budget_per_h > 0;
  if (goal->fewest && !bounded)
    return goal;
  const auto note = sim::unpriced_note(cases);
  const auto free = [](const sim::what_if_case& one) { return one.cost_per_h <= 0; };
  if (note && bounded && std::all_of(cases.begin(), cases.end(), free))
    return about_flag("--budget", usage_error("bounds nothing: " + *note));
  if (note)
    notes.push_back(*note);
  return goal;
}

/// All cases, or those that a search needs.
void run_all(context& env, const sim_options& wanted, std::vector<sim::what_if_case>& cases,
             sim::what_if_options options, sweep_outcome& made) {
  progress_line progress(env, "runs", cases.size());
  options.on_progress
      = [&](const sim::what_if_progress& now) { progress.show(now.finished, now.most, now.share); };
  if (made.goal) {
    made.searched = sim::search_cases(cases, *made.goal, wanted.budget_per_h, options);
    made.best = made.searched.best;
    made.well = made.best.has_value();
    return;
  }
  std::vector<std::size_t> places(cases.size());
  std::iota(places.begin(), places.end(), 0);
  sim::run_cases(cases, places, options);
  for (const auto& one : cases)
    made.well = made.well && one.summary.passed();
}

/// What of the sweep was not played, and why.
void print_not_played(context& env, const sweep_outcome& outcome) {
  const auto& searched = outcome.searched;
  if (searched.no_better > 0)
    env.out << "  " << searched.no_better << " not played: none of them is "
            << (outcome.goal->fewest ? "smaller" : "cheaper") << '\n';
  if (searched.beyond_budget > 0)
    env.out << "  " << searched.beyond_budget << " not played: beyond the budget\n";
}

/// What a search came to; of one that found nothing, what the largest cluster lacked.
void print_found(context& env, const std::vector<sim::what_if_case>& cases,
                 const sweep_outcome& outcome) {
  if (outcome.best) {
    env.out << "found: " << printable(cases[*outcome.best].label()) << '\n';
    return print_not_played(env, outcome);
  }
  env.out << "found: none; widen --sweep"
          << (outcome.searched.beyond_budget > 0 ? " or raise --budget\n" : "\n");
  print_not_played(env, outcome);
  const sim::what_if_case* largest = nullptr;
  for (const auto& one : cases)
    if (one.ran && (!largest || sim::device_count(one.plan) > sim::device_count(largest->plan)))
      largest = &one;
  if (largest == nullptr)
    return;
  for (const auto& violation : largest->summary.violations)
    env.out << "  " << printable(largest->label() + ": violated " + violation) << '\n';
  for (const auto& miss : sim::missed_expectations(largest->summary, outcome.goal->wanted))
    env.out << "  " << printable(largest->label() + ": " + miss) << '\n';
}

/// What was played and found, on stdout.
void show_outcome(context& env, const sim_options& wanted,
                  const std::vector<sim::what_if_case>& cases, std::uint64_t seed,
                  const sweep_outcome& outcome) {
  if (env.json())
    return print_json(env, wanted, cases, seed, outcome);
  const auto ran = ran_of(cases);
  env.out << "scenario " << printable(cases.front().plan.name) << ", "
          << (ran > 0 ? seed_words(seeds_of(cases)) + ", " : "") << ran << " of " << cases.size()
          << " runs\n"
          << origin_line(wanted, seed);
  print_tables(env, cases, outcome);
  if (outcome.goal)
    print_found(env, cases, outcome);
}

} // namespace

exit_code simulate_what_if(context& env, const sim_options& wanted) {
  sweep_outcome outcome;
  auto cases = cases_of(wanted, outcome.notes);
  if (!cases)
    return complain(env, cases.failure());
  if (!wanted.find.empty()) {
    const auto goal = goal_of(wanted, *cases, outcome.notes);
    if (!goal)
      return complain(env, goal.failure());
    outcome.goal = *goal;
  }
  if (const auto made = make_out_folder(wanted); !made)
    return complain(env, made.failure());
  for (const auto& note : outcome.notes)
    env.err << "consort: note: " << printable(note) << '\n';
  sim::what_if_options options;
  options.seed = chosen_seed(wanted, cases->front().plan.seed);
  options.jobs = chosen_jobs(wanted);
  options.keep_requests = options.timelines = !wanted.out_dir.empty();
  run_all(env, wanted, *cases, options, outcome);
  for (const auto& one : *cases)
    if (one.summary.input_failure)
      return complain(env, *one.summary.input_failure);
  show_outcome(env, wanted, *cases, options.seed, outcome);
  if (outcome.best) // It may be so cheap since a fault strikes nothing of it.
    tell_notes(env, (*cases)[*outcome.best].summary, (*cases)[*outcome.best].label() + ": ");
  if (wanted.find.empty())
    for (const auto& one : *cases)
      tell_verdict(env, one.summary, replay_command(wanted, one.summary, one.settings),
                   one.label() + ": ");
  if (!wanted.out_dir.empty() && ran_of(*cases) > 0)
    if (const auto written = write_report(wanted, *cases, options.seed, outcome); !written)
      return complain(env, written.failure());
  return outcome.well ? exit_code::done : exit_code::failed;
}

} // namespace consort::cli
