// SPDX-License-Identifier: Apache-2.0
#pragma once
/// The shape that `nodes`, `devices`, `models`, `artifacts` and `requests` share: one list of the
/// admin API as a table, wider with `-o wide`, as it came with `-o json`, repeated with `--watch`.

#include "cli/api.hpp"
#include "cli/table.hpp"

#include <chrono>
#include <functional>
#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace consort::cli {

struct list_command {
  std::string name; ///< Of the subcommand, of the list under /api/v1/ and of its member.
  std::string help;
  std::vector<column> columns;
  /// Cells of one item. Requires: as many as columns; empty = unknown.
  std::function<std::vector<std::string>(const json& item)> row;
  /// Adds flags of its own to the subcommand; they outlive it.
  std::function<void(CLI::App& added)> add_flags = {};
  /// What these ask for, as `?name=value&...` or nothing.
  std::function<std::string()> query = {};
  /// A line below the table; empty = none.
  std::function<std::string(const json& answer)> footer = {};
  /// The same answer of a data folder of this host, for `NAME ls --data DIR`; unset = no such flag.
  std::function<result<json>(const std::string& data)> read_store;
  bool with_ls = false; ///< Also as `NAME ls`, where people look beside other subcommands.
};

void add_list_command(CLI::App& root, context& env, list_command command);

/// Shows one picture on the streams of the context that it gets.
using show_once = std::function<exit_code(context&)>;

/// Runs `show` again and again, redrawing in place on a terminal and appending elsewhere; waits
/// through restarts of a server that has answered once. Ends with `done` on an interrupt, else with
/// the first failure or when nobody reads any more.
exit_code repeat(context& env, const show_once& show, std::chrono::milliseconds interval);

/// Text with the escapes that draw it over what the terminal shows.
[[nodiscard]] std::string in_place(const std::string& text);

} // namespace consort::cli
