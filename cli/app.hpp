// SPDX-License-Identifier: Apache-2.0
#pragma once
/// The command line as a whole: global flags, every subcommand, and the path from argv to an exit
/// code. Flags win over environment variables (`CONSORT_` + upper snake of the flag), which win
/// over the configuration file and defaults. Built once per process (tests: once per case).

#include "cli/context.hpp"

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

#include <memory>
#include <string>

namespace consort::cli {

/// The root command with global flags bound to `env.options` and every subcommand of this library.
/// The executable adds its own (`up`, `host`) before `parse_and_run`. `env` outlives the app.
[[nodiscard]] std::unique_ptr<CLI::App> make_app(context& env);

/// Parses, prints help, version or a one-line error, or runs the chosen subcommand. What that one
/// throws is such an error, too.
exit_code parse_and_run(CLI::App& app, context& env, int argc, const char* const* argv);

/// The environment variable of a long flag: `api-key` -> `CONSORT_API_KEY`.
[[nodiscard]] std::string environment_name(const std::string& flag);

} // namespace consort::cli
