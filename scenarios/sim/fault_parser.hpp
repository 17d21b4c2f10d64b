// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Reads one entry of a scenario's `faults`. A name that does not exist, a field that the kind does
/// not have and a number out of range are errors that name line, field and the nearest name.
/// Stateless; single-threaded.

#include "scenarios/sim/faults.hpp"
#include "scenarios/strict_json.hpp"

namespace consort::sim {

/// The only name of a link's end that is no node.
inline constexpr std::string_view gateway_word = "gateway";

/// What a fault may name, and how long a run is.
struct fault_names {
  std::vector<std::string> nodes;
  std::vector<std::string> devices; ///< Ids, e.g. `edge-0/npu0`.
  duration_us safety_us = 0;
  /// What other clusters of a sweep have: to name it is no error, and strikes nothing here. May be
  /// null.
  const fault_names* elsewhere = nullptr;
};

/// Notes the first thing wrong in `failure`; what it returns then is of no use.
[[nodiscard]] scenario_fault read_fault(const strict_json::value& item, std::string_view origin,
                                        const fault_names& names, std::optional<error>& failure);

} // namespace consort::sim
