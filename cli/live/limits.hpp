// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Every bound of a rehearsal with real processes, with its unit in its name.

#include "scheduler/ids.hpp"

#include <chrono>
#include <cstddef>

namespace consort::live::limits {

inline constexpr std::size_t nodes_max = 64;              ///< Each is a process of this host.
inline constexpr duration_us latency_us_max = 1'000;      ///< Of `network`: loopback has its own.
inline constexpr std::chrono::seconds ready_timeout{60};  ///< From start to all being linked.
inline constexpr std::chrono::milliseconds ask_every{50}; ///< Between two looks whether it is so.
inline constexpr std::chrono::seconds ask_timeout{10};    ///< One answer of an admin call.
inline constexpr std::chrono::seconds stop_timeout{10};   ///< For all processes to end.
inline constexpr std::size_t answer_bytes_max = 16 * 1024 * 1024; ///< Of an admin call.
inline constexpr std::size_t last_words_bytes_max = 2'000; ///< Of a process that failed, shown.
inline constexpr std::size_t relay_piece_bytes = 64 * 1024;
inline constexpr duration_us network_tool_us_max = 10'000'000; ///< Of one call of ip or tc.
inline constexpr std::chrono::milliseconds settle_look{50};    ///< Between looks whether all ended.
inline constexpr std::chrono::milliseconds late_look{10};      ///< Between looks at the clock.
inline constexpr double quiet_late_ms = 2; ///< A host that is later (p99) is busy, and told so.
inline constexpr duration_us back_us_max
    = 15'000'000; ///< For a node to be known, before its drain.
inline constexpr std::chrono::milliseconds idle_look{100}; ///< Whether a drained node is idle.

} // namespace consort::live::limits
