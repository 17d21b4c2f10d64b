// SPDX-License-Identifier: Apache-2.0
#pragma once
/// The names of built-in profiles as scenario files, configuration and flags spell them. Pure.

#include "scheduler/requests.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace consort::sim {

/// In the order of docs/POLICIES.md.
[[nodiscard]] const std::vector<std::string>& policy_words();
/// Nothing for an unknown word.
[[nodiscard]] std::optional<policy_name> parse_policy(std::string_view word);

} // namespace consort::sim
