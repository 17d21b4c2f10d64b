// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Which failed loads say that an engine is to be built anew: once, since the core refuses what is
/// lost again after that. Pure.

#include "scheduler/types.hpp"
#include "scheduler/weights.hpp"

namespace consort::node {

/// Its server's words say so, or its runtime calls it CONSORT_BAD_MODEL. Weights as they are come
/// as they were declared, of an engine for any weights of a shape the weights may be to blame, and
/// what somebody imported or holds is not ours to throw away for a runtime's word.
[[nodiscard]] inline bool unfit_engine(const artifact_record& what, const error& failure) {
  if (failure.code == "artifact_unfit")
    return true;
  return failure.code == "bad_model" && what.key.kind == artifact_kind::engine_weights
         && !core::is_weights(what.key.profile) && what.build_us > 0 && !what.held;
}

} // namespace consort::node
