// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Builds whose compiler occupies a device that it builds for (build_profile::needs_device): which
/// one is free for it, and whom a build waits for that has none. Nobody makes room for a build:
/// what serves goes on serving, and the build waits. Pure functions of the core's state.

#include "scheduler/state.hpp"

#include <string>

namespace consort::core {

/// A free device of the node that the artifact is built for; none when all are in use. What an
/// operator ordered is built on a drained or cordoned one as well: so he makes room for it.
[[nodiscard]] index device_for(const core_state& s, const artifact_entry& entry, index node);
/// For people: that no node which could build it now has a free device for it, who is on each, and
/// what to do. Empty where something else is to be waited for, or nothing. O(devices).
[[nodiscard]] std::string device_wait_words(const core_state& s, const artifact_entry& entry);

} // namespace consort::core
