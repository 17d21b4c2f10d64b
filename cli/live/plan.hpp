// SPDX-License-Identifier: Apache-2.0
#pragma once
/// What of a scenario real processes on one host cannot play. Pure.

#include "scenarios/sim/scenario.hpp"

namespace consort::live {

/// `root` is what `plan` was read from, `path` the file. Returns: an error that names file, line
/// and field, or nothing.
[[nodiscard]] std::optional<error>
why_not_live(const sim::scenario& plan, const strict_json::value& root, const std::string& path);

} // namespace consort::live
