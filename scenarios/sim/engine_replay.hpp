// SPDX-License-Identifier: Apache-2.0
#pragma once
/// One engine alone in virtual time: the workload's requests go straight to the first device of the
/// first node, as they would to a bare model server. No scheduler, no network. What device models
/// are compared with measured servers by; scenarios ask for it with `engine_only`.

#include "scenarios/sim/simulation.hpp"

namespace consort::sim {

/// In place of a policy, which nobody followed.
inline constexpr const char* engine_only_word = "engine only";

[[nodiscard]] run_summary replay_engine(const scenario& plan, const run_options& options);

} // namespace consort::sim
