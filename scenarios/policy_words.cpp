// SPDX-License-Identifier: Apache-2.0
#include "scenarios/policy_words.hpp"

#include "scheduler/policy/profile.hpp"

#include <algorithm>

namespace consort::sim {

std::optional<policy_name> parse_policy(std::string_view word) {
  const auto& words = core::policy_words();
  const auto found = std::find(words.begin(), words.end(), word);
  if (found == words.end())
    return std::nullopt;
  return policy_name{*found};
}

} // namespace consort::sim
