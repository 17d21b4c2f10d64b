// SPDX-License-Identifier: Apache-2.0
#pragma once
/// The shape that `nodes`, `devices`, `models`, `artifacts` and `requests` share: one list of the
/// admin API as a table, wider with `-o wide`, as it came with `-o json`, repeated with `--watch`.

#include "cli/api.hpp"
#include "cli/table.hpp"

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
};

void add_list_command(CLI::App& root, context& env, list_command command);

/// Runs `show` once, or with `watch` until it fails, clearing the terminal between.
exit_code repeat(context& env, bool watch, const std::function<exit_code()>& show);

} // namespace consort::cli
