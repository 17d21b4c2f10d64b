// SPDX-License-Identifier: Apache-2.0
/// plugin.json and tools' answers never break their parsers: the input is a plugin file, or, after
/// a first line `csv`, `text` or `json`, an answer to that kind of query.

#include "node/plugin_json.hpp"
#include "node/probe_answer.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

namespace {

using namespace consort;

/// Whatever was accepted keeps the promises of probe_answer.hpp.
void check_rows(const node::tool_query& query, std::string_view answer) {
  const auto rows = node::split_answer(query, answer);
  if (!rows)
    return;
  for (const auto& row : *rows) {
    if (node::text_of(row, "id").empty())
      std::abort();
    for (const auto& [name, text] : row.fields)
      if (text.size() > node::limits::plugin_text_bytes_max)
        std::abort();
    [[maybe_unused]] const auto figure = node::figure_of(row, "memory_bytes");
  }
}

node::tool_query query_of(node::answer_format parse) {
  node::tool_query query;
  query.parse = parse;
  const bool json = parse == node::answer_format::json, text = parse == node::answer_format::text;
  query.each = json ? "/devices" : text ? "^(\\w+) +(\\d+)" : "";
  query.fields["id"].at = json ? "/id" : text ? "1" : "id";
  query.fields["memory_bytes"].at = json ? "/memory/total" : text ? "2" : "memory";
  return query;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size); // NOLINT: raw bytes.
  if (input.starts_with("csv\n"))
    check_rows(query_of(node::answer_format::csv), input.substr(4));
  else if (input.starts_with("text\n"))
    check_rows(query_of(node::answer_format::text), input.substr(5));
  else if (input.starts_with("json\n"))
    check_rows(query_of(node::answer_format::json), input.substr(5));
  else if (const auto read = node::parse_plugin_json(input, "fuzz/plugin.json");
           !read && !read.failure().message.starts_with("fuzz/plugin.json:"))
    std::abort();
  return 0;
}
