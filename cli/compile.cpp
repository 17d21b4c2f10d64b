// SPDX-License-Identifier: Apache-2.0
#include "cli/api.hpp"
#include "cli/commands.hpp"
#include "cli/list_command.hpp"
#include "cli/table.hpp"

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

exit_code plan(context& env, const compile_options& wanted) {
  const auto answer = send(env, "POST", "/api/v1/compile/plan",
                           {{"model", wanted.model}, {"for", wanted.selector}});
  if (!answer)
    return complain(env, answer.failure());
  if (env.json()) {
    env.out << answer->dump(2) << '\n';
    return exit_code::done;
  }
  table rows({{"DEVICE"},
              {"STATE", align::left, false, true},
              {"PROFILE"},
              {"COMPILER"},
              {"NODE"},
              {"DETAIL"}});
  for (const auto& one : answer->value("builds", json::array()))
    rows.add({text_at(one, "/device"), text_at(one, "/state"), text_at(one, "/profile"),
              text_at(one, "/compiler") + " " + text_at(one, "/compiler_version"),
              text_at(one, "/node"), printable(text_at(one, "/detail"))});
  env.out << rows.render(env.wide(), env.colour);
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
  auto* command = root.add_subcommand("compile", "Build a model's engine ahead of its first use");
  auto wanted = std::make_shared<compile_options>();
  command->add_option("MODEL", wanted->model, "Model name or alias")->required();
  command->add_option("--for", wanted->selector, "Device or type, e.g. npu or local/npu0")
      ->required();
  command->add_flag("--dry-run", wanted->dry_run, "Say what would be built and where");
  command->callback(
      [&env, wanted] { env.action = [&env, wanted] { return compile(env, *wanted); }; });
}

} // namespace consort::cli
