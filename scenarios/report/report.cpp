// SPDX-License-Identifier: Apache-2.0
#include "scenarios/report/report.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>

namespace consort::sim {

namespace {

using nlohmann::ordered_json;

/// Points of a distribution curve: enough for a smooth line, and the tail in detail.
constexpr std::uint32_t curve_step_pm = 10;
constexpr std::uint32_t tail_from_pm = 950;

/// Three significant digits: a page is read by eyes.
double rounded(double value) {
  if (value == 0 || !std::isfinite(value))
    return 0;
  const double scale = std::pow(10.0, 2 - std::floor(std::log10(std::fabs(value))));
  return std::round(value * scale) / scale;
}

ordered_json rounded_list(const std::vector<double>& values) {
  auto made = ordered_json::array();
  for (const double value : values)
    made.push_back(rounded(value));
  return made;
}

/// `[[ms, share], ...]` by a function from per mille to microseconds.
template <class Percentile>
ordered_json curve(const Percentile& percentile_of) {
  auto made = ordered_json::array();
  for (std::uint32_t pm = 0; pm <= 1'000; pm += pm < tail_from_pm ? curve_step_pm : 1)
    if (const auto value = percentile_of(pm))
      made.push_back({rounded(static_cast<double>(*value) / 1'000), pm / 1'000.0});
  return made;
}

ordered_json curves_of(const run_summary& summary) {
  ordered_json made;
  const finished_spans first(summary, finished_spans::what::first_token);
  const finished_spans whole(summary, finished_spans::what::life);
  made["ttft"] = curve([&](std::uint32_t pm) { return first.percentile(pm); });
  made["itl"] = curve([&](std::uint32_t pm) { return summary.token_gaps.percentile(pm); });
  made["e2e"] = curve([&](std::uint32_t pm) { return whole.percentile(pm); });
  return made;
}

ordered_json course_of(const timeline& course) {
  ordered_json made;
  const double slice_s = static_cast<double>(course.slice_us) / 1e6;
  made["slice_s"] = slice_s;
  made["arrivals"] = course.arrivals;
  made["waiting"] = course.waiting;
  made["tokens"] = course.tokens;
  made["power_w"] = rounded_list(course.power_w);
  made["left_off"] = course.left_off;
  made["devices_seen"] = course.devices_seen;
  made["devices"] = ordered_json::array();
  for (const auto& one : course.devices)
    made["devices"].push_back({{"id", one.device},
                               {"type", one.type},
                               {"running", rounded_list(one.running)},
                               {"power_w", rounded_list(one.power_w)}});
  std::sort(made["devices"].begin(), made["devices"].end(),
            [](const auto& left, const auto& right) { return left["id"] < right["id"]; });
  made["spans"] = ordered_json::array();
  for (const auto& one : course.spans)
    made["spans"].push_back({one.lane, one.kind, one.text, static_cast<double>(one.from) / 1e6,
                             static_cast<double>(one.to.value_or(one.from)) / 1e6, one.failed});
  return made;
}

ordered_json run_json(const report_run& run) {
  const auto& summary = *run.summary;
  ordered_json made;
  made["label"] = run.label;
  made["policy"] = summary.policy;
  made["seed"] = summary.seed;
  made["digest"] = digest_text(summary.run_digest);
  if (!run.goal.empty())
    made["goal"] = run.goal;
  made["passed"] = summary.passed();
  made["violations"] = summary.violations;
  made["misses"] = summary.misses;
  made["notes"] = summary.notes;
  made["command"] = run.command;
  made["figures"] = summary.figures;
  made["cost_per_h"] = run.cost_per_h;
  made["device_tokens"] = summary.device_tokens;
  made["curves"] = curves_of(summary);
  if (summary.course)
    made["course"] = course_of(*summary.course);
  return made;
}

/// Inside a script element nothing may look like its end.
std::string inside_script(const ordered_json& data) {
  std::string made;
  for (const char letter : data.dump(-1, ' ', true, ordered_json::error_handler_t::replace))
    if (letter == '<')
      made += "\\u003c";
    else
      made += letter;
  return made;
}

} // namespace

std::string events_csv(const timeline& course) {
  std::string made = "time_us,kind,subject,text\n";
  for (const auto& one : course.events)
    made += std::to_string(one.at) + "," + csv_field(one.kind) + "," + csv_field(one.subject) + ","
            + csv_field(one.text) + "\n";
  if (course.left_off > 0)
    made += ",left_off,," + std::to_string(course.left_off) + "\n";
  return made;
}

std::string report_html(const report_head& head, const std::vector<report_run>& runs) {
  ordered_json data;
  data["scenario"] = head.scenario;
  data["proves"] = head.proves;
  data["seeds"] = head.seeds;
  data["version"] = head.version;
  data["command"] = head.command;
  data["best"] = head.best;
  data["runs"] = ordered_json::array();
  for (const auto& run : runs)
    data["runs"].push_back(run_json(run));
  constexpr std::string_view place = "CONSORT_REPORT_DATA";
  std::string page = report_page();
  page.replace(page.find(place), place.size(), inside_script(data));
  return page;
}

} // namespace consort::sim
