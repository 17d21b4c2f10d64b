// SPDX-License-Identifier: Apache-2.0
#include "node/placeholders.hpp"

#include <algorithm>

namespace consort::node {

namespace {

/// Calls `plain(text)` and `named(name)` for the parts of `text`, in order.
template <class Plain, class Named>
void split(std::string_view text, const Plain& plain, const Named& named) {
  std::size_t done = 0;
  for (auto open = text.find('{'); open != std::string_view::npos;
       open = text.find('{', open + 1)) {
    const auto close = text.find_first_not_of("abcdefghijklmnopqrstuvwxyz_", open + 1);
    if (close == std::string_view::npos || text[close] != '}' || close == open + 1)
      continue;
    plain(text.substr(done, open - done));
    named(std::string(text.substr(open + 1, close - open - 1)));
    done = close + 1;
  }
  plain(text.substr(done));
}

} // namespace

std::optional<std::string> unknown_placeholder(std::string_view text,
                                               const std::vector<std::string>& allowed) {
  std::optional<std::string> unknown;
  split(
      text, [](std::string_view) {},
      [&](const std::string& name) {
        if (!unknown && std::find(allowed.begin(), allowed.end(), name) == allowed.end())
          unknown = name;
      });
  return unknown;
}

std::string replace_placeholders(std::string_view text,
                                 const std::map<std::string, std::string>& values) {
  std::string out;
  split(
      text, [&](std::string_view part) { out += part; },
      [&](const std::string& name) {
        const auto known = values.find(name);
        out += known == values.end() ? "{" + name + "}" : known->second;
      });
  return out;
}

bool is_plain_word(std::string_view text) {
  return !text.empty() && text.front() != '-' && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')
           || std::string_view("._:/@+-").find(c) != std::string_view::npos;
  });
}

} // namespace consort::node
