// SPDX-License-Identifier: Apache-2.0
// The search of a what-if, and what is said of its end.
#include "scenarios/sim/what_if.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <limits>
#include <map>

namespace consort::sim {

namespace {

constexpr std::string_view node_counts = "nodes.";
/// Figures that differ by less are the same to whoever buys devices by them.
constexpr double same_share = 0.01;

std::string text(const char* format, double number) {
  std::array<char, 64> buffer{};
  std::snprintf(buffer.data(), buffer.size(), format, number);
  return buffer.data();
}

std::string count_of(std::size_t number, const std::string& what) {
  return std::to_string(number) + " " + what + (number == 1 ? "" : "s");
}

/// The places of the runs of each cluster, in the order of what comes first of it.
std::vector<std::vector<std::size_t>> by_cluster(const std::vector<what_if_case>& cases,
                                                 const std::vector<std::size_t>& places) {
  std::vector<std::vector<std::size_t>> made;
  std::map<std::string, std::size_t> known;
  for (const auto place : places) {
    const auto [at, is_new] = known.emplace(cases[place].cluster(), made.size());
    if (is_new)
      made.emplace_back();
    made[at->second].push_back(place);
  }
  return made;
}

/// How far a run is from the nearest bound, as a share of it (of 1 where it is 0); negative where
/// it misses one.
double room_left(const run_summary& summary, const search_goal& goal) {
  double least = std::numeric_limits<double>::infinity();
  if (!summary.violations.empty())
    return -least;
  for (const auto& wanted : goal.wanted) {
    const auto found = summary.figures.find(wanted.metric);
    if (found == summary.figures.end())
      return -std::numeric_limits<double>::infinity();
    const auto share
        = [](double room, double bound) { return bound == 0 ? room : room / std::fabs(bound); };
    if (wanted.min)
      least = std::min(least, share(found->second - *wanted.min, *wanted.min));
    if (wanted.max)
      least = std::min(least, share(*wanted.max - found->second, *wanted.max));
  }
  return least;
}

std::size_t nearest_to_a_miss(const std::vector<what_if_case>& cases,
                              const std::vector<std::size_t>& runs, const search_goal& goal) {
  return *std::min_element(runs.begin(), runs.end(), [&](std::size_t left, std::size_t right) {
    return room_left(cases[left].summary, goal) < room_left(cases[right].summary, goal);
  });
}

/// What may be the answer, best first.
std::vector<std::size_t> in_order(const std::vector<what_if_case>& cases, bool fewest,
                                  double budget_per_h) {
  std::vector<std::size_t> made;
  for (std::size_t place = 0; place < cases.size(); ++place)
    if (budget_per_h <= 0 || cases[place].cost_per_h <= budget_per_h)
      made.push_back(place);
  // What is to be least, then what decides between equals: where nothing has a price, the smaller
  // cluster is the cheaper one.
  const auto price = [&](std::size_t place) {
    const auto devices = static_cast<double>(device_count(cases[place].plan));
    const auto cost = cases[place].cost_per_h;
    return fewest ? std::pair(devices, cost) : std::pair(cost, devices);
  };
  std::stable_sort(made.begin(), made.end(),
                   [&](std::size_t left, std::size_t right) { return price(left) < price(right); });
  return made;
}

} // namespace

search_result search_cases(std::vector<what_if_case>& cases, const search_goal& goal,
                           double budget_per_h, const what_if_options& wanted) {
  search_result found;
  const auto open = in_order(cases, goal.fewest, budget_per_h);
  found.beyond_budget = cases.size() - open.size();
  const auto clusters = by_cluster(cases, open);
  const std::size_t jobs = std::max(wanted.jobs, 1U);
  for (std::size_t next = 0; next < clusters.size() && !found.best;) {
    const auto first = next;
    std::vector<std::size_t> batch;
    while (next < clusters.size()
           && (batch.empty() || batch.size() + clusters[next].size() <= jobs)) {
      batch.insert(batch.end(), clusters[next].begin(), clusters[next].end());
      ++next;
    }
    run_part(cases, batch, wanted, {found.runs, open.size()});
    found.runs += batch.size();
    for (auto at = first; at < next && !found.best; ++at)
      if (std::all_of(clusters[at].begin(), clusters[at].end(),
                      [&](std::size_t place) { return keeps_goal(cases[place].summary, goal); })) {
        found.best = nearest_to_a_miss(cases, clusters[at], goal);
        found.best_runs = clusters[at];
      }
  }
  found.no_better = open.size() - found.runs;
  return found;
}

std::vector<seed_mean> means_over_seeds(const std::vector<what_if_case>& cases) {
  std::vector<std::size_t> ran;
  for (std::size_t place = 0; place < cases.size(); ++place)
    if (cases[place].ran && cases[place].seed)
      ran.push_back(place);
  std::vector<seed_mean> made;
  for (auto& runs : by_cluster(cases, ran)) {
    if (runs.size() < 2)
      continue;
    std::map<std::string, std::pair<double, std::size_t>> sums;
    for (const auto place : runs)
      for (const auto& [name, value] : cases[place].summary.figures) {
        sums[name].first += value;
        ++sums[name].second;
      }
    auto& mean = made.emplace_back(seed_mean{std::move(runs), {}});
    for (const auto& [name, sum] : sums)
      mean.figures[name] = sum.first / static_cast<double>(sum.second);
  }
  return made;
}

namespace {

bool bounds(const search_goal& goal, std::string_view metric) {
  return std::any_of(goal.wanted.begin(), goal.wanted.end(),
                     [&](const auto& one) { return one.metric == metric; });
}

std::vector<std::string> remarks_on_found(const std::vector<what_if_case>& cases,
                                          const search_goal& goal, const search_result& found) {
  std::vector<std::string> made;
  std::map<std::string, double> sums;
  for (const auto place : found.best_runs)
    for (const auto& [name, value] : cases[place].summary.figures)
      sums[name] += value;
  const auto count = [&](const char* name) { return text("%.0f", sums[name]); };
  if (sums["not_served"] > 0)
    made.push_back(
        "it did not serve " + count("not_served") + " of " + count("requests") + " requests ("
        + count("rejected") + " rejected, " + count("expired") + " expired, " + count("failed")
        + " failed), and latencies are of the finished only"
        + (bounds(goal, "not_served") ? "" : "; `not_served <= 0` finds who serves all"));
  if (const auto spared = cases[*found.best].plan.faults_left_out; spared > 0)
    made.push_back("it has not what " + count_of(spared, "fault")
                   + " of the file would strike, and was played without; sweep only what has it, "
                     "to know how others bear that");
  return made;
}

/// Whether two runs differ in nothing but how many nodes of each group there are.
bool same_but_size(const what_if_case& left, const what_if_case& right) {
  if (left.policy != right.policy || left.settings.size() != right.settings.size())
    return false;
  for (std::size_t at = 0; at < left.settings.size(); ++at)
    if (!left.settings[at].first.starts_with(node_counts)
        && left.settings[at].second != right.settings[at].second)
      return false;
  return true;
}

/// Of what the largest missed, what the smallest had just as much of.
std::vector<std::string> remarks_on_size(const what_if_case& smallest, const what_if_case& largest,
                                         const search_goal& goal) {
  std::vector<std::string> made;
  const auto few = device_count(smallest.plan);
  const auto many = device_count(largest.plan);
  if (few == many)
    return made;
  for (const auto& wanted : goal.wanted) {
    const auto& metric = wanted.metric;
    const auto left = smallest.summary.figures.find(metric);
    const auto right = largest.summary.figures.find(metric);
    if (missed_expectations(largest.summary, {wanted}).empty()
        || left == smallest.summary.figures.end() || right == largest.summary.figures.end())
      continue;
    const auto most = std::max(std::fabs(left->second), std::fabs(right->second));
    if (std::fabs(left->second - right->second) <= same_share * most)
      made.push_back("size changes nothing: " + metric + " is " + text("%g", left->second)
                     + " with " + count_of(few, "device") + " and " + text("%g", right->second)
                     + " with " + std::to_string(many));
  }
  return made;
}

/// Nothing where loading is not most of what was missed.
std::optional<std::string> remark_on_loading(const what_if_case& largest, const search_goal& goal,
                                             bool size_matters) {
  const auto& counts = largest.summary.counts;
  if (!counts.ready_at)
    return std::nullopt;
  const auto advice = "; the first replica had loaded at "
                      + text("%.1f s", static_cast<double>(*counts.ready_at) / 1e6)
                      + ": load it before they come, by `replicas_min` of the model and a later "
                        "`from` of the workload";
  if (bounds(goal, "slo_attainment") && counts.slo_misses_early * 2 > counts.slo_misses)
    return std::to_string(counts.slo_misses_early) + " of " + std::to_string(counts.slo_misses)
           + " misses of the SLO came before the first replica had loaded, or waited behind "
             "such requests"
           + advice;
  if (!size_matters && counts.before_ready > 0)
    return count_of(counts.before_ready, "request") + " came before the first replica had loaded"
           + advice;
  return std::nullopt;
}

std::vector<std::string> remarks_on_none(const std::vector<what_if_case>& cases,
                                         const search_goal& goal) {
  const auto* largest = largest_that_missed(cases, goal);
  if (largest == nullptr)
    return {};
  const auto* smallest = largest;
  for (const auto& one : cases)
    if (one.ran && same_but_size(one, *largest)
        && device_count(one.plan) < device_count(smallest->plan))
      smallest = &one;
  auto made = remarks_on_size(*smallest, *largest, goal);
  if (auto loading = remark_on_loading(*largest, goal, made.empty()))
    made.push_back(std::move(*loading));
  return made;
}

} // namespace

const what_if_case* largest_that_missed(const std::vector<what_if_case>& cases,
                                        const search_goal& goal) {
  const what_if_case* largest = nullptr;
  for (const auto& one : cases)
    if (one.ran && !keeps_goal(one.summary, goal)
        && (!largest || device_count(one.plan) > device_count(largest->plan)))
      largest = &one;
  return largest;
}

std::vector<std::string> search_remarks(const std::vector<what_if_case>& cases,
                                        const search_goal& goal, const search_result& found) {
  return found.best ? remarks_on_found(cases, goal, found) : remarks_on_none(cases, goal);
}

} // namespace consort::sim
