// SPDX-License-Identifier: Apache-2.0
#pragma once
/// What the commands that run a server share: their flags, the checks that all of them make before
/// anything starts, and what they print. `up`, `scheduler`, `gateway` and `node` use it.

#include "cli/cluster.hpp"
#include "cli/context.hpp"

#include <iosfwd>

namespace CLI {
class App;
}

namespace consort::cli {

/// Values of a server command's flags; empty = not given.
struct server_flags {
  std::string listen;
  std::string data;
  std::string cluster;
  std::vector<std::string> plugins;
  std::vector<std::string> models;
  std::string simulate;
  std::string policy;
  link_config links = no_links();
  bool insecure = false;
  std::vector<std::string> sites;
};

void add_http_flags(CLI::App& command, server_flags& flags);  ///< --listen, --insecure, --site
void add_data_flag(CLI::App& command, server_flags& flags);   ///< --data
void add_model_flags(CLI::App& command, server_flags& flags); ///< --model, --policy
void add_plugin_flag(CLI::App& command, server_flags& flags); ///< --plugins, --simulate
void add_join_flags(CLI::App& command, server_flags& flags);  ///< --join, --cluster
void add_link_flags(CLI::App& command, server_flags& flags);  ///< --cert, --token, --name

/// Flags over file over defaults, with the token of the data folder where none was given. Refuses
/// an address beyond loopback without certificates, naming what to type.
[[nodiscard]] result<process_config> configured(const context& env, const server_flags& flags,
                                                const process_roles& roles);

/// Starts the process, greets through `greet`, and serves until a signal. On SIGHUP what `again`
/// says then is taken up, as far as a running process can; null = nothing of the configuration.
exit_code serve(context& env, const result<process_config>& config,
                const std::function<void(std::ostream&, const cluster_process&)>& greet,
                const std::function<result<process_config>()>& again = nullptr);

/// Tables and lines for people.
void show_devices(std::ostream& out, const cluster_process& process, bool colour);
void show_models(std::ostream& out, const cluster_process& process);
void show_curl(std::ostream& out, const cluster_process& process);

/// Whether only this machine can reach an address of `host`.
[[nodiscard]] bool is_loopback(const std::string& host);

} // namespace consort::cli
