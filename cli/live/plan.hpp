// SPDX-License-Identifier: Apache-2.0
#pragma once
/// What of a scenario real processes on one host cannot play. Pure.

#include "scenarios/sim/scenario.hpp"

namespace consort::live {

/// Returns: an error of code `usage` that names file and field, or nothing.
[[nodiscard]] std::optional<error> why_not_live(const sim::scenario& plan, const std::string& path);

} // namespace consort::live
