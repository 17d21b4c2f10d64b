// SPDX-License-Identifier: Apache-2.0
#pragma once
/// One line of JSON looked through for numbers: traces have millions of them, each small. Reads
/// every number, every array of numbers and the length of every string, under its path
/// (`usage.prompt_tokens`); anything else is skipped over. Pure.

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace consort::sim {

struct flat_json {
  static constexpr int depth_max = 16;

  std::map<std::string, double, std::less<>> numbers;
  bool nested = false; ///< Some path of a number has a dot.
  std::map<std::string, std::vector<std::uint64_t>, std::less<>> arrays;
  std::set<std::string, std::less<>> mixed; ///< Arrays with something else than whole numbers.
  /// Bytes of strings, added up under the same path without indices.
  std::map<std::string, std::size_t, std::less<>> text_bytes;
  std::map<std::string, std::string, std::less<>> texts; ///< Of at most 64 bytes.

  /// Replaces what it holds. Returns: what is wrong; empty when nothing is.
  [[nodiscard]] std::string read(std::string_view line);

private:
  bool value(std::string_view& rest, const std::string& path, int depth);
  bool object(std::string_view& rest, const std::string& path, int depth);
  bool array(std::string_view& rest, const std::string& path, int depth);
  bool text(std::string_view& rest, std::string& out);
};

} // namespace consort::sim
