// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Runs one command line in this process and keeps what it printed.

#include "cli/app.hpp"

#include <sstream>
#include <string>
#include <utility>
#include <vector>

namespace consort::cli {

struct command_run {
  exit_code code = exit_code::done;
  std::string out;
  std::string err;
};

/// What a command is run in: reads from a string, prints to strings, starts what it is told.
struct bare_context {
  explicit bare_context(const std::string& input = {}, cluster_starter start = {})
      : in(input),
        env{.in = in,
            .out = out,
            .err = err,
            .out_is_tty = false,
            .colour = false,
            .start = std::move(start),
            .options = {},
            .action = {}} {}

  std::istringstream in;
  std::ostringstream out, err;
  context env;
};

/// Runs `consort` with these arguments and this stdin. `start` is what `run` may start.
inline command_run run_command(std::vector<std::string> arguments, const std::string& input = {},
                               cluster_starter start = {}) {
  bare_context run(input, std::move(start));
  arguments.insert(arguments.begin(), "consort");
  std::vector<const char*> argv;
  for (const auto& argument : arguments)
    argv.push_back(argument.c_str());
  const auto app = make_app(run.env);
  const auto code = parse_and_run(*app, run.env, static_cast<int>(argv.size()), argv.data());
  return {code, run.out.str(), run.err.str()};
}

} // namespace consort::cli
