// SPDX-License-Identifier: Apache-2.0
#pragma once
/// How many replicas of a model count towards its minimum and its maximum, and which of them may
/// go. Pure functions of the core's state.

#include "scheduler/wanting.hpp"

namespace consort::core {

/// Replicas of a model's present version that are not leaving.
struct replica_counts {
  std::uint32_t kept = 0;      ///< Towards the minimum: not where an operator stopped new work, or
                               ///< a device is unhealthy.
  std::uint32_t serving = 0;   ///< Towards the maximum: nor where the breaker is not closed.
  std::uint32_t under_way = 0; ///< Being reserved or loaded, whether they count or not.
};

/// Whether one of its devices is drained, cordoned, about to leave, or unhealthy: it serves nobody
/// new until somebody sees to that.
[[nodiscard]] bool held(const core_state& s, const instance_row& one);
/// Whether it counts towards the maximum, see replica_counts.
[[nodiscard]] bool serves(const core_state& s, const model_state& model, const instance_row& one);
[[nodiscard]] replica_counts count_of(const core_state& s, const model_state& model);
[[nodiscard]] bool may_grow(const model_state& model, const replica_counts& seen);
/// Whether its model has replicas enough without it.
[[nodiscard]] bool spare(const core_state& s, const instance_row& one);
/// The same where what runs a former version counts as well.
[[nodiscard]] bool spare_of_any_version(const core_state& s, const instance_row& one);
/// Of a model at its maximum, the idle replica used least recently that may serve none of those,
/// nor anybody else who waits; none when there is no such, or more replicas may be loaded anyway.
[[nodiscard]] index spare_for(const core_state& s, const model_state& model,
                              const replica_counts& seen, const wanting& those);
/// What is ready beyond the model's maximum and may go: those that serve nobody new first, then the
/// idle, then who was used least recently; none when there is no surplus.
[[nodiscard]] index surplus_of(const core_state& s, const model_state& model);

} // namespace consort::core
