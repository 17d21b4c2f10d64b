// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Reads one workload of a scenario file: where its requests come from, and what they are like.
/// Part of the scenario parser.

#include "scenarios/sim/scenario.hpp"
#include "scenarios/strict_json.hpp"

namespace consort::sim {

/// Notes the first thing wrong in `failure`. `plan`: what was read before, of which models,
/// profiles and the end of the safety phase are used. Paths are relative to the folder of `origin`;
/// that a trace can be opened is checked here.
[[nodiscard]] scenario_workload read_workload(const strict_json::value& item,
                                              std::string_view origin, const scenario& plan,
                                              std::optional<error>& failure);

} // namespace consort::sim
