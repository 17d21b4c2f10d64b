// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Bounds of what a node admits: tickets, running attempts, allocations. Each has a test that
/// reaches it.

#include <cstddef>

namespace consort::node::limits {

inline constexpr std::size_t used_tickets_max
    = 65'536; ///< Remembered until they expire; beyond: refused, retry later.
inline constexpr std::size_t attempts_running_max = 16'384; ///< On one node, all devices.
inline constexpr std::size_t allocations_max = 1'024;       ///< Held at once on one node.
inline constexpr std::size_t released_fences_max = 4'096;   ///< Remembered; oldest forgotten first.

} // namespace consort::node::limits
