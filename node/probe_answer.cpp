// SPDX-License-Identifier: Apache-2.0
#include "node/probe_answer.hpp"

#include <nlohmann/json.hpp>

#include <glob.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <fstream>
#include <functional>
#include <regex>
#include <set>

namespace consort::node {

namespace {

using nlohmann::json;

constexpr std::size_t shown_bytes = 80;

/// Looks up where a field stands in one device; nothing when it is not there.
using lookup = std::function<std::optional<std::string>(const std::string& at)>;

std::string clean(std::string_view text) {
  std::string out;
  for (const char c : text.substr(0, limits::plugin_text_bytes_max))
    out += c >= ' ' && c <= '~' ? c : '?';
  return out;
}

std::string_view trim(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos)
    return {};
  return text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

error bad_answer(const std::string& message) {
  return {recovery::retry_later, "plugin_answer", message};
}

std::optional<std::string> read_source(const field_source& source, const lookup& find) {
  auto text = source.constant ? source.constant : find(source.at);
  if (!text)
    return std::nullopt;
  auto cleaned = clean(trim(*text));
  if (const auto word = source.words.find(cleaned); word != source.words.end())
    return word->second;
  return cleaned;
}

answer_row read_row(const tool_query& query, const lookup& find) {
  answer_row row;
  for (const auto& [name, source] : query.fields)
    if (auto text = read_source(source, find))
      row.fields[name] = *std::move(text);
  for (const auto& [name, source] : query.attributes)
    if (auto text = read_source(source, find))
      row.attributes[name] = *std::move(text);
  return row;
}

std::optional<std::string> json_text(const json& device, const std::string& at) {
  const json::json_pointer pointer(at);
  if (!device.contains(pointer))
    return std::nullopt;
  const auto& value = device[pointer];
  if (value.is_string())
    return value.get<std::string>();
  if (value.is_number() || value.is_boolean())
    return value.dump();
  return std::nullopt;
}

result<std::vector<answer_row>> split_json(const tool_query& query, std::string_view answer) {
  bool too_deep = false;
  const auto root = json::parse(
      answer.begin(), answer.end(),
      [&](int depth, json::parse_event_t, json&) {
        too_deep = too_deep || depth > static_cast<int>(limits::json_depth_max);
        return !too_deep;
      },
      false);
  if (too_deep || root.is_discarded())
    return bad_answer(too_deep ? "JSON nested too deep"
                               : "not JSON: `" + clean(answer.substr(0, shown_bytes)) + "`");
  const json::json_pointer each(query.each);
  if (!root.contains(each))
    return bad_answer("nothing at " + query.each);
  const auto& devices = root[each];
  std::vector<answer_row> rows;
  const auto add = [&](const json& device) {
    rows.push_back(read_row(query, [&](const std::string& at) { return json_text(device, at); }));
  };
  if (devices.is_array() || (devices.is_object() && !query.each.empty()))
    std::for_each(devices.begin(), devices.end(), [&](const json& device) {
      if (rows.size() <= limits::plugin_devices_max)
        add(device);
    });
  else
    add(devices);
  return rows;
}

std::vector<std::string_view> split_lines(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const auto end = text.find('\n');
    if (const auto line = trim(text.substr(0, end)); !line.empty())
      lines.push_back(line);
    text = end == std::string_view::npos ? std::string_view{} : text.substr(end + 1);
  }
  return lines;
}

std::vector<std::string> split_columns(std::string_view line) {
  std::vector<std::string> columns(1);
  bool quoted = false;
  for (std::size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (c == '"' && quoted && i + 1 < line.size() && line[i + 1] == '"')
      columns.back() += line[++i]; // A doubled quote inside quotes is one.
    else if (c == '"')
      quoted = !quoted;
    else if (c == ',' && !quoted)
      columns.emplace_back();
    else
      columns.back() += c;
  }
  for (auto& column : columns)
    column = std::string(trim(column));
  return columns;
}

result<std::vector<answer_row>> split_csv(const tool_query& query, std::string_view answer) {
  const auto lines = split_lines(answer);
  if (lines.empty())
    return bad_answer("no header line");
  const auto header = split_columns(lines.front());
  std::vector<answer_row> rows;
  for (std::size_t i = 1; i < lines.size() && rows.size() <= limits::plugin_devices_max; ++i) {
    const auto columns = split_columns(lines[i]);
    rows.push_back(read_row(query, [&](const std::string& at) -> std::optional<std::string> {
      const auto found = std::find(header.begin(), header.end(), at);
      const auto index = static_cast<std::size_t>(found - header.begin());
      if (found == header.end() || index >= columns.size())
        return std::nullopt;
      return columns[index];
    }));
  }
  return rows;
}

result<std::vector<answer_row>> split_text(const tool_query& query, std::string_view answer) {
  std::vector<answer_row> rows;
  try {
    const std::regex each(query.each);
    for (const auto line : split_lines(answer)) {
      // The library's matcher recurses per character: the line is cut before it sees it.
      const std::string text(line.substr(0, limits::pattern_line_bytes_max));
      std::smatch match;
      if (rows.size() > limits::plugin_devices_max || !std::regex_search(text, match, each))
        continue;
      rows.push_back(read_row(query, [&](const std::string& at) -> std::optional<std::string> {
        std::size_t group = 0;
        std::from_chars(at.data(), at.data() + at.size(), group);
        return group < match.size() ? std::optional(match[group].str()) : std::nullopt;
      }));
    }
  } catch (const std::regex_error& problem) {
    return bad_answer(std::string("pattern failed: ") + problem.what());
  }
  return rows;
}

result<std::vector<answer_row>> read_folders(const tool_query& query) {
  glob_t found{};
  const int status = ::glob(query.each.c_str(), GLOB_ERR, nullptr, &found);
  std::vector<std::string> folders(found.gl_pathv, found.gl_pathv + found.gl_pathc);
  ::globfree(&found);
  if (status != 0 && status != GLOB_NOMATCH)
    return bad_answer(query.each + ": cannot be listed");
  std::vector<answer_row> rows;
  for (const auto& folder : folders) {
    if (rows.size() > limits::plugin_devices_max)
      break;
    rows.push_back(read_row(query, [&](const std::string& at) -> std::optional<std::string> {
      std::ifstream file(folder + "/" + at);
      std::string text(limits::plugin_text_bytes_max, '\0');
      if (!file.read(text.data(), static_cast<std::streamsize>(text.size())) && file.gcount() == 0)
        return std::nullopt;
      text.resize(static_cast<std::size_t>(file.gcount()));
      return text.substr(0, text.find('\n'));
    }));
  }
  return rows;
}

result<std::vector<answer_row>> split(const tool_query& query, std::string_view answer) {
  switch (query.parse) {
  case answer_format::json: return split_json(query, answer);
  case answer_format::csv: return split_csv(query, answer);
  case answer_format::text: return split_text(query, answer);
  case answer_format::sysfs: return read_folders(query);
  }
  return bad_answer("unknown format");
}

} // namespace

result<std::vector<answer_row>> split_answer(const tool_query& query, std::string_view answer) {
  auto rows = split(query, answer);
  if (!rows)
    return rows;
  if (rows->size() > limits::plugin_devices_max)
    return bad_answer("more than " + std::to_string(limits::plugin_devices_max) + " devices");
  std::set<std::string> ids;
  for (std::size_t i = 0; i < rows->size(); ++i) {
    const auto id = text_of((*rows)[i], "id");
    if (id.empty())
      return bad_answer("device " + std::to_string(i) + " has no id");
    if (!ids.insert(id).second)
      return bad_answer("two devices have the id " + id);
  }
  return rows;
}

std::optional<std::int64_t> figure_of(const tool_query& query, const answer_row& row,
                                      const std::string& name) {
  const auto source = query.fields.find(name);
  const auto text = text_of(row, name);
  if (source == query.fields.end() || text.empty())
    return std::nullopt;
  double number = 0;
  const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), number);
  const auto rest
      = trim(std::string_view(end, static_cast<std::size_t>(text.data() + text.size() - end)));
  if (status != std::errc{} || (!rest.empty() && rest != source->second.unit))
    return std::nullopt;
  constexpr double figure_max = 9e15; // Exact in a double, and far above any device.
  const double scaled = number * static_cast<double>(source->second.multiply)
                        / static_cast<double>(source->second.divide);
  if (!std::isfinite(scaled) || std::abs(scaled) > figure_max)
    return std::nullopt;
  return std::llround(scaled);
}

std::string text_of(const answer_row& row, const std::string& name) {
  const auto found = row.fields.find(name);
  return found == row.fields.end() ? std::string{} : found->second;
}

} // namespace consort::node
