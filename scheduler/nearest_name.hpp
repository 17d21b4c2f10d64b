// SPDX-License-Identifier: Apache-2.0
#pragma once
/// "Did you mean": the known names nearest to one that was mistyped. Pure.

#include <string>
#include <string_view>
#include <vector>

namespace consort {

/// Names within an edit distance (insert, delete, replace, swap of neighbours) of a third of the
/// longer length, or that contain `wanted`; nearest first, ties by name, at most `count_max`.
/// Inputs longer than 128 bytes match nothing.
[[nodiscard]] std::vector<std::string> nearest_names(std::string_view wanted,
                                                     const std::vector<std::string>& known,
                                                     std::size_t count_max = 3);

/// `" (did you mean a, b?)"`, or an empty string when nothing is near.
[[nodiscard]] std::string did_you_mean(std::string_view wanted,
                                       const std::vector<std::string>& known);

/// Likewise; where nothing is near and there are at most `listed_names_max`, all of them:
/// `" (there are a, b)"`.
[[nodiscard]] std::string did_you_mean_or_list(std::string_view wanted,
                                               const std::vector<std::string>& known);
inline constexpr std::size_t listed_names_max = 12;

} // namespace consort
