// SPDX-License-Identifier: Apache-2.0
#pragma once
/// JSON with comments as people write it in plugin.json, together with where every value stands, so
/// that an error can name line, column and field. `json_file` owns the parsed text; a
/// `json_section` reads one object of it and remembers the first thing wrong, so that a caller
/// reads all fields in a row and looks once. Duplicate keys, deep nesting and unknown keys are
/// errors. Single-threaded.

#include "node/limits.hpp"
#include "scheduler/result.hpp"

#include <nlohmann/json.hpp>

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace consort::node {

class json_file {
public:
  /// `origin` names the file in errors, which have code `plugin_json` and action `refuse`.
  [[nodiscard]] static result<json_file> parse(std::string_view text, std::string origin);

  [[nodiscard]] const nlohmann::json& root() const { return root_; }
  /// Notes `message` about the field at `pointer`; the first stays.
  void fail(const std::string& pointer, const std::string& message);
  /// Notes a missing field: outranked by any other error, since a misspelt key explains it best.
  void fail_missing(const std::string& pointer, const std::string& message);
  [[nodiscard]] const std::optional<error>& failure() const {
    return failure_ ? failure_ : missing_;
  }

private:
  json_file() = default;

  struct position {
    std::size_t line = 1;
    std::size_t column = 1;
  };
  nlohmann::json root_;
  std::string origin_;
  std::map<std::string, position> positions_; ///< By JSON pointer: the key's, else the value's.
  [[nodiscard]] error locate(const std::string& pointer, const std::string& message) const;

  std::optional<error> failure_;
  std::optional<error> missing_;
};

/// Reads the object at `pointer` of a file. Accessors return their fallback when the field is
/// absent or wrong (after noting the error). Keeps a reference to the file.
class json_section {
public:
  /// Requires: `object` is the value at `pointer` in `file`. A non-object is noted as an error.
  json_section(json_file& file, std::string pointer, const nlohmann::json& object);
  /// Notes the first unknown key, offering the nearest known ones; call after the last accessor.
  void finish();

  [[nodiscard]] const nlohmann::json* find(const std::string& name);
  [[nodiscard]] bool has(const std::string& name) { return find(name) != nullptr; }
  [[nodiscard]] std::string at(const std::string& name) const; ///< Pointer of a member.
  void fail(const std::string& name, const std::string& message);
  void require(const std::string& name, const char* expected);

  [[nodiscard]] std::string text(const std::string& name, std::string fallback = {});
  [[nodiscard]] bool boolean(const std::string& name, bool fallback);
  [[nodiscard]] std::uint64_t whole(const std::string& name, std::uint64_t fallback,
                                    std::uint64_t min, std::uint64_t max);
  /// A number that is not negative, times `scale`, rounded.
  [[nodiscard]] std::uint64_t scaled(const std::string& name, std::uint64_t fallback, double scale);
  [[nodiscard]] duration_us duration(const std::string& name, duration_us fallback,
                                     duration_us max);
  /// Bytes; 0 is refused, since some take it for none at all and others for no limit.
  [[nodiscard]] std::uint64_t size(const std::string& name, std::uint64_t fallback);
  [[nodiscard]] std::vector<std::string> texts(const std::string& name);
  [[nodiscard]] std::map<std::string, std::string> text_map(const std::string& name);
  /// Index of a word in `words`, offering the nearest ones.
  [[nodiscard]] std::size_t word(const std::string& name, const std::vector<std::string>& words,
                                 std::size_t fallback);
  /// A regular expression with at least `groups` groups; checked to compile.
  [[nodiscard]] std::string pattern(const std::string& name, std::size_t groups);

private:
  json_file& file_;
  std::string pointer_;
  const nlohmann::json& object_;
  std::vector<std::string> known_;
};

} // namespace consort::node
