// SPDX-License-Identifier: Apache-2.0
#include "cli/api.hpp"
#include "cli/commands.hpp"
#include "cli/list_command.hpp"
#include "cli/table.hpp"
#include "scheduler/alike.hpp"

#include <CLI/App.hpp>

#include <algorithm>
#include <memory>
#include <ostream>

namespace consort::cli {

namespace {

struct compile_options {
  std::string model;
  std::string selector;
  bool dry_run = false;
};

/// One row for each build, or for devices of which the same is said: a hundred devices may wait for
/// one engine. Which they all are, `-o json` says.
table builds_table(const json& builds) {
  using row = std::vector<std::string>;
  std::vector<std::pair<row, std::vector<std::string>>> found; ///< Of whom.
  for (const auto& one : builds) {
    row cells{text_at(one, "/state"),
              text_at(one, "/profile"),
              text_at(one, "/compiler") + " " + text_at(one, "/compiler_version"),
              text_at(one, "/target"),
              text_at(one, "/node"),
              printable(text_at(one, "/detail"))};
    auto known = std::find_if(found.begin(), found.end(),
                              [&](const auto& seen) { return seen.first == cells; });
    if (known == found.end())
      known = found.insert(known, {std::move(cells), {}});
    known->second.push_back(text_at(one, "/device"));
  }
  table rows({{"DEVICES"},
              {"STATE", align::left, false, true},
              {"PROFILE"},
              {"COMPILER"},
              {"TARGET", align::left, true},
              {"NODE"},
              {"DETAIL"}});
  for (auto& [cells, devices] : found) {
    cells.insert(cells.begin(), named_few(devices));
    rows.add(std::move(cells));
  }
  return rows;
}

exit_code plan(context& env, const compile_options& wanted) {
  const auto answer = send(env, "POST", "/api/v1/compile/plan",
                           {{"model", wanted.model}, {"for", wanted.selector}});
  if (!answer)
    return complain(env, answer.failure());
  if (env.json()) {
    env.out << answer->dump(2) << '\n';
    return exit_code::done;
  }
  env.out << builds_table(answer->value("builds", json::array())).render(env.wide(), env.colour);
  return exit_code::done;
}

/// Whether nothing is left to build, by the same plan that --dry-run shows.
bool is_built(context& env, const compile_options& wanted) {
  const auto answer = send(env, "POST", "/api/v1/compile/plan",
                           {{"model", wanted.model}, {"for", wanted.selector}});
  const auto builds = answer ? answer->value("builds", json::array()) : json::array();
  return !builds.empty() && std::all_of(builds.begin(), builds.end(), [](const json& one) {
    return text_at(one, "/state") == "ready";
  });
}

exit_code compile(context& env, const compile_options& wanted) {
  if (wanted.dry_run)
    return plan(env, wanted);
  const bool built = !env.json() && is_built(env, wanted);
  // Said even then: it lets go of what an operator held, so that what is ready comes to serve.
  const auto answer
      = send(env, "POST", "/api/v1/compile", {{"model", wanted.model}, {"for", wanted.selector}});
  if (!answer)
    return complain(env, answer.failure());
  if (env.json())
    env.out << answer->dump(2) << '\n';
  else if (built)
    env.out << "nothing to build: " << wanted.model << " is ready for " << wanted.selector << '\n';
  else
    env.out << "asked to build " << wanted.model << " for " << wanted.selector
            << "; follow it with: consort artifacts --watch\n";
  return exit_code::done;
}

} // namespace

void add_compile(CLI::App& root, context& env) {
  auto* command = root.add_subcommand(
      "compile", "Build a model's engine, or fetch its weights, ahead of first use");
  auto wanted = std::make_shared<compile_options>();
  command->add_option("MODEL", wanted->model, "Model name, alias or adapter")->required();
  command->add_option("--for", wanted->selector, "Device or type, e.g. npu or local/npu0")
      ->required();
  command->add_flag("--dry-run", wanted->dry_run, "Say what would be built and where");
  command->callback(
      [&env, wanted] { env.action = [&env, wanted] { return compile(env, *wanted); }; });
}

} // namespace consort::cli
