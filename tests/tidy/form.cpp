// SPDX-License-Identifier: Apache-2.0
// Sizes, first lines, words and calls.
#include "tests/tidy/checks.hpp"

#include <algorithm>
#include <array>

namespace consort::tidy {

namespace {

constexpr std::size_t function_lines_max = 70;
constexpr std::size_t header_lines_max = 400;
constexpr std::size_t source_lines_max = 700;
constexpr std::size_t test_lines_max = 800;
constexpr std::size_t cmake_lines_max = 40;
constexpr std::size_t columns_max = 100;
constexpr std::size_t header_comment_percent_min = 12;
constexpr std::size_t header_lines_without_comment_max = 15;

/// Functions allowed above the limit, `path:name` with the reason beside. The list only shrinks:
/// an entry that is no longer needed is an error too.
constexpr std::array<std::string_view, 0> long_functions = {};

/// Words that say something about one machine or one moment and nothing about the project. In
/// halves, so that this file does not trip over itself.
constexpr std::array forbidden_words = {"/work/"
                                        "main",
                                        "/work/"
                                        "shared",
                                        "/work/."
                                        "library",
                                        "registry."
                                        "npmjs",
                                        "registry."
                                        "yarnpkg",
                                        "/root/"
                                        ".",
                                        "as an AI "
                                        "language",
                                        "Co-Authored"
                                        "-By"};

constexpr std::array banned_calls
    = {"strcpy", "strcat", "sprintf", "vsprintf", "gets",    "rand",
       "srand",  "tmpnam", "mktemp",  "alloca",   "longjmp", "setjmp"};
/// They hand a line to a shell; tests may, the product may not.
constexpr std::array shell_calls = {"system", "popen"};
constexpr std::array sleep_calls = {"sleep_for", "sleep_until", "sleep", "usleep", "nanosleep"};

/// A host process ends with its I/O thread, by _exit(), while the vendor's code may hang in the
/// other: nobody is left to join.
constexpr std::string_view detaching_file = "node/host/host_port.cpp";

bool is_test(const source_file& file) {
  return file.starts_with("tests/");
}

bool is_cmake(const source_file& file) {
  return file.ends_with("CMakeLists.txt");
}

bool is_text_with_license(const source_file& file) {
  return file.is_cpp() || is_cmake(file) || file.ends_with(".cmake") || file.ends_with(".capnp")
         || file.ends_with(".mjs") || file.ends_with(".sh") || file.path == "dev"
         || file.path == ".ci/run";
}

std::size_t lines_max(const source_file& file) {
  if (is_cmake(file))
    return cmake_lines_max;
  if (is_test(file))
    return test_lines_max;
  return file.is_header() ? header_lines_max : source_lines_max;
}

/// Characters, not bytes: UTF-8 continuation bytes do not count.
std::size_t columns(std::string_view line) {
  return static_cast<std::size_t>(std::count_if(line.begin(), line.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U;
  }));
}

void check_density(const source_file& file, findings& out) {
  std::size_t commented = 0;
  std::size_t lines = 0;
  for (std::size_t line = 1; line < file.raw.size(); ++line) { // The SPDX line does not count.
    lines += file.raw[line].empty() ? 0U : 1U;
    commented += file.commented[line] ? 1U : 0U;
  }
  if (lines > header_lines_without_comment_max
      && commented * 100 < lines * header_comment_percent_min)
    out.push_back({file.path, 0, "comments",
                   std::to_string(commented * 100 / lines) + " % of lines comment; a header needs "
                       + std::to_string(header_comment_percent_min)
                       + " %: what, owner, invariant, limit, threads"});
}

void check_functions(const source_file& file, findings& out) {
  for (const function_extent& one : find_functions(file)) {
    const std::string key = file.path + ":" + one.name;
    const bool listed
        = std::find(long_functions.begin(), long_functions.end(), key) != long_functions.end();
    if (one.lines > function_lines_max && !listed)
      out.push_back({file.path, one.line, "size",
                     one.name + " has " + std::to_string(one.lines) + " lines; the limit is "
                         + std::to_string(function_lines_max)});
  }
}

/// A call, not a member of that name, a declaration, or a longer word.
bool calls(std::string_view code, std::string_view name) {
  for (std::size_t at = find_word(code, name); at != std::string_view::npos;
       at = find_word(code, name, at + 1)) {
    const std::size_t after = code.find_first_not_of(' ', at + name.size());
    const std::size_t before = code.find_last_not_of(' ', at == 0 ? 0 : at - 1);
    const bool opens = after != std::string_view::npos && code[after] == '(';
    const bool member
        = at > 0 && (code[at - 1] == '.' || (code[at - 1] == '>' && at > 1 && code[at - 2] == '-'));
    const bool declares = before != std::string_view::npos && before + 1 < at
                          && is_word_char(code[before])
                          && !code.substr(0, before + 1).ends_with("return");
    if (opens && !member && !declares)
      return true;
  }
  return false;
}

bool good_todo(std::string_view line, std::size_t at) {
  for (const char* kind : {"TO"
                           "DO(perf): ",
                           "TO"
                           "DO(security): ",
                           "TO"
                           "DO(port): ",
                           "TO"
                           "DO(test): "})
    if (line.substr(at).starts_with(kind))
      return true;
  return false;
}

void check_words(const source_file& file, std::size_t line, findings& out) {
  const std::string& text = file.raw[line - 1];
  for (const char* word : forbidden_words)
    if (text.find(word) != std::string::npos)
      out.push_back({file.path, line, "words", std::string(word) + " may not appear here"});
  constexpr std::string_view tracked = "issue ";
  const std::size_t number = text.find(tracked) + tracked.size();
  if (text.find(tracked) != std::string::npos && number < text.size() && text[number] >= '0'
      && text[number] <= '9')
    out.push_back({file.path, line, "words", "say what it is about, not its number"});
  for (const char* word : {"FIX"
                           "ME",
                           "XX"
                           "X"})
    if (find_word(text, word) != std::string::npos)
      out.push_back({file.path, line, "words", "finish it, or say why not in words"});
  const std::size_t todo = find_word(text, "TO"
                                           "DO");
  if (todo != std::string::npos && file.is_cpp() && !good_todo(text, todo))
    out.push_back({file.path, line, "words",
                   "write it as TO"
                   "DO(perf|security|port|test): ..."});
}

} // namespace

void check_sizes(const source_file& file, findings& out) {
  const bool measured = file.is_cpp() || is_cmake(file) || file.ends_with(".mjs");
  if (!measured)
    return;
  if (file.raw.size() > lines_max(file))
    out.push_back({file.path, 0, "size",
                   std::to_string(file.raw.size()) + " lines; the limit is "
                       + std::to_string(lines_max(file))});
  for (std::size_t line = 1; line <= file.raw.size(); ++line)
    if (!is_cmake(file) && columns(file.raw[line - 1]) > columns_max)
      out.push_back({file.path, line, "size",
                     std::to_string(columns(file.raw[line - 1])) + " columns; the limit is "
                         + std::to_string(columns_max)});
  if (file.is_header() && !is_test(file))
    check_density(file, out);
  if (file.is_cpp())
    check_functions(file, out);
}

void check_form(const source_file& file, findings& out) {
  const auto within = [&](std::size_t lines, std::string_view text) {
    for (std::size_t line = 0; line < std::min(lines, file.raw.size()); ++line)
      if (file.raw[line].find(text) != std::string::npos)
        return true;
    return false;
  };
  if (is_text_with_license(file) && !within(2, "SPDX-License-Identifier: Apache-2.0"))
    out.push_back({file.path, 1, "form", "the first line must be the SPDX line"});
  if (file.ends_with(".hpp") && !within(2, "#pragma once"))
    out.push_back({file.path, 2, "form", "the second line must be #pragma once"});
  for (std::size_t line = 1; line <= file.raw.size(); ++line)
    check_words(file, line, out);
}

void check_calls(const source_file& file, findings& out) {
  if (!file.is_cpp())
    return;
  const bool no_sleep = is_test(file) && !file.starts_with("tests/system/");
  for (std::size_t line = 1; line <= file.code.size(); ++line) {
    const std::string& code = file.code[line - 1];
    for (const char* name : banned_calls)
      if (calls(code, name))
        out.push_back({file.path, line, "calls", std::string(name) + "() is banned"});
    for (const char* name : shell_calls)
      if (!is_test(file) && calls(code, name))
        out.push_back({file.path, line, "calls", std::string(name) + "() starts a shell"});
    if (find_word(code, "std::async") != std::string::npos)
      out.push_back({file.path, line, "calls", "std::async hides a thread and blocks its caller"});
    const bool detaches = code.find(".detach()") != std::string::npos
                          || code.find("->detach()") != std::string::npos;
    if (detaches && file.path != detaching_file)
      out.push_back({file.path, line, "calls", "a detached thread has no owner: join it"});
    for (const char* name : sleep_calls)
      if (no_sleep && calls(code, name))
        out.push_back({file.path, line, "calls",
                       std::string(name) + "() below the system tier: wait for the event itself"});
  }
}

void check_exceptions(const std::vector<source_file>& tree, findings& out) {
  for (const std::string_view key : long_functions) {
    const std::size_t colon = key.rfind(':');
    bool needed = false;
    for (const source_file& file : tree)
      if (file.path == key.substr(0, colon))
        for (const function_extent& one : find_functions(file))
          needed = needed || (one.name == key.substr(colon + 1) && one.lines > function_lines_max);
    if (!needed)
      out.push_back({std::string(key.substr(0, colon)), 0, "size",
                     std::string(key) + " is within the limit now: take it off the list"});
  }
}

} // namespace consort::tidy
