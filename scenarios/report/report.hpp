// SPDX-License-Identifier: Apache-2.0
#pragma once
/// What `--out` writes beside summary.json and requests.csv: events.csv, and report.html, one page
/// with everything in it: data, drawing and styles, no network. Figures name the scenario, seed,
/// version and command that made them. Pure functions.

#include "scenarios/sim/summary.hpp"
#include "scenarios/sim/timeline.hpp"

#include <string>
#include <vector>

namespace consort::sim {

/// One run of the report, beside others of the same scenario.
struct report_run {
  std::string label; ///< Policy, and what else tells it from the others.
  double cost_per_h = 0;
  const run_summary* summary = nullptr; ///< Its requests may be gone; outlives the call.
  std::string command;                  ///< Plays this one again.
  std::string goal{};                   ///< Of a search: `kept`, `missed` or `violated`.
};

struct report_head {
  std::string scenario;
  std::string proves;
  std::string seeds; ///< `seed 4`, or those of all runs.
  std::string version;
  std::string command;
  std::string best; ///< Label of the run that a search chose; empty = none.
};

/// `time_us,kind,subject,text`; the last row counts what was left off.
[[nodiscard]] std::string events_csv(const timeline& course);

[[nodiscard]] std::string report_html(const report_head& head, const std::vector<report_run>& runs);

/// The page without its data: `CONSORT_REPORT_DATA` stands where JSON belongs.
[[nodiscard]] const char* report_page();

} // namespace consort::sim
