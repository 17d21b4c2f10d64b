// SPDX-License-Identifier: Apache-2.0
#include "node/pattern.hpp"
#include "node/placeholders.hpp"
#include "node/plugin_json_parts.hpp"

#include <charconv>
#include <set>

namespace consort::node {

namespace {

/// A unit of the file: `value * multiply / divide` is in ours.
struct unit {
  const char* name;
  std::int64_t multiply;
  std::int64_t divide;
  bool busy_time = false;
  bool idle_time = false;
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
          {"topology_group", false, {}},
          {"parent", false, {}}};
}

std::vector<known_field> telemetry_fields() {
  return {{"id", true, {}},
          {"memory_used_bytes", false, byte_units()},
          {"utilization",
           false,
           {{"%", 10, 1},
            {"ratio", 1000, 1},
            {"s", 1'000'000, 1, true},
            {"ms", 1000, 1, true},
            {"us", 1, 1, true},
            {"ns", 1, 1000, true},
            {"idle_ms", 1000, 1, false, true},
            {"idle_us", 1, 1, false, true}}},
          {"power_watts", false, {{"W", 1000, 1}, {"mW", 1, 1}, {"uW", 1, 1000}}},
          {"energy_joules",
           false,
           {{"J", 1000, 1},
            {"mJ", 1, 1},
            {"uJ", 1, 1000},
            {"Wh", 3'600'000, 1},
            {"kWh", 3'600'000'000, 1}}},
          {"temperature_celsius", false, {{"C", 1000, 1}, {"mC", 1, 1}}},
          {"board", false, {}},
          {"health", false, {}},
          {"health_reason", false, {}}};
}

void apply(const unit& picked, field_source& source) {
  source.unit = picked.name;
  source.multiply = picked.multiply;
  source.divide = picked.divide;
  source.busy_time = picked.busy_time;
  source.idle_time = picked.idle_time;
}

void read_unit(json_section& section, const std::vector<unit>& units, field_source& source) {
  if (units.empty())
    return; // A unit given here is reported as an unknown key.
  std::vector<std::string> names;
  for (const auto& one : units)
    names.emplace_back(one.name);
  apply(units[section.word("unit", names, 0)], source);
}

/// Capture groups of what may be a pattern; 0 where it is none.
std::size_t groups_of(const std::string& text) {
  const auto compiled = pattern::compile(text);
  return compiled ? compiled->groups() : 0;
}

bool has_group(const std::string& text) {
  return text.size() <= limits::plugin_pattern_bytes_max && groups_of(text) > 0;
}

/// What `at` must look like depends on how the answer is split.
void check_place(json_section& section, const std::string& name, const std::string& at,
                 answer_format parse, std::size_t groups) {
  if (parse == answer_format::blocks) {
    if (!has_group(at))
      section.fail(name, "expected a regular expression with a group, e.g. \"Serial *: (\\\\S+)\"");
    return;
  }
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

/// How a query splits its answer, which decides what a field may look like.
struct field_rules {
  json_file& file;
  answer_format parse;
  std::size_t groups; ///< Of the pattern `each`.
};

void read_details(const field_rules& rules, json_section& section, const std::vector<unit>& units,
                  field_source& source) {
  source.at = section.text("at");
  if (section.has("value"))
    source.constant = section.text("value");
  if (section.has("at") == section.has("value"))
    section.fail("", "expected either `at` or `value`");
  if (section.has("at"))
    check_place(section, "at", source.at, rules.parse, rules.groups);
  source.match = section.pattern("match", 1);
  source.prefix = section.text("prefix");
  if (!source.prefix.empty() && !units.empty())
    section.fail("prefix", "only in front of texts: this field is a figure");
  const bool several = source.at.find("/*") != std::string::npos;
  source.take
      = static_cast<field_take>(section.word("take", {"first", "sum", "mean", "max", "join"}, 0));
  const bool wrong = !several || rules.parse != answer_format::json
                     || (source.take == field_take::join ? !units.empty() : units.empty());
  if (section.has("take") && wrong)
    section.fail("take",
                 "only at a JSON pointer with a `*`, e.g. \"/cores/*/busy\": `join` of texts, "
                 "the others of figures");
  read_unit(section, units, source);
  source.words = section.text_map("words");
}

/// One place: its text, or an object at `pointer`.
field_source read_place_of(const field_rules& rules, json_section& parent, const std::string& name,
                           const std::string& pointer, const nlohmann::json& value,
                           const std::vector<unit>& units) {
  field_source source;
  if (!units.empty())
    apply(units.front(), source);
  if (value.is_string()) {
    source.at = value.get<std::string>();
    check_place(parent, name, source.at, rules.parse, rules.groups);
    return source;
  }
  json_section section(rules.file, pointer, value);
  read_details(rules, section, units, source);
  section.finish();
  return source;
}

field_source read_field(const field_rules& rules, json_section& parent, const std::string& name,
                        const nlohmann::json& value, const std::vector<unit>& units) {
  const auto pointer = parent.at(name);
  if (!value.is_array())
    return read_place_of(rules, parent, name, pointer, value, units);
  field_source first;
  if (value.empty() || value.size() > limits::field_places_max) {
    parent.fail(name, "expected 1 to " + std::to_string(limits::field_places_max)
                          + " places, of which the first that gives something counts");
    return first;
  }
  for (std::size_t at = 0; at < value.size(); ++at) {
    auto one
        = read_place_of(rules, parent, name, pointer + "/" + std::to_string(at), value[at], units);
    if (at == 0)
      first = std::move(one);
    else
      first.otherwise.push_back(std::move(one));
  }
  return first;
}

/// What a vendor calls healthy is for the plugin to say; what we call it is not.
void check_health_words(json_section& section, const field_source& health) {
  static const std::set<std::string> known{"healthy", "degraded", "unhealthy"};
  for (const auto& [said, means] : health.words)
    if (!known.contains(means))
      section.fail("health", "`words` makes `" + said + "` of it `" + means
                                 + "`, expected healthy, degraded or unhealthy");
  for (const auto& other : health.otherwise)
    check_health_words(section, other);
}

/// Groups of the `each` pattern; the pattern itself was checked to compile.
std::size_t group_count(const tool_query& query) {
  return query.parse == answer_format::text ? groups_of(query.each) : 0;
}

/// `each`, of which a JSON answer may have several: one per version of the tool.
void read_each(json_section& section, tool_query& query) {
  const auto* value = section.find("each");
  const bool list = value != nullptr && value->is_array();
  if (list && query.parse == answer_format::json) {
    auto places = section.texts("each");
    if (places.empty() || places.size() > limits::field_places_max)
      return section.fail("each", "expected 1 to " + std::to_string(limits::field_places_max)
                                      + " JSON pointers");
    query.each = places.front();
    query.each_otherwise.assign(places.begin() + 1, places.end());
  } else {
    query.each = query.parse == answer_format::text     ? section.pattern("each", 1)
                 : query.parse == answer_format::blocks ? section.pattern("each", 0)
                                                        : section.text("each");
  }
  if (query.parse != answer_format::json)
    return;
  for (const auto& one : query.each_otherwise)
    check_place(section, "each", one, query.parse, 0);
  if (!query.each.empty())
    check_place(section, "each", query.each, query.parse, 0);
}

void read_where(json_file& file, json_section& section, tool_query& query) {
  const auto* object = section.find("where");
  if (object == nullptr)
    return;
  json_section inner(file, section.at("where"), *object);
  if (!object->is_object() || object->size() > limits::field_places_max)
    return section.fail("where", "expected an object of at most "
                                     + std::to_string(limits::field_places_max)
                                     + " places and patterns");
  for (const auto& [place, pattern] : object->items()) {
    check_place(inner, place, place, query.parse, group_count(query));
    query.where[place] = inner.pattern(place, 0);
  }
}

void read_place(json_section& section, tool_query& query, bool telemetry) {
  query.parse = static_cast<answer_format>(
      section.word("parse", {"json", "csv", "text", "sysfs", "blocks"}, 0));
  read_each(section, query);
  query.columns = section.texts("columns");
  if (section.has("columns") && query.parse != answer_format::csv)
    section.fail("columns", "only with parse csv, whose answer has no header line");
  query.command = section.texts("command");
  query.timeout_us
      = section.duration("timeout", limits::plugin_call_us_max, limits::plugin_call_us_max);
  // A probe keeps nothing: also who only looks asks it.
  check_placeholders(section, "command", query.command,
                     telemetry ? std::vector<std::string>{"plugin", "state"}
                               : std::vector<std::string>{"plugin"});
  const bool reads_files = query.parse == answer_format::sysfs;
  if (reads_files && section.has("command"))
    section.fail("command", "not used with parse sysfs, which reads files");
  if (!reads_files && query.command.empty())
    section.fail(section.has("command") ? "command" : "", "required, expected `command`: a list "
                                                          "of a program and its arguments");
  const bool by_line = query.parse == answer_format::text || query.parse == answer_format::blocks;
  if ((reads_files || by_line) && query.each.empty())
    section.fail(section.has("each") ? "each" : "",
                 reads_files ? "`each` is required: a pattern of folders, e.g. \"/sys/class/x/x*\""
                             : "`each` is required: a regular expression, one device per line");
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
  read_place(section, query, telemetry);
  read_where(file, section, query);
  const field_rules rules{file, query.parse, group_count(query)};
  for (const auto& known : telemetry ? telemetry_fields() : probe_fields()) {
    if (known.required)
      section.require(known.name, "where it stands, e.g. \"/uuid\"");
    if (const auto* value = section.find(known.name))
      query.fields[known.name] = read_field(rules, section, known.name, *value, known.units);
  }
  if (const auto health = query.fields.find("health"); health != query.fields.end())
    check_health_words(section, health->second);
  if (telemetry) {
    query.stream = section.boolean("stream", false);
    if (query.stream && query.parse != answer_format::json)
      section.fail("stream", "only with parse json, one answer per line");
    query.id_attribute = section.text("id_attribute");
    return query;
  }
  if (const auto* list = section.find("attributes")) {
    json_section inner(file, section.at("attributes"), *list);
    if (list->size() > limits::plugin_attributes_max)
      section.fail("attributes", "more than " + std::to_string(limits::plugin_attributes_max));
    else if (list->is_object())
      for (const auto& [name, value] : list->items())
        query.attributes[name] = read_field(rules, inner, name, value, {});
  }
  return query;
}

} // namespace consort::node
