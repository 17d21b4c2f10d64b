// SPDX-License-Identifier: Apache-2.0
#include "scenarios/strict_json.hpp"

#include "scheduler/nearest_name.hpp"
#include "scheduler/units.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <iterator>

namespace consort::strict_json {

namespace {

/// Walks the text for the JSON lexer and counts lines. The lexer reads one character ahead of a
/// number, so a newline counts only once the character after it is read.
struct line_counter {
  std::uint32_t line = 1;
  bool newline_pending = false;

  void consumed(char read) {
    if (newline_pending)
      ++line;
    newline_pending = read == '\n';
  }
};

class counting_iterator {
public:
  using iterator_category = std::forward_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  counting_iterator() = default;
  counting_iterator(const char* at, line_counter* counter) : at_(at), counter_(counter) {}

  reference operator*() const { return *at_; }
  counting_iterator& operator++() {
    counter_->consumed(*at_++);
    return *this;
  }
  counting_iterator operator++(int) {
    auto before = *this;
    ++*this;
    return before;
  }
  friend bool operator==(const counting_iterator& a, const counting_iterator& b) {
    return a.at_ == b.at_;
  }
  friend bool operator!=(const counting_iterator& a, const counting_iterator& b) {
    return !(a == b);
  }

private:
  const char* at_ = nullptr;
  line_counter* counter_ = nullptr;
};

/// `file:line: field: `, the start of every message.
std::string place(std::string_view origin, std::uint32_t line, const std::string& path) {
  return std::string(origin) + ":" + std::to_string(line) + ": "
         + (path.empty() ? "" : path + ": ");
}

value made_of(kind type) {
  value made;
  made.type = type;
  return made;
}

/// Builds the tree from the lexer's callbacks; returns false to stop at the first error.
class tree_builder : public nlohmann::json_sax<nlohmann::json> {
public:
  tree_builder(std::string_view origin, const line_counter& counter)
      : origin_(origin), counter_(counter) {}

  value root;
  std::optional<error> failure;

  bool null() override { return add({}) != nullptr; }
  bool boolean(bool given) override {
    auto made = made_of(kind::boolean);
    made.boolean = given;
    return add(std::move(made)) != nullptr;
  }
  bool number_integer(number_integer_t given) override { return real(static_cast<double>(given)); }
  bool number_unsigned(number_unsigned_t given) override {
    return real(static_cast<double>(given));
  }
  bool number_float(number_float_t given, const string_t&) override { return real(given); }
  bool string(string_t& given) override {
    auto made = made_of(kind::string);
    made.text = std::move(given);
    return add(std::move(made)) != nullptr;
  }
  bool binary(binary_t&) override { return stop("binary values are not JSON"); }
  bool start_object(std::size_t) override { return open(kind::object); }
  bool start_array(std::size_t) override { return open(kind::array); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }

  bool key(string_t& name) override {
    auto& object = *open_.back();
    key_ = std::move(name);
    key_line_ = counter_.line;
    // JSON leaves the meaning of a repeated key open; people never mean it.
    if (object.find(key_))
      return stop("`" + key_ + "` is given twice");
    return true;
  }

  bool parse_error(std::size_t, const std::string&,
                   const nlohmann::detail::exception& what) override {
    // Drops the library's own prefix, `[json.exception...] `; line and column are said by place().
    const std::string text = what.what();
    const auto start = text.find(": ");
    return stop("not JSON: " + (start == std::string::npos ? text : text.substr(start + 2)));
  }

private:
  bool real(double given) {
    auto made = made_of(kind::number);
    made.number = given;
    return add(std::move(made)) != nullptr;
  }

  value* add(value made) {
    if (++values_ > values_max)
      return stop("more than " + std::to_string(values_max) + " values"), nullptr;
    made.line = counter_.line;
    if (open_.empty())
      return &(root = std::move(made));
    auto& parent = *open_.back();
    if (parent.type == kind::array) {
      made.path = parent.path + "[" + std::to_string(parent.items.size()) + "]";
      return &parent.items.emplace_back(std::move(made));
    }
    // A member stands where its name does: that is where people look.
    made.line = key_line_;
    made.path = parent.path.empty() ? key_ : parent.path + "." + key_;
    return &parent.members.emplace_back(std::move(key_), std::move(made)).second;
  }

  // Pointers to open values stay valid: only the innermost one grows.
  bool open(kind type) {
    if (open_.size() >= depth_max)
      return stop("nested deeper than " + std::to_string(depth_max));
    auto* made = add(made_of(type));
    if (made)
      open_.push_back(made);
    return made != nullptr;
  }

  bool close() {
    open_.pop_back();
    return true;
  }

  bool stop(const std::string& message) {
    if (!failure)
      failure
          = error{recovery::refuse, "invalid_json",
                  place(origin_, counter_.line, open_.empty() ? "" : open_.back()->path) + message};
    return false;
  }

  std::string_view origin_;
  const line_counter& counter_;
  std::vector<value*> open_;
  std::string key_;
  std::uint32_t key_line_ = 0;
  std::size_t values_ = 0;
};

std::string_view kind_name(kind type) {
  constexpr std::string_view names[]
      = {"null", "true or false", "a number", "a string", "an array", "an object"};
  return names[static_cast<std::size_t>(type)];
}

} // namespace

const value* value::find(std::string_view name) const {
  for (const auto& [key, member] : members)
    if (key == name)
      return &member;
  return nullptr;
}

result<value> parse(std::string_view text, std::string_view origin) {
  if (text.size() > text_bytes_max)
    return error{recovery::refuse, "invalid_json",
                 place(origin, 1, "") + "larger than " + format_size(text_bytes_max)};
  line_counter counter;
  tree_builder builder(origin, counter);
  const char* end = text.data() + text.size();
  const bool parsed = nlohmann::json::sax_parse(counting_iterator(text.data(), &counter),
                                                counting_iterator(end, &counter), &builder,
                                                nlohmann::json::input_format_t::json, true, true);
  if (!parsed)
    return builder.failure.value_or(
        error{recovery::refuse, "invalid_json", place(origin, counter.line, "") + "not JSON"});
  if (builder.root.type != kind::object)
    return error_at(origin, builder.root, "expected an object, `{ ... }`");
  return std::move(builder.root);
}

object_reader::object_reader(const value& object, std::string_view origin,
                             std::optional<error>& first_error)
    : object_(object), origin_(origin), first_error_(first_error) {
  if (object.type != kind::object)
    fail("", "expected an object, found " + std::string(kind_name(object.type)));
}

void object_reader::finish() {
  // Known are the names that were asked for, so the list cannot fall behind the code.
  for (const auto& [name, member] : object_.members) {
    if (std::find(known_.begin(), known_.end(), name) != known_.end())
      continue;
    if (first_error_ && !noted_missing_)
      continue;
    first_error_ = error_at(origin_, member, "unknown key" + did_you_mean(name, known_));
    noted_missing_ = false;
  }
}

const value* object_reader::member(std::string_view name) {
  known_.emplace_back(name);
  return object_.find(name);
}

const value* object_reader::typed(std::string_view name, kind wanted) {
  const auto* found = member(name);
  if (!found || found->type == wanted)
    return found;
  fail(name, "expected " + std::string(kind_name(wanted)) + ", found "
                 + std::string(kind_name(found->type)));
  return nullptr;
}

const value* object_reader::array(std::string_view name) {
  return typed(name, kind::array);
}
const value* object_reader::object(std::string_view name) {
  return typed(name, kind::object);
}

std::string object_reader::text(std::string_view name, std::string fallback) {
  const auto* found = typed(name, kind::string);
  return found ? found->text : std::move(fallback);
}

bool object_reader::boolean(std::string_view name, bool fallback) {
  const auto* found = typed(name, kind::boolean);
  return found ? found->boolean : fallback;
}

double object_reader::number(std::string_view name, double fallback, double min, double max) {
  const auto* found = typed(name, kind::number);
  if (!found)
    return fallback;
  if (found->number >= min && found->number <= max)
    return found->number;
  // %.16g shows whole numbers up to 2^53, the largest bound, without an exponent.
  const bool whole = min == std::floor(min) && max == std::floor(max);
  char range[96];
  std::snprintf(range, sizeof range,
                whole ? "must be between %.16g and %.16g" : "must be between %.15g and %.15g", min,
                max);
  fail(name, range);
  return fallback;
}

std::int64_t object_reader::integer(std::string_view name, std::int64_t fallback, std::int64_t min,
                                    std::int64_t max) {
  const double given = number(name, static_cast<double>(fallback), static_cast<double>(min),
                              static_cast<double>(max));
  if (given == std::floor(given))
    return static_cast<std::int64_t>(given);
  fail(name, "must be a whole number");
  return fallback;
}

std::int64_t object_reader::duration(std::string_view name, std::int64_t fallback) {
  const auto* found = typed(name, kind::string);
  if (!found)
    return fallback;
  if (const auto parsed = parse_duration(found->text))
    return *parsed;
  fail(name,
       "`" + found->text + "` is not a duration such as 250ms, 30s or 10m, at most ten years");
  return fallback;
}

std::uint64_t object_reader::size(std::string_view name, std::uint64_t fallback) {
  const auto* found = member(name);
  if (!found)
    return fallback;
  if (found->type == kind::number && found->number >= 0 && found->number < 9007199254740992.0)
    return static_cast<std::uint64_t>(found->number);
  if (const auto parsed
      = found->type == kind::string ? parse_size(found->text) : std::optional<std::uint64_t>{})
    return *parsed;
  fail(name, "expected a size such as 4GiB");
  return fallback;
}

std::vector<std::string> object_reader::texts(std::string_view name) {
  std::vector<std::string> read;
  if (const auto* found = array(name))
    for (const auto& item : found->items) {
      if (item.type != kind::string && !first_error_)
        first_error_ = error_at(origin_, item, "expected a string");
      read.push_back(item.text);
    }
  return read;
}

void object_reader::require(std::string_view name) {
  if (object_.find(name) || first_error_)
    return;
  fail_missing("`" + std::string(name) + "` is missing");
}

void object_reader::fail_missing(const std::string& message) {
  if (first_error_)
    return;
  fail("", message);
  noted_missing_ = true;
}

void object_reader::fail(std::string_view name, const std::string& message) {
  const auto* found = name.empty() ? &object_ : object_.find(name);
  if (!first_error_)
    first_error_ = error_at(origin_, found ? *found : object_, message);
}

error error_at(std::string_view origin, const value& where, const std::string& message) {
  return {recovery::refuse, "invalid_file", place(origin, where.line, where.path) + message};
}

result<done> map_strings(value& root, std::string_view origin,
                         const std::function<result<std::string>(const std::string&)>& change) {
  if (root.type == kind::string) {
    auto changed = change(root.text);
    if (!changed)
      return error_at(origin, root, changed.failure().message);
    root.text = std::move(*changed);
  }
  for (auto& item : root.items)
    if (auto mapped = map_strings(item, origin, change); !mapped)
      return mapped;
  for (auto& [name, member] : root.members)
    if (auto mapped = map_strings(member, origin, change); !mapped)
      return mapped;
  return done{};
}

} // namespace consort::strict_json
