// SPDX-License-Identifier: Apache-2.0
#include "node/csv_table.hpp"

#include <algorithm>

namespace consort::node {

namespace {

std::string_view trim(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\r");
  if (first == std::string_view::npos)
    return {};
  return text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
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

} // namespace

std::optional<csv_table> read_csv(std::string_view text, const std::vector<std::string>& columns) {
  csv_table table;
  table.header = columns;
  while (!text.empty()) {
    const auto end = text.find('\n');
    const auto line = trim(text.substr(0, end));
    text = end == std::string_view::npos ? std::string_view{} : text.substr(end + 1);
    if (line.empty())
      continue;
    if (table.header.empty()) {
      table.header = split_columns(line);
      while (table.header.size() > 1 && table.header.back().empty())
        table.header.pop_back();
    } else {
      table.rows.push_back(split_columns(line));
    }
  }
  return table.header.empty() ? std::nullopt : std::optional(std::move(table));
}

std::optional<std::string> cell(const csv_table& table, std::size_t row,
                                const std::string& column) {
  const auto found = std::find(table.header.begin(), table.header.end(), column);
  const auto index = static_cast<std::size_t>(found - table.header.begin());
  if (found == table.header.end() || index >= table.rows[row].size())
    return std::nullopt;
  return table.rows[row][index];
}

std::optional<std::size_t> short_row(const csv_table& table) {
  const auto found = std::find_if(table.rows.begin(), table.rows.end(), [&](const auto& row) {
    return row.size() < table.header.size();
  });
  return found == table.rows.end()
             ? std::nullopt
             : std::optional(static_cast<std::size_t>(found - table.rows.begin()));
}

} // namespace consort::node
