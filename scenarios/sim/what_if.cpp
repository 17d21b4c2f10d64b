// SPDX-License-Identifier: Apache-2.0
#include "scenarios/sim/what_if.hpp"

#include "scenarios/sim/fault_parser.hpp"
#include "scenarios/sim/parallel.hpp"
#include "scenarios/sim/simulation.hpp"
#include "scheduler/nearest_name.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <mutex>

namespace consort::sim {

namespace {

error usage(const std::string& message) {
  return {recovery::refuse, "usage", message};
}

std::optional<std::int64_t> whole_number(std::string_view text) {
  std::int64_t number = 0;
  const auto [stop, status] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (status != std::errc{} || stop != text.data() + text.size())
    return std::nullopt;
  return number;
}

/// `1..16` or `1..16:5`; nothing when it is neither.
std::optional<std::vector<std::string>> range(std::string_view text) {
  const auto dots = text.find("..");
  if (dots == std::string_view::npos)
    return std::nullopt;
  const auto colon = text.find(':', dots);
  const auto from = whole_number(text.substr(0, dots));
  const auto to = whole_number(text.substr(dots + 2, colon - dots - 2));
  const auto step = colon == std::string_view::npos ? std::optional<std::int64_t>(1)
                                                    : whole_number(text.substr(colon + 1));
  if (!from || !to || !step || *step < 1 || *to < *from
      || static_cast<std::size_t>((*to - *from) / *step) >= limits::sweep_runs_max)
    return std::nullopt;
  std::vector<std::string> made;
  for (auto number = *from; number <= *to; number += *step)
    made.push_back(std::to_string(number));
  return made;
}

std::vector<std::string> split(std::string_view text, std::string_view by) {
  std::vector<std::string> parts;
  for (std::size_t at = 0; at <= text.size();) {
    const auto end = std::min(text.find(by, at), text.size());
    parts.emplace_back(text.substr(at, end - at));
    at = end + by.size();
  }
  return parts;
}

/// Between commas, but for those within parentheses: `lognormal(40,0.6),uniform(1,9)` are two.
std::vector<std::string> split_values(std::string_view text) {
  std::vector<std::string> values(1);
  int depth = 0;
  for (const char letter : text) {
    depth += letter == '(' ? 1 : letter == ')' ? -1 : 0;
    if (letter == ',' && depth <= 0)
      values.emplace_back();
    else
      values.back() += letter;
  }
  return values;
}

/// `edge-{n}` is known as `edge`.
std::string group_name(const strict_json::value& group) {
  const auto* name = group.find("name");
  auto made = name ? name->text : std::string();
  if (const auto place = made.find("{n}"); place != std::string::npos)
    made.resize(place);
  while (made.ends_with('-'))
    made.pop_back();
  return made;
}

void set_value(strict_json::value& into, const std::string& wanted) {
  double number = 0;
  const auto [stop, status] = std::from_chars(wanted.data(), wanted.data() + wanted.size(), number);
  const bool all = status == std::errc{} && stop == wanted.data() + wanted.size();
  into.items.clear();
  into.members.clear();
  if (wanted == "true" || wanted == "false") {
    into.type = strict_json::kind::boolean;
    into.boolean = wanted == "true";
  } else if (all) {
    into.type = strict_json::kind::number;
    into.number = number;
  } else {
    into.type = strict_json::kind::string;
    into.text = wanted;
  }
}

result<done> replace_count(strict_json::value& root, const std::string& name,
                           const std::string& wanted) {
  const auto list = std::find_if(root.members.begin(), root.members.end(),
                                 [](const auto& one) { return one.first == "nodes"; });
  std::vector<std::string> known;
  if (list == root.members.end())
    return usage("the scenario has no nodes");
  auto& groups = list->second.items;
  for (auto at = groups.begin(); at != groups.end(); ++at) {
    known.push_back(group_name(*at));
    if (known.back() != name)
      continue;
    if (wanted == "0")
      return groups.erase(at), done{};
    const auto count = std::find_if(at->members.begin(), at->members.end(),
                                    [](const auto& one) { return one.first == "count"; });
    auto& value = count != at->members.end()
                      ? count->second
                      : at->members.emplace_back("count", strict_json::value{}).second;
    if (value.line == 0) {
      value.line = at->line;
      value.path = at->path + ".count";
    }
    return set_value(value, wanted), done{};
  }
  return usage("no group of nodes is named `" + name + "`" + did_you_mean_or_list(name, known));
}

/// Whether a member's name ends at `at` of a path: names may hold dots, as those of models do.
bool name_ends(std::string_view path, std::size_t at) {
  return at == path.size() || path[at] == '.' || path[at] == '[';
}

/// The member of the longest name that the path begins with; null when there is none.
std::pair<std::string, strict_json::value>* member_at(strict_json::value& object,
                                                      std::string_view path) {
  std::pair<std::string, strict_json::value>* found = nullptr;
  for (auto& one : object.members)
    if (path.starts_with(one.first) && name_ends(path, one.first.size())
        && (!found || one.first.size() > found->first.size()))
      found = &one;
  return found;
}

/// Takes `[3]` from the path. Returns: that item, or null when there is none.
strict_json::value* take_item(strict_json::value& list, std::string_view& path) {
  const auto close = path.find(']');
  if (close == std::string_view::npos)
    return nullptr;
  const auto place = whole_number(path.substr(1, close - 1));
  path.remove_prefix(close + 1);
  if (!place || *place < 0 || static_cast<std::size_t>(*place) >= list.items.size())
    return nullptr;
  return &list.items[static_cast<std::size_t>(*place)];
}

/// A field that the file leaves out, as an empty object where `path` stands.
strict_json::value* add_member(strict_json::value& object, std::string_view path) {
  const auto name = std::string(path.substr(0, path.find_first_of(".[")));
  if (name.empty() || object.type != strict_json::kind::object)
    return nullptr;
  strict_json::value made;
  made.type = strict_json::kind::object;
  made.line = object.line;
  made.path = object.path.empty() ? name : object.path + "." + name;
  return &object.members.emplace_back(name, std::move(made)).second;
}

} // namespace

result<sweep_axis> parse_sweep(std::string_view text) {
  const auto equals = text.find('=');
  if (equals == std::string_view::npos || equals == 0 || equals + 1 == text.size())
    return usage("`" + std::string(text) + "` is not a sweep such as nodes.gpu=1..16 or "
                 + "workload[0].poisson=5/s,10/s");
  const auto values = text.substr(equals + 1);
  sweep_axis made{std::string(text.substr(0, equals)), {}};
  if (auto numbers = range(values)) {
    made.values = std::move(*numbers);
    return made;
  }
  if (values.find("..") != std::string_view::npos)
    return usage("`" + std::string(values)
                 + "` is not a range such as 1..16 or 1..16:5, with at most "
                 + std::to_string(limits::sweep_runs_max) + " steps");
  made.values = split_values(values);
  for (auto at = made.values.begin(); at != made.values.end(); ++at)
    if (std::find(made.values.begin(), at, *at) != at)
      return usage("`" + std::string(text) + "` has `" + *at + "` twice");
  return made;
}

result<done> replace_value(strict_json::value& root, const std::string& path,
                           const std::string& wanted) {
  constexpr std::string_view groups = "nodes.";
  if (path.starts_with(groups))
    return replace_count(root, path.substr(groups.size()), wanted);
  const auto unknown = usage("the scenario has no `" + path + "`");
  auto* at = &root;
  for (std::string_view rest = path; !rest.empty();) {
    if (auto* member = member_at(*at, rest)) {
      at = &member->second;
      rest.remove_prefix(member->first.size());
    } else {
      const auto size = std::min(rest.find_first_of(".["), rest.size());
      if (!(at = add_member(*at, rest)))
        return unknown;
      rest.remove_prefix(size);
    }
    while (rest.starts_with('['))
      if (!(at = take_item(*at, rest)))
        return unknown;
    if (rest == "." || (!rest.empty() && rest.front() != '.'))
      return unknown;
    rest.remove_prefix(rest.empty() ? 0 : 1);
  }
  return set_value(*at, wanted), done{};
}

std::string what_if_case::label() const {
  std::string made;
  for (const auto& [path, value] : settings)
    made += path + "=" + value + " ";
  return made + (plan.engine_only ? "engine only" : policy.value);
}

namespace {

/// Adds what a fault may name in this cluster; nothing of one that cannot be read.
void add_names(strict_json::value tree, std::string_view origin, fault_names& into) {
  std::erase_if(tree.members, [](const auto& one) { return one.first == "faults"; });
  const auto plan = read_scenario(tree, origin);
  if (!plan)
    return;
  for (const auto& node : plan->nodes) {
    into.nodes.push_back(node.name);
    for (auto& id : device_ids(node))
      into.devices.push_back(std::move(id));
  }
}

/// What the file has, and what the largest cluster of the sweep has.
fault_names names_of_all(const strict_json::value& root, std::string_view origin,
                         const std::vector<sweep_axis>& axes) {
  fault_names made;
  add_names(root, origin, made);
  auto largest = root;
  for (const auto& axis : axes) {
    const auto most = std::max_element(axis.values.begin(), axis.values.end(),
                                       [](const std::string& left, const std::string& right) {
                                         return whole_number(left) < whole_number(right);
                                       });
    if (!replace_value(largest, axis.path, *most))
      return made; // Told where the combinations are made.
  }
  add_names(largest, origin, made);
  return made;
}

/// Puts one combination's values into the file. Returns: what is left of `number` for policies.
result<std::size_t> put_values(strict_json::value& tree, std::size_t number,
                               const std::vector<sweep_axis>& axes, what_if_case& into) {
  for (const auto& axis : axes) {
    const auto& value = axis.values[number % axis.values.size()];
    number /= axis.values.size();
    if (auto replaced = replace_value(tree, axis.path, value); !replaced)
      return replaced.failure();
    into.settings.emplace_back(axis.path, value);
  }
  return number;
}

bool has_faults(const strict_json::value& root) {
  const auto* faults = root.find("faults");
  return faults != nullptr && !faults->items.empty();
}

/// The combination as a run. Returns: what is wrong with it, and with which values.
result<done> read_case(const strict_json::value& tree, std::string_view origin,
                       const fault_names& elsewhere, what_if_case& into) {
  auto plan = read_scenario(tree, origin, &elsewhere);
  if (!plan) {
    auto failure = plan.failure();
    for (const auto& [path, value] : into.settings)
      failure.message += " (with " + path + "=" + value + ")";
    return failure;
  }
  into.plan = std::move(*plan);
  into.cost_per_h = cost_per_h(into.plan);
  for (const auto& [path, value] : into.settings)
    if (path == "seed")
      into.seed = into.plan.seed;
  return done{};
}

} // namespace

result<std::vector<what_if_case>> make_cases(const strict_json::value& root,
                                             std::string_view origin,
                                             const std::vector<sweep_axis>& axes,
                                             const std::vector<policy_name>& policies,
                                             empty_cases* empty) {
  for (auto at = axes.begin(); at != axes.end(); ++at)
    if (std::any_of(axes.begin(), at, [&](const auto& one) { return one.path == at->path; }))
      return usage("`" + at->path + "` is swept twice: name all of its values in one sweep");
  std::size_t count = std::max<std::size_t>(policies.size(), 1);
  for (const auto& axis : axes)
    if ((count *= axis.values.size()) > limits::sweep_runs_max)
      return usage("more than " + std::to_string(limits::sweep_runs_max) + " runs");
  const auto elsewhere
      = axes.empty() || !has_faults(root) ? fault_names{} : names_of_all(root, origin, axes);
  std::vector<what_if_case> made;
  for (std::size_t number = 0; number < count; ++number) {
    auto tree = root;
    what_if_case one;
    const auto rest = put_values(tree, number, axes, one);
    if (!rest)
      return rest.failure();
    if (!policies.empty())
      one.policy = policies[*rest];
    if (const auto* nodes = tree.find("nodes"); nodes && nodes->items.empty()) {
      if (empty != nullptr && empty->count++ == 0)
        for (const auto& [path, value] : one.settings)
          empty->first += (empty->first.empty() ? "" : " ") + path + "=" + value;
      continue; // A combination of nothing is no cluster.
    }
    if (auto read = read_case(tree, origin, elsewhere, one); !read)
      return read.failure();
    if (policies.empty())
      one.policy = one.plan.policy;
    made.push_back(std::move(one));
  }
  if (made.empty())
    return usage("the sweep leaves no cluster to run");
  return made;
}

namespace {

/// How far some runs at a time are, for all of them together.
class progress_sum {
public:
  progress_sum(const what_if_options& wanted, std::size_t before, std::size_t most,
               std::size_t runs)
      : tell_(wanted.on_progress), shown_{before, most, 0}, done_pm_(runs) {
    tell();
  }

  void reach(std::size_t number, std::uint32_t done_pm) {
    const std::lock_guard lock(one_at_a_time_);
    sum_pm_ += done_pm - done_pm_[number];
    done_pm_[number] = done_pm;
    tell();
  }
  void finish(std::size_t number) {
    {
      const std::lock_guard lock(one_at_a_time_);
      ++shown_.finished;
      ++finished_;
    }
    reach(number, 1'000);
  }

private:
  void tell() {
    if (!tell_)
      return;
    const auto before = static_cast<double>(shown_.finished - finished_);
    shown_.share = (before + static_cast<double>(sum_pm_) / 1e3)
                   / static_cast<double>(std::max<std::size_t>(shown_.most, 1));
    tell_(shown_);
  }

  const std::function<void(const what_if_progress&)>& tell_;
  what_if_progress shown_;
  std::mutex one_at_a_time_;
  std::vector<std::uint32_t> done_pm_; ///< Per run.
  std::uint64_t sum_pm_ = 0;
  std::size_t finished_ = 0; ///< Of these runs.
};

/// Runs some of the cases, as part of a what-if of which `before` runs are over and which has
/// `most` in all.
void run_some(std::vector<what_if_case>& cases, const std::vector<std::size_t>& places,
              const what_if_options& wanted, std::size_t before, std::size_t most) {
  progress_sum progress(wanted, before, most, places.size());
  run_parallel(places.size(), wanted.jobs, [&](std::size_t number) {
    auto& one = cases[places[number]];
    run_options options;
    options.seed = one.seed.value_or(wanted.seed);
    options.policy = one.policy;
    options.timeline = wanted.timelines;
    options.on_progress
        = [&](std::uint32_t done_pm) { progress.reach(number, std::min(done_pm, 999U)); };
    one.summary = run_scenario(one.plan, options);
    if (!wanted.keep_requests)
      std::vector<request_result>().swap(one.summary.requests);
    one.ran = true;
    progress.finish(number);
  });
}

} // namespace

void run_cases(std::vector<what_if_case>& cases, const std::vector<std::size_t>& places,
               const what_if_options& wanted) {
  run_some(cases, places, wanted, 0, places.size());
}

result<search_goal> parse_goal(std::string_view text) {
  search_goal made;
  const auto words = split(text, " with ");
  const auto expected = usage("`" + std::string(text)
                              + "` is not a goal such as `cheapest cluster with slo_attainment "
                                ">= 0.99 and ttft_p99_ms <= 500`");
  if (words.size() != 2 || (words[0] != "cheapest cluster" && words[0] != "smallest cluster"))
    return expected;
  made.fewest = words[0].starts_with("smallest");
  for (const auto& term : split(words[1], " and ")) {
    const auto parts = split(term, " ");
    double bound = 0;
    if (parts.size() != 3 || (parts[1] != ">=" && parts[1] != "<="))
      return expected;
    const auto& number = parts[2];
    const auto [stop, status]
        = std::from_chars(number.data(), number.data() + number.size(), bound);
    if (status != std::errc{} || stop != number.data() + number.size() || !std::isfinite(bound))
      return expected;
    const auto& known = summary_metrics();
    if (std::find(known.begin(), known.end(), parts[0]) == known.end())
      return usage("unknown figure `" + parts[0] + "`" + did_you_mean(parts[0], known));
    scenario_expectation one{parts[0], {}, {}};
    (parts[1] == ">=" ? one.min : one.max) = bound;
    if (const auto why = never_kept(one))
      return usage("`" + term + "` " + *why);
    made.wanted.push_back(std::move(one));
  }
  return made;
}

bool keeps_goal(const run_summary& summary, const search_goal& goal) {
  return summary.violations.empty() && missed_expectations(summary, goal.wanted).empty();
}

search_result search_cases(std::vector<what_if_case>& cases, const search_goal& goal,
                           double budget_per_h, const what_if_options& wanted) {
  search_result found;
  std::vector<std::size_t> open; // What may be the answer, best first.
  for (std::size_t place = 0; place < cases.size(); ++place)
    if (budget_per_h <= 0 || cases[place].cost_per_h <= budget_per_h)
      open.push_back(place);
  found.beyond_budget = cases.size() - open.size();
  // What is to be least, then what decides between equals: where nothing has a price, the smaller
  // cluster is the cheaper one.
  const auto price = [&](std::size_t place) {
    const auto devices = static_cast<double>(device_count(cases[place].plan));
    const auto cost = cases[place].cost_per_h;
    return goal.fewest ? std::pair(devices, cost) : std::pair(cost, devices);
  };
  std::stable_sort(open.begin(), open.end(),
                   [&](std::size_t left, std::size_t right) { return price(left) < price(right); });
  while (found.runs < open.size() && !found.best) {
    const auto begin = open.begin() + static_cast<std::ptrdiff_t>(found.runs);
    const auto count = std::min<std::size_t>(std::max(wanted.jobs, 1U), open.size() - found.runs);
    const std::vector<std::size_t> batch(begin, begin + static_cast<std::ptrdiff_t>(count));
    run_some(cases, batch, wanted, found.runs, open.size());
    found.runs += count;
    const auto kept = std::find_if(batch.begin(), batch.end(), [&](std::size_t place) {
      return keeps_goal(cases[place].summary, goal);
    });
    if (kept != batch.end())
      found.best = *kept;
  }
  found.no_better = open.size() - found.runs;
  return found;
}

std::optional<std::string> unpriced_note(const std::vector<what_if_case>& cases) {
  std::vector<std::string> names;
  bool any_price = false;
  for (const auto& one : cases) {
    any_price = any_price || one.cost_per_h > 0;
    for (auto& name : unpriced_devices(one.plan))
      if (std::find(names.begin(), names.end(), name) == names.end())
        names.push_back(std::move(name));
  }
  if (names.empty())
    return std::nullopt;
  std::string listed;
  for (const auto& name : names)
    listed += (listed.empty() ? "" : ", ") + name;
  return "without a price, hence counted as free: " + listed
         + (any_price ? std::string() : "; so the cluster with the fewest devices is the cheapest")
         + "; write `usd_per_h` at such a device, or `price_per_hour` at its node (0 if it is "
           "free)";
}

} // namespace consort::sim
