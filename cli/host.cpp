// SPDX-License-Identifier: Apache-2.0
#include "cli/executable_commands.hpp"
#include "node/host/compile_main.hpp"
#include "node/host/host_main.hpp"

#include <CLI/App.hpp>

#include <memory>

namespace consort::cli {

namespace {

struct host_flags {
  int descriptor = -1;
  bool compile = false;
  node::library_build build;
};

} // namespace

void add_host(CLI::App& root, context& env) {
  auto* command
      = root.add_subcommand("host", "Runs one vendor library for an agent; not for people");
  command->group(""); // Hidden: only an agent starts it.
  const auto flags = std::make_shared<host_flags>();
  auto& build = flags->build;
  command->add_option("--fd", flags->descriptor, "Socket to the agent");
  command->add_option("--library", build.library, "Shared object to load")->required();
  command->add_flag("--compile", flags->compile, "Build with it, instead of running it");
  command->add_flag("--version-only", build.version_only, "Say which compiler it is");
  for (const auto& [name, value] : {std::pair{"--model", &build.model},
                                    {"--output", &build.output},
                                    {"--work", &build.work},
                                    {"--target", &build.target},
                                    {"--dtype", &build.dtype},
                                    {"--flags", &build.flags},
                                    {"--devices", &build.devices},
                                    {"--config", &build.config_json}})
    command->add_option(name, *value, "Of the build");
  command->add_option("--degree", build.degree, "Of the build");
  command->callback([&env, flags] {
    env.action = [flags] {
      return static_cast<exit_code>(flags->compile
                                        ? node::compile_main(flags->build)
                                        : node::host_main(flags->descriptor, flags->build.library));
    };
  });
}

} // namespace consort::cli
