// SPDX-License-Identifier: Apache-2.0
// Checks the tree against docs/STYLE.md: `consort_tidy ROOT` prints one line per broken rule, in
// the form that editors jump to, and fails if there is any.
#include "tests/tidy/checks.hpp"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace {

namespace fs = std::filesystem;
using consort::tidy::findings;
using consort::tidy::source_file;

constexpr std::uintmax_t file_bytes_max = 1U << 20U; ///< Larger files are data.

bool is_skipped_folder(const fs::path& folder) {
  const std::string name = folder.filename().string();
  return name == ".git" || name == "build" || name == ".deps" || name == "node_modules";
}

bool is_text(const fs::path& file) {
  static const std::vector<std::string> kinds
      = {".cpp", ".hpp", ".h", ".c", ".capnp", ".mjs", ".cmake", ".txt", ".md", ".json", ".sh", ""};
  return std::find(kinds.begin(), kinds.end(), file.extension().string()) != kinds.end();
}

std::string read_file(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// Every text file under `root`, by path, so that the output order is the same everywhere.
std::vector<source_file> read_tree(const fs::path& root) {
  std::vector<source_file> tree;
  for (fs::recursive_directory_iterator at(root), end; at != end; ++at) {
    if (at->is_directory() && is_skipped_folder(at->path()))
      at.disable_recursion_pending();
    else if (at->is_regular_file() && at->path().filename() != ".git" // Of a worktree.
             && is_text(at->path()) && at->file_size() <= file_bytes_max)
      tree.push_back(consort::tidy::parse_source(fs::relative(at->path(), root).generic_string(),
                                                 read_file(at->path())));
  }
  std::sort(tree.begin(), tree.end(),
            [](const source_file& a, const source_file& b) { return a.path < b.path; });
  return tree;
}

int check(const fs::path& root) {
  const std::vector<source_file> tree = read_tree(root);
  const findings found = consort::tidy::check_tree(tree);
  for (const consort::tidy::finding& one : found)
    std::printf("%s:%zu: %s: %s\n", one.path.c_str(), one.line, one.rule.c_str(),
                one.message.c_str());
  std::printf("tidy: %zu files, %zu findings\n", tree.size(), found.size());
  return found.empty() && !tree.empty() ? 0 : 1;
}

} // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fputs("usage: consort_tidy ROOT\n", stderr);
    return 2;
  }
  try {
    return check(argv[1]);
  } catch (const std::exception& failure) {
    std::fprintf(stderr, "consort_tidy: %s\n", failure.what());
    return 1;
  }
}
