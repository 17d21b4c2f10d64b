// SPDX-License-Identifier: Apache-2.0
#pragma once
/// What nodes hold of an earlier scheduler's and are still to tell, or told too early to be judged.

#include "scheduler/state.hpp"

namespace consort::core {

/// Whether shares of the device may be in use that the ledger does not know yet: nothing is placed
/// there meanwhile. When that ends, everybody looks again.
[[nodiscard]] bool may_be_told_of(const core_state& s, index device);

} // namespace consort::core
