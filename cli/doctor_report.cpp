// SPDX-License-Identifier: Apache-2.0
#include "cli/doctor_report.hpp"

#include "cli/api.hpp"
#include "cli/table.hpp"

#include <algorithm>
#include <ostream>

namespace consort::cli {

namespace {

void show_json(std::ostream& out, const std::vector<check>& checks, std::ptrdiff_t failed) {
  json rows = json::array();
  for (const auto& one : checks)
    rows.push_back({{"check", one.name},
                    {"verdict", one.how == verdict::fail ? "fail" : word_of(one.how)},
                    {"found", printable(one.found)},
                    {"next", one.next}});
  out << json{{"checks", std::move(rows)}, {"failed", failed}}.dump(2) << '\n';
}

void show_table(context& env, const std::vector<check>& checks) {
  table rows({{"CHECK"}, {"", align::left, false, true}, {"FOUND"}});
  for (const auto& one : checks)
    rows.add({one.name, word_of(one.how), printable(one.found)});
  env.out << rows.render(env.wide(), env.colour);
  const auto has_advice = [](const check& one) { return !one.next.empty(); };
  if (!std::any_of(checks.begin(), checks.end(), has_advice))
    return;
  env.out << "\nnext:\n";
  for (const auto& one : checks)
    if (has_advice(one))
      env.out << "  " << one.name << ": " << one.next << '\n';
}

} // namespace

exit_code show_checks(context& env, const std::vector<check>& checks) {
  const auto failed = std::count_if(checks.begin(), checks.end(),
                                    [](const check& one) { return one.how == verdict::fail; });
  if (env.json())
    show_json(env.out, checks, failed);
  else
    show_table(env, checks);
  return failed == 0 ? exit_code::done : exit_code::failed;
}

} // namespace consort::cli
