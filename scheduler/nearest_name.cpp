// SPDX-License-Identifier: Apache-2.0
#include "scheduler/nearest_name.hpp"

#include <algorithm>
#include <utility>

namespace consort {

namespace {

constexpr std::size_t name_bytes_max = 128;

/// Optimal string alignment distance (Boytsov 2011, section 2.2): Levenshtein plus swaps of
/// neighbours.
std::size_t edit_distance(std::string_view left, std::string_view right) {
  std::vector<std::size_t> before(right.size() + 1), last(right.size() + 1), row(right.size() + 1);
  for (std::size_t j = 0; j <= right.size(); ++j)
    last[j] = j;
  for (std::size_t i = 1; i <= left.size(); ++i) {
    row[0] = i;
    for (std::size_t j = 1; j <= right.size(); ++j) {
      const std::size_t replace = last[j - 1] + (left[i - 1] == right[j - 1] ? 0 : 1);
      row[j] = std::min({replace, last[j] + 1, row[j - 1] + 1});
      if (i > 1 && j > 1 && left[i - 1] == right[j - 2] && left[i - 2] == right[j - 1])
        row[j] = std::min(row[j], before[j - 2] + 1);
    }
    std::swap(before, last);
    std::swap(last, row);
  }
  return last[right.size()];
}

std::string listed(const std::vector<std::string>& names) {
  std::string text;
  for (const auto& name : names)
    text += (text.empty() ? "" : ", ") + name;
  return text;
}

} // namespace

std::vector<std::string> nearest_names(std::string_view wanted,
                                       const std::vector<std::string>& known,
                                       std::size_t count_max) {
  std::vector<std::pair<std::size_t, std::string>> near;
  for (const auto& name : known) {
    const auto longer = std::max(wanted.size(), name.size());
    if (wanted.empty() || longer > name_bytes_max)
      continue;
    const auto distance = edit_distance(wanted, name);
    if (distance <= (longer + 2) / 3 || name.find(wanted) != std::string::npos)
      near.emplace_back(distance, name);
  }
  std::sort(near.begin(), near.end());
  std::vector<std::string> names;
  for (auto& [distance, name] : near) {
    if (names.size() == count_max)
      break;
    names.push_back(std::move(name));
  }
  return names;
}

std::string did_you_mean(std::string_view wanted, const std::vector<std::string>& known) {
  const auto names = nearest_names(wanted, known);
  return names.empty() ? std::string() : " (did you mean " + listed(names) + "?)";
}

std::string did_you_mean_or_list(std::string_view wanted, const std::vector<std::string>& known) {
  auto near = did_you_mean(wanted, known);
  if (near.empty() && !known.empty() && known.size() <= listed_names_max)
    near = " (there are " + listed(known) + ")";
  return near;
}

} // namespace consort
