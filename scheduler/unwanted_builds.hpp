// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Builds, and fetches of weights, that end before they are done since nobody wants what they make:
/// somebody has it already, or the model that it was wanted for was removed and no other has the
/// same weights. What a node is told to stop is off the books at once; its own word is not waited
/// for.

#include "scheduler/modules.hpp"

#include <optional>
#include <string>

namespace consort::core {

/// What it is made of: a variant of the model that it was wanted for, or an adapter of one; nothing
/// when that model does not have it now.
[[nodiscard]] std::optional<model_variant> source_of(const core_state& s,
                                                     const artifact_entry& entry);
/// Takes the compile off the books. Returns: what it was.
compile_entry close_compile(pass& p, compile_id id);
/// Stops the build and says so. `why`: behind "is not needed any more".
void end_build(pass& p, compile_id id, const std::string& why);
/// The model was removed: what is made for it alone ends, what another could use as well goes on
/// for that one.
void end_builds_for(pass& p, index model);

} // namespace consort::core
