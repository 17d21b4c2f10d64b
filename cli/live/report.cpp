// SPDX-License-Identifier: Apache-2.0
#include "cli/live/report.hpp"

#include "cli/live/limits.hpp"
#include "cli/table.hpp"

#include <nlohmann/json.hpp>

#include <array>
#include <cstdio>

namespace consort::live {

namespace {

constexpr const char* late_figure = "host_late_p99_ms";

/// What is compared, in the order of a table for people.
constexpr std::array<const char*, 20> figures{
    "ttft_p50_ms", "ttft_p99_ms",  "itl_p50_ms",     "itl_p99_ms",       "e2e_p50_ms",
    "e2e_p99_ms",  "tokens_per_s", "requests_per_s", "failovers",        "resumes",
    "builds",      "loads",        "requests",       "finished",         "failed",
    "cancelled",   "rejected",     "expired",        "host_late_p50_ms", late_figure};

std::optional<double> figure_of(const sim::run_summary& summary, const char* name) {
  const auto found = summary.figures.find(name);
  return found == summary.figures.end() ? std::nullopt : std::optional(found->second);
}

std::string shown(const std::optional<double>& value, const char* format) {
  std::array<char, 64> text{};
  if (!value)
    return "-";
  std::snprintf(text.data(), text.size(), format, *value);
  return text.data();
}

/// That the host, not the cluster, made some of the difference; nothing on a quiet one.
std::string busy_host(const std::vector<comparison_row>& rows) {
  for (const auto& row : rows)
    if (row.figure == std::string_view(late_figure) && row.live
        && *row.live > limits::quiet_late_ms)
      return "this host was busy: one in a hundred of what was due came " + shown(row.live, "%.1f")
             + " ms late or more, and a first token waits for several such moments. Differences of "
               "a few times that are the host's: stop other work, and do not run this with "
               "`nice`.\n";
  return {};
}

nlohmann::ordered_json value_of(const std::optional<double>& value) {
  return value ? nlohmann::ordered_json(*value) : nlohmann::ordered_json(nullptr);
}

} // namespace

std::optional<double> comparison_row::ratio() const {
  if (!simulated || !live)
    return std::nullopt;
  if (*simulated == 0)
    return *live == 0 ? std::optional(1.0) : std::nullopt;
  return *live / *simulated;
}

std::vector<comparison_row> compare(const sim::run_summary& simulated,
                                    const sim::run_summary& live) {
  std::vector<comparison_row> made;
  for (const auto* name : figures)
    made.push_back({name, figure_of(simulated, name), figure_of(live, name)});
  return made;
}

std::string render_comparison(const std::vector<comparison_row>& rows) {
  using cli::align;
  cli::table made({{"FIGURE"},
                   {"VIRTUAL", align::right},
                   {"LIVE", align::right},
                   {"LIVE/VIRTUAL", align::right}});
  for (const auto& row : rows)
    made.add({row.figure, shown(row.simulated, "%.2f"), shown(row.live, "%.2f"),
              shown(row.ratio(), "%.3f")});
  return made.render(true, false) + busy_host(rows);
}

std::string comparison_json(const comparison_head& head, const std::vector<comparison_row>& rows,
                            const sim::run_summary& simulated, const sim::run_summary& live) {
  nlohmann::ordered_json made{
      {"scenario", head.scenario}, {"seed", head.seed},
      {"policy", head.policy},     {"version", head.version},
      {"command", head.command},   {"passed", simulated.passed() && live.passed()}};
  if (!head.partitions_by.empty())
    made["partitions_by"] = head.partitions_by;
  auto& list = made["figures"] = nlohmann::ordered_json::array();
  for (const auto& row : rows)
    list.push_back({{"figure", row.figure},
                    {"virtual", value_of(row.simulated)},
                    {"live", value_of(row.live)},
                    {"ratio", value_of(row.ratio())}});
  made["live_violations"] = live.violations;
  made["live_missed_expectations"] = live.misses;
  return made.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

} // namespace consort::live
