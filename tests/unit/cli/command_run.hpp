// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Runs one command line in this process and keeps what it printed.

#include "cli/app.hpp"

#include <sstream>
#include <string>
#include <vector>

namespace consort::cli {

struct command_run {
  exit_code code = exit_code::done;
  std::string out;
  std::string err;
};

/// Runs `consort` with these arguments and this stdin. `start` is what `run` may start.
inline command_run run_command(std::vector<std::string> arguments, const std::string& input = {},
                               cluster_starter start = {}) {
  std::istringstream in(input);
  std::ostringstream out;
  std::ostringstream err;
  context env{.in = in,
              .out = out,
              .err = err,
              .out_is_tty = false,
              .colour = false,
              .start = std::move(start),
              .options = {},
              .action = {}};
  arguments.insert(arguments.begin(), "consort");
  std::vector<const char*> argv;
  for (const auto& argument : arguments)
    argv.push_back(argument.c_str());
  const auto app = make_app(env);
  const auto code = parse_and_run(*app, env, static_cast<int>(argv.size()), argv.data());
  return {code, out.str(), err.str()};
}

} // namespace consort::cli
