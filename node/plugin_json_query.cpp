// SPDX-License-Identifier: Apache-2.0
#include "node/placeholders.hpp"
#include "node/plugin_json_parts.hpp"

#include <charconv>
#include <regex>

namespace consort::node {

namespace {

/// A unit of the file: `value * multiply / divide` is in ours.
struct unit {
  const char* name;
  std::int64_t multiply;
  std::int64_t divide;
};

/// One field that a query may have, and the units it may be in (first = default; none = a text).
struct known_field {
  const char* name;
  bool required;
  std::vector<unit> units;
};

const std::vector<unit>& byte_units() {
  static const std::vector<unit> units{{"B", 1, 1},
                                       {"kB", 1000, 1},
                                       {"MB", 1'000'000, 1},
                                       {"GB", 1'000'000'000, 1},
                                       {"KiB", 1024, 1},
                                       {"MiB", 1024 * 1024, 1},
                                       {"GiB", 1024LL * 1024 * 1024, 1},
                                       {"TiB", 1024LL * 1024 * 1024 * 1024, 1}};
  return units;
}

std::vector<known_field> probe_fields() {
  return {{"id", true, {}},
          {"model", true, {}},
          {"memory_bytes", false, byte_units()},
          {"topology_group", false, {}}};
}

std::vector<known_field> telemetry_fields() {
  return {{"id", true, {}},
          {"memory_used_bytes", false, byte_units()},
          {"utilization", false, {{"%", 10, 1}, {"ratio", 1000, 1}}},
          {"power_watts", false, {{"W", 1000, 1}, {"mW", 1, 1}, {"uW", 1, 1000}}},
          {"energy_joules",
           false,
           {{"J", 1000, 1},
            {"mJ", 1, 1},
            {"uJ", 1, 1000},
            {"Wh", 3'600'000, 1},
            {"kWh", 3'600'000'000, 1}}},
          {"temperature_celsius", false, {{"C", 1000, 1}, {"mC", 1, 1}}},
          {"health", false, {}}};
}

void read_unit(json_section& section, const std::vector<unit>& units, field_source& source) {
  if (units.empty())
    return; // A unit given here is reported as an unknown key.
  std::vector<std::string> names;
  for (const auto& one : units)
    names.emplace_back(one.name);
  const auto& picked = units[section.word("unit", names, 0)];
  source.unit = picked.name;
  source.multiply = picked.multiply;
  source.divide = picked.divide;
}

/// What `at` must look like depends on how the answer is split.
void check_place(json_section& section, const std::string& name, const std::string& at,
                 answer_format parse, std::size_t groups) {
  if (parse == answer_format::json) {
    try {
      [[maybe_unused]] const nlohmann::json::json_pointer pointer(at);
    } catch (const nlohmann::json::exception&) {
      section.fail(name, "`" + at + "` is not a JSON pointer, e.g. \"/memory/total\"");
    }
  } else if (parse == answer_format::text) {
    std::size_t group = 0;
    const auto [end, status] = std::from_chars(at.data(), at.data() + at.size(), group);
    if (status != std::errc{} || end != at.data() + at.size() || group > groups)
      section.fail(name, "expected the number of a capture group of `each`, up to "
                             + std::to_string(groups));
  } else if (at.empty() || (parse == answer_format::sysfs && at.find("..") != std::string::npos)) {
    section.fail(name, parse == answer_format::csv ? "expected a column's name"
                                                   : "expected a file name in the folder");
  }
}

field_source read_field(json_file& file, json_section& parent, const std::string& name,
                        const nlohmann::json& value, const std::vector<unit>& units,
                        answer_format parse, std::size_t groups) {
  field_source source;
  if (!units.empty()) {
    source.unit = units.front().name;
    source.multiply = units.front().multiply;
    source.divide = units.front().divide;
  }
  if (value.is_string()) {
    source.at = value.get<std::string>();
    check_place(parent, name, source.at, parse, groups);
    return source;
  }
  json_section section(file, parent.at(name), value);
  source.at = section.text("at");
  if (section.has("value"))
    source.constant = section.text("value");
  if (section.has("at") == section.has("value"))
    section.fail("", "expected either `at` or `value`");
  if (section.has("at"))
    check_place(section, "at", source.at, parse, groups);
  read_unit(section, units, source);
  source.words = section.text_map("words");
  section.finish();
  return source;
}

/// Groups of the `each` pattern; the pattern itself was checked to compile.
std::size_t group_count(const tool_query& query) {
  if (query.parse != answer_format::text || query.each.empty())
    return 0;
  try {
    return std::regex(query.each).mark_count();
  } catch (const std::regex_error&) {
    return 0;
  }
}

void read_place(json_section& section, tool_query& query) {
  query.parse
      = static_cast<answer_format>(section.word("parse", {"json", "csv", "text", "sysfs"}, 0));
  query.each
      = query.parse == answer_format::text ? section.pattern("each", 1) : section.text("each");
  query.command = section.texts("command");
  query.timeout_us
      = section.duration("timeout", limits::plugin_call_us_max, limits::plugin_call_us_max);
  check_placeholders(section, "command", query.command, {"plugin"});
  const bool reads_files = query.parse == answer_format::sysfs;
  if (reads_files && section.has("command"))
    section.fail("command", "not used with parse sysfs, which reads files");
  if (!reads_files && query.command.empty())
    section.fail(section.has("command") ? "command" : "", "required, expected `command`: a list "
                                                          "of a program and its arguments");
  if ((reads_files || query.parse == answer_format::text) && query.each.empty())
    section.fail(section.has("each") ? "each" : "",
                 reads_files ? "`each` is required: a pattern of folders, e.g. \"/sys/class/x/x*\""
                             : "`each` is required: a regular expression, one device per line");
  if (query.parse == answer_format::json && !query.each.empty())
    check_place(section, "each", query.each, query.parse, 0);
}

} // namespace

void check_placeholders(json_section& section, const std::string& name,
                        const std::vector<std::string>& command,
                        const std::vector<std::string>& allowed) {
  for (const auto& argument : command)
    if (const auto unknown = unknown_placeholder(argument, allowed)) {
      std::string known;
      for (const auto& one : allowed)
        known += (known.empty() ? "{" : ", {") + one + "}";
      section.fail(name, "unknown placeholder {" + *unknown + "}, expected one of " + known);
    }
}

tool_query read_query(json_file& file, json_section& section, bool telemetry) {
  tool_query query;
  read_place(section, query);
  const auto groups = group_count(query);
  for (const auto& known : telemetry ? telemetry_fields() : probe_fields()) {
    if (known.required)
      section.require(known.name, "where it stands, e.g. \"/uuid\"");
    if (const auto* value = section.find(known.name))
      query.fields[known.name]
          = read_field(file, section, known.name, *value, known.units, query.parse, groups);
  }
  if (telemetry)
    return query;
  if (const auto* list = section.find("attributes")) {
    json_section inner(file, section.at("attributes"), *list);
    if (list->size() > limits::plugin_attributes_max)
      section.fail("attributes", "more than " + std::to_string(limits::plugin_attributes_max));
    else if (list->is_object())
      for (const auto& [name, value] : list->items())
        query.attributes[name] = read_field(file, inner, name, value, {}, query.parse, groups);
  }
  return query;
}

} // namespace consort::node
