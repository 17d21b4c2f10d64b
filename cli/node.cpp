// SPDX-License-Identifier: Apache-2.0
#include "cli/executable_commands.hpp"
#include "cli/host_address.hpp"
#include "cli/server_flags.hpp"

#include <CLI/App.hpp>

#include <ostream>

namespace consort::cli {

namespace {

exit_code run_node(context& env, const server_flags& flags) {
  const auto config = configured(env, flags, {.scheduler = false, .gateway = false, .node = true});
  return serve(env, config, [&](std::ostream& out, const cluster_process& process) {
    show_devices(out, process, env.colour);
    out << "node " << config->links.name << " joins " << config->links.join << ", data port "
        << process.data_address() << "\n";
    if (!only_here(config->links.join) && only_here(process.data_address()))
      out << "  (only this machine reaches that data port; for others pass --data-listen "
             "0.0.0.0:4281 --advertise THIS_HOST)\n";
  });
}

} // namespace

void add_node(CLI::App& root, context& env) {
  auto* command = root.add_subcommand("node", "The agent of one host");
  const auto flags = std::make_shared<server_flags>();
  add_join_flags(*command, *flags);
  command->add_option("--name", flags->links.name, "Name of this node (default: the host's)");
  command
      ->add_option("--data-listen", flags->links.data_listen,
                   "The data port (default 127.0.0.1, any free port)")
      ->type_name("HOST:PORT");
  command
      ->add_option("--advertise", flags->links.advertise,
                   "How gateways and other nodes reach the data port")
      ->type_name("HOST[:PORT]");
  add_data_flag(*command, *flags);
  add_plugin_flag(*command, *flags);
  add_link_flags(*command, *flags);
  command->callback(
      [&env, flags] { env.action = [&env, flags] { return run_node(env, *flags); }; });
}

} // namespace consort::cli
