// SPDX-License-Identifier: Apache-2.0
#include "cli/app.hpp"
#include "cli/cluster.hpp"
#include "cli/executable_commands.hpp"
#include "cli/logging.hpp"

#include <cstdlib>
#include <iostream>
#include <unistd.h>

int main(int argc, char** argv) {
  using namespace consort::cli;
  const bool terminal = isatty(STDOUT_FILENO) != 0;
  context env{.in = std::cin,
              .out = std::cout,
              .err = std::cerr,
              .out_is_tty = terminal,
              .err_is_tty = isatty(STDERR_FILENO) != 0,
              .colour = terminal && std::getenv("NO_COLOR") == nullptr,
              .start = {},
              .options = {},
              .action = {}};
  env.start
      = [&env](const cluster_config& config) -> consort::result<std::unique_ptr<running_cluster>> {
    // Someone who wants one answer wants no story of how it came about.
    set_up_logging(env.options.log_level == "info" ? "warn" : env.options.log_level,
                   env.options.log_format);
    process_config whole{config, {}, {}, nullptr};
    whole.links.name = "local";
    auto cluster = cluster_process::start(std::move(whole));
    if (!cluster)
      return cluster.failure();
    return std::unique_ptr<running_cluster>(std::move(*cluster));
  };
  const auto app = make_app(env);
  add_up(*app, env);
  add_scheduler(*app, env);
  add_gateway(*app, env);
  add_node(*app, env);
  add_doctor(*app, env);
  add_host(*app, env);
  const auto code = parse_and_run(*app, env, argc, argv);
  std::cout.flush();
  return static_cast<int>(code);
}
