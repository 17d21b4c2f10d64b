// SPDX-License-Identifier: Apache-2.0
#pragma once
/// What every subcommand gets: its streams, the global flags, and the few services that only the
/// executable can bring. One per process; single-threaded. Nothing here is global, so a test runs a
/// command with string streams and reads what it printed.

#include "cli/embedded.hpp"
#include "cli/exit_code.hpp"
#include "scheduler/result.hpp"

#include <functional>
#include <iosfwd>
#include <string>

namespace consort::cli {

/// Values of the global flags, after flags, environment and defaults were applied.
struct global_options {
  std::string config_path;      ///< Empty = no file.
  std::string output = "table"; ///< `table`, `wide` or `json`.
  std::string server;           ///< Base URL; empty = the configuration's address.
  std::string api_key;
  std::string log_level = "info";
  std::string log_format = "text";
};

struct context {
  std::istream& in;
  std::ostream& out;
  std::ostream& err;
  bool out_is_tty = false;
  bool err_is_tty = false; ///< Somebody watches: progress may be shown.
  bool colour = false;     ///< A terminal, and NO_COLOR is not set.
  cluster_starter start;   ///< Empty where no embedded cluster is linked in.
  global_options options;
  std::function<exit_code()> action; ///< Set by the subcommand that was parsed; run once.

  [[nodiscard]] bool json() const { return options.output == "json"; }
  [[nodiscard]] bool wide() const { return options.output == "wide"; }
};

/// What whoever typed the command got wrong; complain() makes exit code 2 of it.
[[nodiscard]] inline error usage_error(std::string message) {
  return {recovery::refuse, "usage", std::move(message)};
}

/// Prints `consort: message` as one line on stderr. Returns: the code given, or the one that the
/// error's `code` stands for (`usage`, `unreachable`, `refused_by_cluster`; else failed).
exit_code complain(context& env, const error& failure);

/// The configuration this invocation means: the file of `--config` if given, defaults for the rest.
[[nodiscard]] result<cluster_config> configuration(const context& env);

/// The base URL to ask: flag or environment, else the configuration's listen address, else the
/// default.
[[nodiscard]] result<std::string> server_url(const context& env);

} // namespace consort::cli
