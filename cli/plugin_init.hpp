// SPDX-License-Identifier: Apache-2.0
#pragma once
/// `consort plugin init`: writes a plugin folder, either a skeleton to fill in or one around a
/// model server that exists. Never overwrites a folder.

#include "cli/context.hpp"

#include <vector>

namespace consort::cli {

struct plugin_init_flags {
  std::string name; ///< Of the plugin; empty = made from the URL or the command.
  std::string type; ///< Empty = gpu, or remote for a server on another host.
  std::string from_url;
  std::string key_env;         ///< Variable that holds the API key of that server; never the key.
  std::string from_command;    ///< Words; `{port}` stands where the server is told its port.
  std::string directory = "."; ///< The folder is made in it.
  bool wraps_command = false;  ///< `from_command` was given, be it empty.
  std::string timeout;         ///< For that command to serve; empty = limits::wrap_time_default.
};

[[nodiscard]] exit_code init_plugin(context& env, const plugin_init_flags& flags);

/// Splits a command line into words at blanks; quotes of both kinds keep them together, a backslash
/// keeps the next character. Nothing is expanded, and no shell ever sees it. Returns: `usage` for
/// an open quote or no word at all.
[[nodiscard]] result<std::vector<std::string>> split_words(const std::string& text);

} // namespace consort::cli
