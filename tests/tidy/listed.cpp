// SPDX-License-Identifier: Apache-2.0
// A file that no build list names is dead, and a test that no list names proves nothing.
#include "tests/tidy/checks.hpp"

#include <algorithm>
#include <set>

namespace consort::tidy {

namespace {

/// Replaces the root and current-folder variables of CMake by the paths they stand for.
std::string resolve(std::string word, std::string_view folder) {
  const std::string here = folder.empty() ? std::string{} : std::string(folder) + "/";
  for (const char* root : {"${PROJECT_SOURCE_DIR}/", "${CMAKE_SOURCE_DIR}/"})
    if (word.starts_with(root))
      return word.substr(std::string_view(root).size());
  constexpr std::string_view current = "${CMAKE_CURRENT_SOURCE_DIR}/";
  if (word.starts_with(current))
    word.erase(0, current.size());
  return here + word;
}

/// Every word of every CMakeLists.txt, read as a path from its folder.
std::set<std::string> listed_paths(const std::vector<source_file>& tree) {
  std::set<std::string> paths;
  for (const source_file& file : tree) {
    if (!file.ends_with("CMakeLists.txt"))
      continue;
    for (const std::string& line : file.raw) {
      const std::string_view text = std::string_view(line).substr(0, line.find('#'));
      for (std::size_t at = 0; at < text.size();) {
        const std::size_t start = text.find_first_not_of(" \t()\";", at);
        if (start == std::string_view::npos)
          break;
        at = std::min(text.find_first_of(" \t()\";", start), text.size());
        paths.insert(resolve(std::string(text.substr(start, at - start)), folder_of(file.path)));
      }
    }
  }
  return paths;
}

std::set<std::string> included_paths(const std::vector<source_file>& tree) {
  std::set<std::string> paths;
  for (const source_file& file : tree)
    for (const std::string& line : file.raw) {
      const std::string_view quoted = file.is_cpp() ? include_target(line) : std::string_view{};
      if (quoted.size() > 2)
        paths.emplace(quoted.substr(1, quoted.size() - 2));
    }
  return paths;
}

} // namespace

void check_listed(const std::vector<source_file>& tree, findings& out) {
  const std::set<std::string> listed = listed_paths(tree);
  const std::set<std::string> included = included_paths(tree);
  for (const source_file& file : tree) {
    const bool source = file.ends_with(".cpp") || file.ends_with(".test.mjs");
    if (source && !listed.contains(file.path))
      out.push_back({file.path, 0, "listed", "no CMakeLists.txt names it"});
    if (file.is_header() && !included.contains(file.path) && !listed.contains(file.path))
      out.push_back({file.path, 0, "listed", "nobody includes it by its path from the root"});
  }
}

findings check_tree(const std::vector<source_file>& tree) {
  findings out;
  for (const source_file& file : tree) {
    check_layering(file, out);
    check_sizes(file, out);
    check_form(file, out);
    check_calls(file, out);
  }
  check_listed(tree, out);
  check_exceptions(tree, out);
  return out;
}

} // namespace consort::tidy
