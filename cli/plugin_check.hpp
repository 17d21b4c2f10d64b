// SPDX-License-Identifier: Apache-2.0
#pragma once
/// `consort plugin check`: takes one plugin folder through its whole life on this host, without a
/// cluster, and says of each step whether it passed and why not.

#include "cli/context.hpp"

namespace consort::cli {

struct plugin_check_flags {
  std::string folder;
  std::string model;   ///< GGUF file to build and run; empty = the shipped one.
  bool no_run = false; ///< Only what starts neither compiler nor runtime.
};

/// Steps: plugin.json, fixtures, available, probe, telemetry, compilers, build, load, generate,
/// cancel, kill. A step that cannot be tried is skipped with its reason. Returns: failed when any
/// step failed; a broken plugin.json is complained of by line and column.
[[nodiscard]] exit_code check_plugin(context& env, const plugin_check_flags& flags);

} // namespace consort::cli
