// SPDX-License-Identifier: Apache-2.0
#include "node/json_file.hpp"

#include "node/pattern.hpp"
#include "scheduler/nearest_name.hpp"
#include "scheduler/units.hpp"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <set>

namespace consort::node {

namespace {

using nlohmann::json;

/// A key or index as one step of a JSON pointer.
std::string step_of(const std::string& name) {
  std::string step = "/";
  for (const char c : name) {
    if (c == '~')
      step += "~0";
    else if (c == '/')
      step += "~1";
    else
      step += c;
  }
  return step;
}

/// Reads a text while telling how far the parser has come.
struct counting_iterator {
  using iterator_category = std::forward_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  const char* at = nullptr;
  const char* begin = nullptr;
  std::size_t* taken = nullptr;

  reference operator*() const { return *at; }
  counting_iterator& operator++() {
    ++at;
    *taken = static_cast<std::size_t>(at - begin);
    return *this;
  }
  counting_iterator operator++(int) {
    auto before = *this;
    ++*this;
    return before;
  }
  friend bool operator==(const counting_iterator& left, const counting_iterator& right) {
    return left.at == right.at;
  }
};

/// A first pass that only notes where each value starts, by pointer; stops at duplicate keys and
/// at limits::plugin_json_depth_max.
class position_pass : public nlohmann::json_sax<json> {
public:
  position_pass(std::string_view text, const std::size_t& taken) : text_(text), taken_(taken) {}

  bool null() override { return scalar(word_start(4)); }
  bool boolean(bool value) override { return scalar(word_start(value ? 4 : 5)); }
  bool number_integer(number_integer_t) override { return scalar(number_start()); }
  bool number_unsigned(number_unsigned_t) override { return scalar(number_start()); }
  bool number_float(number_float_t, const string_t&) override { return scalar(number_start()); }
  bool string(string_t&) override { return scalar(string_start()); }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return open(false); }
  bool end_object() override { return close(); }
  bool start_array(std::size_t) override { return open(true); }
  bool end_array() override { return close(); }
  bool key(string_t& name) override {
    auto& inside = levels_.back();
    inside.step = step_of(name);
    offset_ = string_start();
    if (!inside.keys.insert(name).second)
      return stop("key appears twice");
    positions[pointer()] = offset_;
    return true;
  }
  bool parse_error(std::size_t, const std::string&, const json::exception& problem) override {
    offset_ = taken_ == 0 ? 0 : taken_ - 1;
    // The library's text is "[json.exception.parse_error.101] parse error at ...: <what>".
    const std::string what = problem.what();
    const auto colon = what.find("syntax error");
    message = colon == std::string::npos ? what : what.substr(colon);
    return false;
  }

  std::map<std::string, std::size_t> positions;
  std::string message; ///< Why it stopped; empty = it did not.
  [[nodiscard]] std::size_t offset() const { return offset_; }
  [[nodiscard]] std::string pointer() const {
    std::string path;
    for (const auto& outer : levels_)
      path += outer.is_array ? "/" + std::to_string(outer.index) : outer.step;
    return path;
  }

private:
  struct level {
    bool is_array = false;
    std::size_t index = 0;
    std::string step;
    std::set<std::string> keys;
  };

  bool stop(const std::string& why) {
    message = why;
    return false;
  }
  bool scalar(std::size_t start) {
    place(start);
    advance();
    return true;
  }
  /// A member is where its key is; anything else where it starts.
  void place(std::size_t start) {
    offset_ = start;
    if (levels_.empty() || levels_.back().is_array)
      positions[pointer()] = start;
  }
  void advance() {
    if (!levels_.empty())
      ++levels_.back().index;
  }
  bool open(bool is_array) {
    place(taken_ - 1);
    if (levels_.size() == limits::plugin_json_depth_max)
      return stop("nested deeper than " + std::to_string(limits::plugin_json_depth_max));
    levels_.push_back({is_array, 0, {}, {}});
    return true;
  }
  bool close() {
    levels_.pop_back();
    advance();
    return true;
  }
  [[nodiscard]] std::size_t word_start(std::size_t length) const {
    return taken_ < length ? 0 : taken_ - length;
  }
  /// The lexer has read one character past a number, unless the text ended.
  [[nodiscard]] std::size_t number_start() const {
    static constexpr std::string_view digits = "0123456789+-.eE";
    auto start = std::min(taken_, text_.size());
    if (start > 0 && digits.find(text_[start - 1]) == std::string_view::npos)
      --start;
    while (start > 0 && digits.find(text_[start - 1]) != std::string_view::npos)
      --start;
    return start;
  }
  [[nodiscard]] std::size_t string_start() const {
    auto at = taken_ < 2 ? 0 : taken_ - 2; // taken_ - 1 is the closing quote.
    while (at > 0 && (text_[at] != '"' || escaped(at)))
      --at;
    return at;
  }
  [[nodiscard]] bool escaped(std::size_t at) const {
    std::size_t slashes = 0;
    while (at > slashes && text_[at - 1 - slashes] == '\\')
      ++slashes;
    return slashes % 2 == 1;
  }

  std::string_view text_;
  const std::size_t& taken_;
  std::size_t offset_ = 0;
  std::vector<level> levels_;
};

std::string kind_of(const json& value) {
  return value.is_number() ? std::string("a number")
                           : "a" + std::string(value.is_object() || value.is_array() ? "n " : " ")
                                 + value.type_name();
}

} // namespace

result<json_file> json_file::parse(std::string_view text, std::string origin) {
  json_file file;
  file.origin_ = std::move(origin);
  if (text.size() > limits::plugin_json_bytes_max)
    return error{recovery::refuse, "plugin_json",
                 file.origin_ + ": larger than " + format_size(limits::plugin_json_bytes_max)};
  std::size_t taken = 0;
  position_pass pass(text, taken);
  const char* const begin = text.data();
  const char* const end = begin + text.size();
  const bool whole = json::sax_parse(counting_iterator{begin, begin, &taken},
                                     counting_iterator{end, begin, &taken}, &pass,
                                     json::input_format_t::json, true, true);
  const auto locate = [&](std::size_t offset) {
    const auto before = text.substr(0, std::min(offset, text.size()));
    const auto line_start = before.rfind('\n');
    return position{1 + static_cast<std::size_t>(std::count(before.begin(), before.end(), '\n')),
                    before.size() - (line_start == std::string_view::npos ? 0 : line_start + 1)
                        + 1};
  };
  if (!whole) {
    file.positions_[pass.pointer()] = locate(pass.offset());
    file.fail(pass.pointer(), pass.message);
    return *file.failure_;
  }
  for (const auto& [pointer, offset] : pass.positions)
    file.positions_[pointer] = locate(offset);
  file.root_ = json::parse(text.begin(), text.end(), nullptr, false, true);
  return file;
}

void json_file::fail(const std::string& pointer, const std::string& message) {
  if (!failure_)
    failure_ = locate(pointer, message);
}

void json_file::fail_missing(const std::string& pointer, const std::string& message) {
  if (!missing_)
    missing_ = locate(pointer, message);
}

error json_file::locate(const std::string& pointer, const std::string& message) const {
  // A missing member is reported where its object stands.
  auto known = pointer;
  while (!positions_.contains(known) && !known.empty())
    known.erase(known.rfind('/'));
  const auto found = positions_.find(known);
  const auto where = found == positions_.end() ? position{} : found->second;
  return {recovery::refuse, "plugin_json",
          origin_ + ":" + std::to_string(where.line) + ":" + std::to_string(where.column) + ": "
              + (pointer.empty() ? "/" : pointer) + ": " + message};
}

json_section::json_section(json_file& file, std::string pointer, const json& object)
    : file_(file), pointer_(std::move(pointer)), object_(object) {
  if (!object_.is_object())
    file_.fail(pointer_, "expected an object, not " + kind_of(object_));
}

void json_section::finish() {
  if (!object_.is_object())
    return;
  for (const auto& [name, value] : object_.items())
    if (std::find(known_.begin(), known_.end(), name) == known_.end())
      file_.fail(at(name), "unknown key" + did_you_mean(name, known_));
}

const json* json_section::find(const std::string& name) {
  if (std::find(known_.begin(), known_.end(), name) == known_.end())
    known_.push_back(name);
  if (!object_.is_object())
    return nullptr;
  const auto found = object_.find(name);
  return found == object_.end() ? nullptr : &*found;
}

std::string json_section::at(const std::string& name) const {
  return pointer_ + step_of(name);
}

void json_section::fail(const std::string& name, const std::string& message) {
  file_.fail(name.empty() ? pointer_ : at(name), message);
}

void json_section::require(const std::string& name, const char* expected) {
  if (object_.is_object() && !object_.contains(name))
    file_.fail_missing(at(name), std::string("required, expected ") + expected);
}

std::string json_section::text(const std::string& name, std::string fallback) {
  const auto* value = find(name);
  if (value == nullptr)
    return fallback;
  if (value->is_string() && value->get_ref<const std::string&>().find('\0') == std::string::npos)
    return value->get<std::string>();
  fail(name, "expected a text, not " + kind_of(*value));
  return fallback;
}

bool json_section::boolean(const std::string& name, bool fallback) {
  const auto* value = find(name);
  if (value == nullptr)
    return fallback;
  if (value->is_boolean())
    return value->get<bool>();
  fail(name, "expected true or false, not " + kind_of(*value));
  return fallback;
}

std::uint64_t json_section::whole(const std::string& name, std::uint64_t fallback,
                                  std::uint64_t min, std::uint64_t max) {
  const auto* value = find(name);
  if (value == nullptr)
    return fallback;
  if (value->is_number_unsigned() && value->get<std::uint64_t>() >= min
      && value->get<std::uint64_t>() <= max)
    return value->get<std::uint64_t>();
  fail(name, min == max ? "expected the whole number " + std::to_string(min)
                        : "expected a whole number from " + std::to_string(min) + " to "
                              + std::to_string(max));
  return fallback;
}

std::uint64_t json_section::scaled(const std::string& name, std::uint64_t fallback, double scale) {
  const auto* value = find(name);
  if (value == nullptr)
    return fallback;
  constexpr double scaled_max = 1e15;
  if (value->is_number()) {
    const double number = value->get<double>() * scale;
    if (number >= 0 && number <= scaled_max)
      return static_cast<std::uint64_t>(std::llround(number));
  }
  fail(name, "expected a number that is not negative");
  return fallback;
}

duration_us json_section::duration(const std::string& name, duration_us fallback, duration_us max) {
  const auto* value = find(name);
  if (value == nullptr)
    return fallback;
  if (value->is_string()) {
    const auto span = parse_duration(value->get_ref<const std::string&>());
    if (span && *span > 0 && *span <= max)
      return *span;
  }
  fail(name, "expected a duration above 0 and up to " + format_duration(max) + ", e.g. \"30s\"");
  return fallback;
}

std::uint64_t json_section::size(const std::string& name, std::uint64_t fallback) {
  const auto* value = find(name);
  if (value == nullptr)
    return fallback;
  if (value->is_string())
    if (const auto bytes = parse_size(value->get_ref<const std::string&>()); bytes && *bytes > 0)
      return *bytes;
  if (value->is_number_unsigned() && value->get<std::uint64_t>() > 0)
    return value->get<std::uint64_t>();
  fail(name, "expected a size above 0, e.g. \"4GiB\"");
  return fallback;
}

std::vector<std::string> json_section::texts(const std::string& name) {
  const auto* value = find(name);
  std::vector<std::string> all;
  if (value == nullptr)
    return all;
  if (!value->is_array()) {
    fail(name, "expected a list of texts, not " + kind_of(*value));
    return all;
  }
  for (std::size_t i = 0; i < value->size(); ++i) {
    if ((*value)[i].is_string())
      all.push_back((*value)[i].get<std::string>());
    else
      file_.fail(at(name) + "/" + std::to_string(i),
                 "expected a text, not " + kind_of((*value)[i]));
  }
  return all;
}

std::map<std::string, std::string> json_section::text_map(const std::string& name) {
  std::map<std::string, std::string> all;
  const auto* value = find(name);
  if (value == nullptr)
    return all;
  if (!value->is_object()) {
    fail(name, "expected an object of texts, not " + kind_of(*value));
    return all;
  }
  for (const auto& [key, item] : value->items()) {
    if (item.is_string())
      all[key] = item.get<std::string>();
    else
      file_.fail(at(name) + step_of(key), "expected a text, not " + kind_of(item));
  }
  return all;
}

std::size_t json_section::word(const std::string& name, const std::vector<std::string>& words,
                               std::size_t fallback) {
  const auto given = text(name);
  if (given.empty() && !object_.is_object())
    return fallback;
  if (!object_.contains(name))
    return fallback;
  const auto found = std::find(words.begin(), words.end(), given);
  if (found != words.end())
    return static_cast<std::size_t>(found - words.begin());
  std::string all;
  for (const auto& one : words)
    all += (all.empty() ? "" : ", ") + one;
  fail(name, "`" + given + "` is none of " + all + did_you_mean(given, words));
  return fallback;
}

std::string json_section::pattern(const std::string& name, std::size_t groups) {
  auto given = text(name);
  if (given.empty())
    return given;
  if (given.size() > limits::plugin_pattern_bytes_max) {
    fail(name, "regular expression longer than " + std::to_string(limits::plugin_pattern_bytes_max)
                   + " bytes");
    return {};
  }
  if (const auto compiled = node::pattern::compile(given); !compiled)
    fail(name, compiled.failure().message);
  else if (compiled->groups() < groups)
    fail(name, "the regular expression needs " + std::to_string(groups) + " group(s)");
  return given;
}

} // namespace consort::node
