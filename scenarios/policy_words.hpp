// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Reads the name of a built-in profile as scenario files, configuration and flags spell it: one of
/// core::policy_words(). Pure.

#include "scheduler/requests.hpp"

#include <optional>
#include <string_view>

namespace consort::sim {

/// Nothing for an unknown word.
[[nodiscard]] std::optional<policy_name> parse_policy(std::string_view word);

} // namespace consort::sim
