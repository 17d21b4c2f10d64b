// SPDX-License-Identifier: Apache-2.0
#include "cli/executable_commands.hpp"
#include "cli/server_flags.hpp"

#include <CLI/App.hpp>

#include <ostream>

namespace consort::cli {

void add_up(CLI::App& root, context& env) {
  auto* command = root.add_subcommand("up", "A whole cluster in one process, in the foreground");
  const auto flags = std::make_shared<server_flags>();
  add_http_flags(*command, *flags);
  add_data_flag(*command, *flags);
  add_plugin_flag(*command, *flags);
  add_model_flags(*command, *flags);
  command->callback([&env, flags] {
    env.action = [&env, flags] {
      const auto configure = [&] { return configured(env, *flags, process_roles{}); };
      return serve(
          env, configure(),
          [&env](std::ostream& out, const cluster_process& process) {
            show_devices(out, process, env.colour);
            show_models(out, process);
            show_curl(out, process);
          },
          configure);
    };
  });
}

} // namespace consort::cli
