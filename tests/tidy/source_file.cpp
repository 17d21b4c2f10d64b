// SPDX-License-Identifier: Apache-2.0
#include "tests/tidy/source_file.hpp"

#include <utility>

namespace consort::tidy {

namespace {

/// Walks C++ text once, writing spaces over comments and literals. Knows nothing of the grammar
/// beyond that.
class blanker {
public:
  explicit blanker(std::string_view text) : text_(text), code_(text) {}

  std::string run(std::vector<bool>& commented) {
    while (at_ < text_.size())
      one(commented);
    return std::move(code_);
  }

private:
  void one(std::vector<bool>& commented) {
    if (here("//"))
      blank_comment(commented, "\n", 0);
    else if (here("/*"))
      blank_comment(commented, "*/", 2);
    else if (here("R\"") && !(at_ > 0 && is_word_char(text_[at_ - 1])))
      blank_raw_string();
    else if (text_[at_] == '"')
      blank_literal('"');
    else if (text_[at_] == '\'' && !(at_ > 0 && is_word_char(text_[at_ - 1])))
      blank_literal('\''); // After a word character it separates digits: 1'000.
    else
      step();
  }

  [[nodiscard]] bool here(std::string_view what) const {
    return text_.substr(at_, what.size()) == what;
  }
  void step() {
    if (text_[at_] == '\n')
      ++line_;
    ++at_;
  }
  void blank() {
    if (text_[at_] != '\n')
      code_[at_] = ' ';
    step();
  }
  void blank_comment(std::vector<bool>& commented, std::string_view end, std::size_t end_size) {
    std::size_t stop = text_.find(end, at_ + 2);
    stop = stop == std::string_view::npos ? text_.size() : stop + end_size;
    while (at_ < stop) {
      if (line_ < commented.size())
        commented[line_] = true;
      blank();
    }
  }
  void blank_literal(char quote) {
    blank();
    while (at_ < text_.size() && text_[at_] != quote && text_[at_] != '\n') {
      if (text_[at_] == '\\' && at_ + 1 < text_.size() && text_[at_ + 1] != '\n')
        blank();
      blank();
    }
    if (at_ < text_.size() && text_[at_] == quote)
      blank();
  }
  void blank_raw_string() {
    const std::size_t open = text_.find('(', at_);
    if (open == std::string_view::npos)
      return step();
    const std::string end = ")" + std::string(text_.substr(at_ + 2, open - at_ - 2)) + "\"";
    std::size_t stop = text_.find(end, open);
    stop = stop == std::string_view::npos ? text_.size() : stop + end.size();
    while (at_ < stop)
      blank();
  }

  std::string_view text_;
  std::string code_;
  std::size_t at_ = 0;
  std::size_t line_ = 0;
};

std::vector<std::string> split_lines(std::string_view text) {
  std::vector<std::string> lines;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    lines.emplace_back(text.substr(0, end));
    if (end == std::string_view::npos)
      break;
    text.remove_prefix(end + 1);
  }
  return lines;
}

} // namespace

bool source_file::ends_with(std::string_view suffix) const {
  return std::string_view(path).ends_with(suffix);
}
bool source_file::starts_with(std::string_view prefix) const {
  return std::string_view(path).starts_with(prefix);
}
bool source_file::is_cpp() const {
  return ends_with(".cpp") || is_header();
}
bool source_file::is_header() const {
  return ends_with(".hpp") || ends_with(".h");
}

source_file parse_source(std::string path, std::string_view text) {
  source_file file;
  file.path = std::move(path);
  file.raw = split_lines(text);
  file.commented.assign(file.raw.size(), false);
  file.code = file.is_cpp() ? split_lines(blanker(text).run(file.commented)) : file.raw;
  return file;
}

bool is_word_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

std::size_t find_word(std::string_view line, std::string_view word, std::size_t from) {
  for (std::size_t at = line.find(word, from); at != std::string_view::npos;
       at = line.find(word, at + 1)) {
    const std::size_t after = at + word.size();
    const bool starts = at == 0 || !is_word_char(line[at - 1]) || !is_word_char(word.front());
    const bool ends
        = after >= line.size() || !is_word_char(line[after]) || !is_word_char(word.back());
    if (starts && ends)
      return at;
  }
  return std::string_view::npos;
}

std::string_view include_target(std::string_view raw_line) {
  const std::size_t hash = raw_line.find_first_not_of(" \t");
  if (hash == std::string_view::npos || raw_line[hash] != '#')
    return {};
  const std::size_t word = raw_line.find_first_not_of(" \t", hash + 1);
  if (word == std::string_view::npos || raw_line.substr(word, 7) != "include")
    return {};
  const std::size_t open = raw_line.find_first_of("<\"", word);
  if (open == std::string_view::npos)
    return {};
  const std::size_t close = raw_line.find(raw_line[open] == '<' ? '>' : '"', open + 1);
  return close == std::string_view::npos ? std::string_view{}
                                         : raw_line.substr(open, close - open + 1);
}

std::string_view folder_of(std::string_view path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? std::string_view{} : path.substr(0, slash);
}

} // namespace consort::tidy
