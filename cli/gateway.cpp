// SPDX-License-Identifier: Apache-2.0
#include "cli/executable_commands.hpp"
#include "cli/server_flags.hpp"

#include <CLI/App.hpp>

#include <ostream>

namespace consort::cli {

namespace {

exit_code run_gateway(context& env, const server_flags& flags) {
  const auto config = configured(env, flags, {.scheduler = false, .gateway = true, .node = false});
  return serve(env, config, [&](std::ostream& out, const cluster_process& process) {
    out << "gateway " << config->links.name << " joins " << config->links.join << "\n";
    show_curl(out, process);
  });
}

} // namespace

void add_gateway(CLI::App& root, context& env) {
  auto* command = root.add_subcommand("gateway", "A further gateway of a scheduler elsewhere");
  const auto flags = std::make_shared<server_flags>();
  add_join_flags(*command, *flags);
  command->add_option("--name", flags->links.name, "Name of this gateway (default: the host's)");
  add_http_flags(*command, *flags);
  add_data_flag(*command, *flags);
  add_link_flags(*command, *flags);
  command->callback(
      [&env, flags] { env.action = [&env, flags] { return run_gateway(env, *flags); }; });
}

} // namespace consort::cli
