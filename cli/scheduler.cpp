// SPDX-License-Identifier: Apache-2.0
#include "cli/executable_commands.hpp"
#include "cli/host_address.hpp"
#include "cli/server_flags.hpp"

#include <CLI/App.hpp>

#include <ostream>

namespace consort::cli {

namespace {

/// What to paste on another host, or here, to add a node.
void show_join(std::ostream& out, const process_config& config, const cluster_process& process) {
  const bool secured = !config.links.cert_dir.empty();
  const auto address = reachable_address(process.link_address());
  const auto& name = config.cluster.cluster;
  const auto told = name == cluster_config{}.cluster ? std::string() : name;
  out << "nodes join with:\n  " << join_command(address, config.links.token, secured, told) << "\n";
  if (secured)
    out << "  (NAME-FOLDER: what `consort cert node NAME` wrote"
        << (only_here(address) ? "" : "; THAT_HOST: where others reach the node") << ")\n";
  else
    out << "  (this machine only: links beyond loopback need certificates, see `consort cert "
           "--help`)\n";
  out << "\n";
}

exit_code schedule(context& env, const server_flags& flags) {
  const auto configure = [&] {
    return configured(env, flags,
                      {.scheduler = true, .gateway = true, .node = false, .listens = true});
  };
  const auto config = configure();
  return serve(
      env, config,
      [&config](std::ostream& out, const cluster_process& process) {
        show_models(out, process);
        show_join(out, *config, process);
        show_curl(out, process);
      },
      configure);
}

} // namespace

void add_scheduler(CLI::App& root, context& env) {
  auto* command = root.add_subcommand("scheduler", "The scheduler with its gateway");
  const auto flags = std::make_shared<server_flags>();
  add_http_flags(*command, *flags);
  add_data_flag(*command, *flags);
  add_model_flags(*command, *flags);
  add_link_flags(*command, *flags);
  command
      ->add_option("--link-listen", flags->links.listen,
                   "Where nodes and gateways join (default 127.0.0.1:4280)")
      ->type_name("HOST:PORT");
  command->callback(
      [&env, flags] { env.action = [&env, flags] { return schedule(env, *flags); }; });
}

} // namespace consort::cli
