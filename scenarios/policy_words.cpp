// SPDX-License-Identifier: Apache-2.0
#include "scenarios/policy_words.hpp"

#include "scheduler/policy/profile.hpp"

#include <algorithm>

namespace consort::sim {

const std::vector<std::string>& policy_words() {
  return core::policy_words();
}

std::optional<policy_name> parse_policy(std::string_view word) {
  const auto& words = policy_words();
  const auto found = std::find(words.begin(), words.end(), word);
  if (found == words.end())
    return std::nullopt;
  return policy_name{*found};
}

} // namespace consort::sim
