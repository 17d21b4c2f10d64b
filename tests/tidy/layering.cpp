// SPDX-License-Identifier: Apache-2.0
// Which folder may include what. docs/ARCHITECTURE.md prints the same table.
#include "tests/tidy/checks.hpp"

#include <algorithm>
#include <array>

namespace consort::tidy {

namespace {

using names = std::vector<std::string_view>;

/// A source folder and the project folders that it may include from, itself not repeated.
struct layer {
  std::string_view folder;
  names may_include;
};

const std::vector<layer>& layers() {
  static const std::vector<layer> table = {
      {"scheduler", {}},
      {"messages", {"scheduler"}},
      {"links", {"messages", "scheduler"}},
      {"node", {"links", "messages", "scheduler", "scenarios/models"}},
      {"gateway", {"links", "messages", "scheduler"}},
      {"actors", {"gateway", "node", "links", "messages", "scheduler"}},
      {"scenarios", {"messages", "scheduler"}},
      {"client", {"links", "scheduler", "include"}},
      {"examples", {"include"}},
      {"cli",
       {"actors", "gateway", "node", "scenarios", "client", "links", "messages", "scheduler"}},
  };
  return table;
}

/// A third-party family, recognised by how its headers begin, and the only paths that may use it.
struct family {
  names headers;
  names allowed;
};

const std::vector<family>& families() {
  static const std::vector<family> table = {
      {{"caf/"}, {"actors/", "tests/actors/", "tests/unit/actors/", "tests/support/actor"}},
      {{"capnp/", "kj/"}, {"messages/", "tests/"}},
      {{"boost/"}, {"links/", "client/", "gateway/", "node/", "actors/", "cli/", "tests/"}},
      {{"spdlog/"}, {"links/", "gateway/", "node/", "actors/", "cli/", "tests/"}},
      {{"nlohmann/"}, {"client/", "gateway/", "node/", "actors/", "scenarios/", "cli/", "tests/"}},
      {{"hwloc"}, {"node/", "tests/"}},
      {{"llama", "ggml", "gguf"}, {"node/", "tests/"}},
      {{"sqlite3"}, {"cli/", "tests/"}},
      {{"prometheus/"}, {"gateway/", "cli/", "tests/"}},
      {{"CLI/"}, {"cli/", "tests/unit/cli/"}},
      {{"gtest/", "gmock/", "benchmark/"}, {"tests/"}},
  };
  return table;
}

/// Standard headers that would give the core a clock, a thread, a generator or a way out.
constexpr std::array impure_headers
    = {"<chrono>", "<ctime>",  "<time.h>",  "<random>",     "<thread>",   "<mutex>",
       "<future>", "<atomic>", "<fstream>", "<filesystem>", "<iostream>", "<condition_variable>",
       "<csignal>"};
constexpr std::array impure_words
    = {"std::chrono",  "std::thread", "std::mutex", "std::random_device",
       "std::shuffle", "std::hash",   "std::cout",  "std::cerr",
       "printf",       "getenv"};

constexpr std::string_view version_header = "actors/caf_compat.hpp";

bool any_prefix(std::string_view text, const names& prefixes) {
  return std::any_of(prefixes.begin(), prefixes.end(),
                     [&](std::string_view prefix) { return text.starts_with(prefix); });
}

std::string_view top_folder(std::string_view path) {
  return path.substr(0, path.find('/'));
}

bool is_project_folder(std::string_view name) {
  return name == "tests" || std::any_of(layers().begin(), layers().end(), [&](const layer& one) {
           return one.folder == name;
         });
}

void check_project_include(const source_file& file, std::size_t line, std::string_view target,
                           findings& out) {
  const std::string_view from = top_folder(file.path);
  const std::string_view to = top_folder(target);
  const auto own = std::find_if(layers().begin(), layers().end(),
                                [&](const layer& one) { return one.folder == from; });
  if (own == layers().end() || from == to || !is_project_folder(to))
    return;
  if (!any_prefix(target, own->may_include))
    out.push_back({file.path, line, "layering",
                   std::string(from) + "/ may not include " + std::string(target)});
}

void check_third_party(const source_file& file, std::size_t line, std::string_view target,
                       findings& out) {
  for (const family& one : families())
    if (any_prefix(target, one.headers) && !any_prefix(file.path, one.allowed))
      out.push_back(
          {file.path, line, "layering",
           std::string(target) + " is not for this folder: see the table in layering.cpp"});
}

/// The core sees the standard library and itself, and of the library nothing that reaches outside.
void check_core_include(const source_file& file, std::size_t line, std::string_view quoted,
                        findings& out) {
  const std::string_view target = quoted.substr(1, quoted.size() - 2);
  const bool own = quoted.front() == '"' && target.starts_with("scheduler/");
  const bool standard
      = quoted.front() == '<' && target.find_first_of("./") == std::string_view::npos;
  const bool impure
      = std::find(impure_headers.begin(), impure_headers.end(), quoted) != impure_headers.end();
  if (!(own || standard) || impure)
    out.push_back(
        {file.path, line, "pure-core", "scheduler/ may not include " + std::string(quoted)});
}

void check_core_words(const source_file& file, std::size_t line, findings& out) {
  for (const char* word : impure_words)
    if (find_word(file.code[line - 1], word) != std::string::npos)
      out.push_back({file.path, line, "pure-core",
                     std::string(word)
                         + " has no place in scheduler/: no clock, thread, "
                           "generator, hash or output"});
}

} // namespace

void check_layering(const source_file& file, findings& out) {
  if (!file.is_cpp())
    return;
  const bool core = file.starts_with("scheduler/");
  for (std::size_t line = 1; line <= file.raw.size(); ++line) {
    const std::string_view quoted = include_target(file.raw[line - 1]);
    if (!quoted.empty()) {
      const std::string_view target = quoted.substr(1, quoted.size() - 2);
      if (core) {
        check_core_include(file, line, quoted, out);
      } else {
        check_project_include(file, line, target, out);
        check_third_party(file, line, target, out);
      }
    } else if (core) {
      check_core_words(file, line, out);
    }
    if (find_word(file.code[line - 1], "CAF_VERSION") != std::string::npos
        && file.path != version_header)
      out.push_back({file.path, line, "layering",
                     "CAF_VERSION belongs in " + std::string(version_header) + " only"});
  }
}

} // namespace consort::tidy
