// SPDX-License-Identifier: Apache-2.0
#include "cli/api.hpp"
#include "cli/commands.hpp"

#include <CLI/App.hpp>

#include <memory>
#include <ostream>

namespace consort::cli {

namespace {

struct compile_options {
  std::string model;
  std::string selector;
};

exit_code compile(context& env, const compile_options& wanted) {
  const auto answer
      = send(env, "POST", "/api/v1/compile", {{"model", wanted.model}, {"for", wanted.selector}});
  if (!answer)
    return complain(env, answer.failure());
  if (env.json())
    env.out << answer->dump(2) << '\n';
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
  command->callback(
      [&env, wanted] { env.action = [&env, wanted] { return compile(env, *wanted); }; });
}

} // namespace consort::cli
