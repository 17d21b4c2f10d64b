// SPDX-License-Identifier: Apache-2.0
#include "cli/executable_commands.hpp"
#include "node/host/host_main.hpp"

#include <CLI/App.hpp>

#include <memory>

namespace consort::cli {

namespace {

struct host_flags {
  int descriptor = -1;
  std::string library;
};

} // namespace

void add_host(CLI::App& root, context& env) {
  auto* command
      = root.add_subcommand("host", "Runs one vendor library for an agent; not for people");
  command->group(""); // Hidden: only an agent starts it.
  const auto flags = std::make_shared<host_flags>();
  command->add_option("--fd", flags->descriptor, "Socket to the agent")->required();
  command->add_option("--library", flags->library, "Shared object to load")->required();
  command->callback([&env, flags] {
    env.action = [flags] {
      return static_cast<exit_code>(node::host_main(flags->descriptor, flags->library));
    };
  });
}

} // namespace consort::cli
