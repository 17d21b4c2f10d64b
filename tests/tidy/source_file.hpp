// SPDX-License-Identifier: Apache-2.0
#pragma once
/// One text file as the tidy checks see it: its lines as written, and the same lines with comments
/// and literals blanked, so that a rule about code cannot be tripped by prose. Plain values.

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace consort::tidy {

struct source_file {
  std::string path;              ///< From the root of the tree, with `/`.
  std::vector<std::string> raw;  ///< Lines as written.
  std::vector<std::string> code; ///< Same lengths; comments and literals are spaces.
  std::vector<bool> commented;   ///< Whether the line holds any part of a comment.

  [[nodiscard]] bool ends_with(std::string_view suffix) const;
  [[nodiscard]] bool starts_with(std::string_view prefix) const;
  /// `.cpp`, `.hpp` or `.h`.
  [[nodiscard]] bool is_cpp() const;
  [[nodiscard]] bool is_header() const;
};

/// One broken rule. `line` counts from 1; 0 means the whole file.
struct finding {
  std::string path;
  std::size_t line = 0;
  std::string rule;
  std::string message;
};
using findings = std::vector<finding>;

/// Splits `text` and, for C and C++ files, blanks comments and literals (raw strings included).
[[nodiscard]] source_file parse_source(std::string path, std::string_view text);

/// Letters, digits and underscore.
[[nodiscard]] bool is_word_char(char c);
/// Where `word` stands as a whole word in `line` at or after `from`; npos when nowhere.
[[nodiscard]] std::size_t find_word(std::string_view line, std::string_view word,
                                    std::size_t from = 0);
/// The path named by an `#include` line, with its quotes or brackets; empty when it is none.
[[nodiscard]] std::string_view include_target(std::string_view raw_line);
/// The folder part of a path, without the last `/`; empty at the root.
[[nodiscard]] std::string_view folder_of(std::string_view path);

} // namespace consort::tidy
