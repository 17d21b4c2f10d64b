// SPDX-License-Identifier: Apache-2.0
#include "scheduler/alike.hpp"

#include <algorithm>

namespace consort {

std::string named_few(const std::vector<std::string>& names) {
  // "and 1 other" is no shorter than its name.
  const auto named = names.size() <= alike_named_max + 1 ? names.size() : alike_named_max;
  std::string words;
  for (std::size_t at = 0; at < named; ++at) {
    const bool last = at + 1 == names.size();
    words += (at == 0 ? "" : last ? " and " : ", ") + names[at];
  }
  if (named < names.size())
    words += " and " + std::to_string(names.size() - named) + " others";
  return words;
}

void alike::add(std::string name, std::string words) {
  auto known = std::find_if(groups_.begin(), groups_.end(),
                            [&](const auto& one) { return one.first == words; });
  if (known == groups_.end() && groups_.size() == groups_max_) {
    ++left_out_;
    return;
  }
  if (known == groups_.end())
    known = groups_.insert(known, {std::move(words), {}});
  known->second.push_back(std::move(name));
}

std::string alike::told() const {
  std::string all;
  for (const auto& [words, names] : groups_)
    all += (all.empty() ? "" : "; ") + named_few(names) + (names.size() > 1 ? ": " : " ") + words;
  if (left_out_ > 0)
    all += "; and " + std::to_string(left_out_) + " more";
  return all;
}

} // namespace consort
