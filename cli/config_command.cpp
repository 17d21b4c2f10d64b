// SPDX-License-Identifier: Apache-2.0
#include "cli/commands.hpp"
#include "cli/config.hpp"

#include <CLI/App.hpp>

#include <memory>
#include <ostream>

namespace consort::cli {

namespace {

exit_code check_file(context& env, const std::string& path) {
  const auto config = load_config(path, process_environment());
  if (!config)
    return complain(env, config.failure());
  if (const auto there = check_sources(path, process_environment()); !there)
    return complain(env, there.failure());
  env.out << path << ": ok (cluster " << config->cluster << ", policy " << config->policy.value
          << ", " << config->models.size() << " models, http " << config->http_host << ":"
          << config->http_port << ")\n";
  return exit_code::done;
}

} // namespace

void add_config(CLI::App& root, context& env) {
  auto* config = root.add_subcommand("config", "The configuration file");
  config->require_subcommand(1);
  auto* command = config->add_subcommand(
      "check", "Check a file and that its models are here; errors name line and field");
  auto path = std::make_shared<std::string>();
  command->add_option("FILE", *path, "The file to check")->required();
  command->callback([&env, path] { env.action = [&env, path] { return check_file(env, *path); }; });
}

} // namespace consort::cli
