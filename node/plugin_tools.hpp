// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Running the tools that a plugin.json names, and saying how they ended. Internal to the files of
/// json_plugin. Blocking.

#include "node/child_process.hpp"
#include "node/plugin_document.hpp"

namespace consort::node {

/// Whether anything matches `path`, in which `*`, `?` and `[` stand for names.
[[nodiscard]] bool matches_any(const std::string& path);

/// A plugin's command: found in its folder first, run there. Errors: `tool_missing`.
[[nodiscard]] result<child_spec> tool_of(const std::vector<std::string>& command,
                                         const tool_place& place, duration_us timeout_us);
/// Runs it to its end. Errors: as above, and those of run_child().
[[nodiscard]] result<child_exit> run_tool(const std::vector<std::string>& command,
                                          const tool_place& place, duration_us timeout_us);

/// How a tool ended, and the last line that it printed, if it printed any. `field` of plugin.json
/// set its limit; empty = no field does.
[[nodiscard]] std::string end_of(const child_exit& end, duration_us limit_us,
                                 const std::string& field);

/// The attribute of a device that says what is built for it; empty when the file names the target.
[[nodiscard]] std::string target_attribute(const build_rule& rule);

} // namespace consort::node
