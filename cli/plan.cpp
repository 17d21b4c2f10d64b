// SPDX-License-Identifier: Apache-2.0
// `consort plan`: what the scheduler would do next, asked without doing it.
#include "cli/api.hpp"
#include "cli/commands.hpp"
#include "cli/table.hpp"

#include <CLI/App.hpp>

#include <memory>
#include <ostream>

namespace consort::cli {

namespace {

struct plan_options {
  std::string model;
  std::string selector = "auto";
  std::string drain;
};

exit_code plan_next(context& env, const plan_options& wanted) {
  if (wanted.model.empty() == wanted.drain.empty())
    return complain(env, {recovery::refuse, "usage",
                          "say one of the two: a MODEL that is asked for, or --drain TARGET"});
  json body = wanted.drain.empty() ? json{{"model", wanted.model}, {"for", wanted.selector}}
                                   : json{{"drain", wanted.drain}};
  const auto answer = send(env, "POST", "/api/v1/plan", body);
  if (!answer)
    return complain(env, answer.failure());
  if (env.json()) {
    env.out << answer->dump(2) << '\n';
    return exit_code::done;
  }
  const auto steps = answer->value("steps", json::array());
  if (steps.empty())
    env.out << "nothing to do\n";
  table rows({{"STEP", align::right}, {"ACTION"}, {"WHERE"}, {"DETAIL"}});
  for (std::size_t at = 0; at < steps.size(); ++at)
    rows.add({std::to_string(at + 1), text_at(steps[at], "/action"), text_at(steps[at], "/where"),
              printable(text_at(steps[at], "/detail"))});
  if (!steps.empty())
    env.out << rows.render(env.wide(), env.colour);
  return exit_code::done;
}

} // namespace

void add_plan(CLI::App& root, context& env) {
  auto* command = root.add_subcommand(
      "plan", "What would be done next: for a model that is asked for now, or for a drain");
  auto wanted = std::make_shared<plan_options>();
  command->add_option("MODEL", wanted->model, "Model name or alias");
  command->add_option("--for", wanted->selector, "Device selector, as of a request")
      ->type_name("SELECTOR");
  command->add_option("--drain", wanted->drain, "Node or device to be emptied instead")
      ->type_name("TARGET");
  command->callback(
      [&env, wanted] { env.action = [&env, wanted] { return plan_next(env, *wanted); }; });
}

} // namespace consort::cli
