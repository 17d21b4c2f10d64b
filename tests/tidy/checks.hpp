// SPDX-License-Identifier: Apache-2.0
#pragma once
/// The rules of docs/STYLE.md as functions over files: each looks at one file (or the whole tree)
/// and appends what it found. Pure; the tables that state the rules are in the .cpp files beside.

#include "tests/tidy/source_file.hpp"

namespace consort::tidy {

/// Dependencies point one way: project folders, third-party families, and the purity of scheduler/.
void check_layering(const source_file& file, findings& out);

/// Lines per file and function, columns per line, comment density of headers.
void check_sizes(const source_file& file, findings& out);

/// SPDX line, `#pragma once`, form of TODOs, words that may not appear anywhere.
void check_form(const source_file& file, findings& out);

/// Calls that are unsafe, unbounded or unpredictable; sleeping below the system tier.
void check_calls(const source_file& file, findings& out);

/// Every source is named by a CMakeLists.txt, every header is included by someone.
void check_listed(const std::vector<source_file>& tree, findings& out);

/// Exceptions that nothing needs any more: the list may only shrink.
void check_exceptions(const std::vector<source_file>& tree, findings& out);

/// All of the above over all files.
[[nodiscard]] findings check_tree(const std::vector<source_file>& tree);

/// One function found by the brace heuristic.
struct function_extent {
  std::string name;
  std::size_t line = 0;  ///< Of the first line of its head, from 1.
  std::size_t lines = 0; ///< Head to closing brace, both counted.
};
/// Functions of a file in order, lambdas counted with the function around them.
[[nodiscard]] std::vector<function_extent> find_functions(const source_file& file);

} // namespace consort::tidy
