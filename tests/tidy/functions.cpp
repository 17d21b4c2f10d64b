// SPDX-License-Identifier: Apache-2.0
// Finds function bodies by braces. A heuristic, not a parser: it looks at the words between the
// last `;`, `{` or `}` and an opening brace, and only where a function can start.
#include "tests/tidy/checks.hpp"

namespace consort::tidy {

namespace {

enum class scope { outer, function, other };

struct open_brace {
  scope kind = scope::outer;
  std::size_t line = 0; ///< Where its head began.
  std::string name;
};

bool has_word(const std::string& head, std::string_view word) {
  return find_word(head, word) != std::string::npos;
}

/// The identifier in front of the first parenthesis, `~` and qualifiers left out.
std::string name_of(const std::string& head) {
  std::size_t end = head.find('(');
  while (end > 0 && !is_word_char(head[end - 1]))
    --end;
  std::size_t start = end;
  while (start > 0 && is_word_char(head[start - 1]))
    --start;
  return head.substr(start, end - start);
}

scope classify(const std::string& head) {
  if (has_word(head, "namespace") || has_word(head, "extern"))
    return scope::outer;
  if (head.find('(') != std::string::npos)
    return scope::function;
  for (const char* word : {"class", "struct", "union"})
    if (has_word(head, word))
      return scope::outer;
  return scope::other;
}

class scanner {
public:
  std::vector<function_extent> run(const source_file& file) {
    for (std::size_t line = 0; line < file.code.size(); ++line)
      if (!is_directive(file, line))
        scan_line(file.code[line], line + 1);
    return std::move(found_);
  }

private:
  /// Preprocessor lines may hold unbalanced braces, and so may the lines they continue on.
  bool is_directive(const source_file& file, std::size_t line) {
    const std::string& code = file.code[line];
    const std::size_t first = code.find_first_not_of(" \t");
    const bool directive = continued_ || (first != std::string::npos && code[first] == '#');
    continued_ = directive && !code.empty() && code.back() == '\\';
    return directive;
  }

  void scan_line(const std::string& code, std::size_t line) {
    for (const char c : code) {
      if (c == '{')
        open(line);
      else if (c == '}')
        close(line);
      else if (c == ';')
        head_.clear();
      else
        extend(c, line);
    }
    extend(' ', line);
  }

  void extend(char c, std::size_t line) {
    if (c == ' ' && head_.empty())
      return;
    if (head_.empty())
      head_line_ = line;
    head_ += c;
  }

  void open(std::size_t line) {
    const bool may_hold_functions = stack_.empty() || stack_.back().kind == scope::outer;
    const scope kind = may_hold_functions ? classify(head_) : scope::other;
    stack_.push_back({kind, head_.empty() ? line : head_line_,
                      kind == scope::function ? name_of(head_) : std::string{}});
    head_.clear();
  }

  void close(std::size_t line) {
    head_.clear();
    if (stack_.empty())
      return;
    const open_brace ended = stack_.back();
    stack_.pop_back();
    if (ended.kind == scope::function)
      found_.push_back({ended.name, ended.line, line - ended.line + 1});
  }

  std::vector<open_brace> stack_;
  std::vector<function_extent> found_;
  std::string head_;
  std::size_t head_line_ = 0;
  bool continued_ = false;
};

} // namespace

std::vector<function_extent> find_functions(const source_file& file) {
  return scanner{}.run(file);
}

} // namespace consort::tidy
