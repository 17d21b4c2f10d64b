// SPDX-License-Identifier: Apache-2.0
#pragma once
/// The parts of plugin.json, one function each; node/plugin_json.cpp puts them together. Every one
/// notes what is wrong in the file and returns what it could read. Internal.

#include "node/json_file.hpp"
#include "node/plugin_document.hpp"

namespace consort::node {

[[nodiscard]] availability read_availability(json_file& file, const std::string& pointer,
                                             const nlohmann::json& object);

/// `probe` (the fields of a device_spec) or, with `telemetry`, those of a device_reading.
[[nodiscard]] tool_query read_query(json_file& file, json_section& section, bool telemetry);

[[nodiscard]] std::vector<build_rule> read_builds(json_file& file, const std::string& pointer,
                                                  const nlohmann::json& list);

[[nodiscard]] runtime_rule read_runtime(json_file& file, const std::string& pointer,
                                        const nlohmann::json& object);

/// Notes every argument of `command` that holds a placeholder not in `allowed`.
void check_placeholders(json_section& section, const std::string& name,
                        const std::vector<std::string>& command,
                        const std::vector<std::string>& allowed);

/// One way to fail, and which of the words it means.
template <class Rule>
void read_failure(json_section& section, Rule& one, const std::vector<std::string>& words) {
  if (section.has("exit"))
    one.exit = static_cast<int>(section.whole("exit", 1, 1, 255));
  one.match = section.pattern("match", 0);
  if (!one.exit && one.match.empty())
    section.fail("", "expected `exit`, `match`, or both");
  section.require("class", "what it means");
  one.means = static_cast<decltype(one.means)>(section.word("class", words, 0));
  section.finish();
}

} // namespace consort::node
