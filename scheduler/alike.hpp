// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Many devices of which the same is to be said, told once: `npu0, npu1 and 6 others: no memory`.
/// What is said of whom keeps the order in which it came. Pure.

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

namespace consort {

/// Named of those of which the same is said, where there are more than one beyond; the rest is
/// counted.
inline constexpr std::size_t alike_named_max = 2;

/// `a`, `a and b`, `a, b and c`, or `a, b and 6 others`. Empty for nobody.
[[nodiscard]] std::string named_few(const std::vector<std::string>& names);

/// Collects words of devices and tells those with the same words together. Of at most `groups_max`
/// different words; who would add more is only counted.
class alike {
public:
  explicit alike(std::size_t groups_max) : groups_max_(groups_max) {}
  void add(std::string name, std::string words);
  [[nodiscard]] bool empty() const { return groups_.empty(); }
  /// `NAME WORDS; NAMES: WORDS; and 3 more`.
  [[nodiscard]] std::string told() const;

private:
  std::size_t groups_max_;
  std::vector<std::pair<std::string, std::vector<std::string>>> groups_; ///< Words, of whom.
  std::size_t left_out_ = 0;                                             ///< Names.
};

} // namespace consort
