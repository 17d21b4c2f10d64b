// SPDX-License-Identifier: Apache-2.0
#pragma once
/// What is well written and still no run could do: a model that no device holds, a selector that
/// names none, a workload that never begins, or asks more than a run may. Told before the run, with
/// the line of the file, instead of by thousands of refused requests. Pure.
///
/// Combinations of a sweep are not checked so: a cluster without the device that a workload asks
/// for is an answer there.

#include "scenarios/sim/scenario.hpp"

namespace consort::sim {

/// `root` is what `plan` was read from. Returns: the first thing that is wrong.
[[nodiscard]] std::optional<error>
find_impossible(const scenario& plan, const strict_json::value& root, std::string_view origin);

} // namespace consort::sim
