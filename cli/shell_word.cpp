// SPDX-License-Identifier: Apache-2.0
#include "cli/shell_word.hpp"

#include "cli/table.hpp"

#include <algorithm>

namespace consort::cli {

namespace {

bool is_plain(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')
         || std::string_view("._:/@+=-").find(c) != std::string_view::npos;
}

} // namespace

std::string shell_word(std::string_view text) {
  const auto shown = printable(text);
  if (!shown.empty() && std::all_of(shown.begin(), shown.end(), is_plain))
    return shown;
  std::string word = "'";
  for (const char c : shown)
    word
        += c == '\'' ? std::string("'\"'\"'") : std::string(1, c); // Out, a quoted quote, in again.
  return word + "'";
}

} // namespace consort::cli
