// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Every bound between an agent and its host processes, with its unit in its name. Each has a test
/// that reaches it; those that tests lower are defaults of `c_abi_limits`.

#include "scheduler/ids.hpp"

#include <cstddef>

namespace consort::node::limits {

inline constexpr duration_us host_start_us = 600'000'000; ///< Spawn, library and load together.
inline constexpr duration_us host_cancel_us
    = 2'000'000; ///< From a cancel to its terminal event; then the host is killed.
inline constexpr duration_us host_call_us
    = 2'000'000; ///< A call that is to be quick (`cancel`, `stats`) to its return; then it is hung.
inline constexpr duration_us host_close_us = 2'000'000; ///< From `close` to exit; then killed.
inline constexpr duration_us host_stats_us = 1'000'000; ///< Between two readings of counters.
inline constexpr duration_us host_silent_us
    = 60'000'000; ///< Unanswered counters (`submit`, a step): killed.
inline constexpr std::size_t host_unsent_bytes_max
    = std::size_t{64} << 20; ///< Waiting to be written, either side of the socket.
inline constexpr std::size_t host_calls_max
    = 4'096; ///< Messages read by the host and not yet given to the vendor's object.
inline constexpr duration_us host_stall_us
    = 30'000'000; ///< Host waits this long for room to queue an event, then gives up.
inline constexpr duration_us host_burst_us
    = 100; ///< Reports closer together than this are gathered into one write.
inline constexpr std::size_t attempts_per_session_max = 65'536;
inline constexpr std::uint64_t events_per_attempt_max = 8'000'000; ///< Above it is a flood.
inline constexpr std::size_t read_chunk_bytes = 256 * 1024;        ///< One read of a socket.
inline constexpr std::size_t log_line_bytes_max = 1'024; ///< Longer lines of a vendor are cut.
inline constexpr std::size_t log_tail_lines_max = 8;     ///< Kept for the message of a death.
inline constexpr std::uint64_t log_lines_per_session_max = 1'000; ///< Logged; the rest are counted.
inline constexpr std::size_t vendor_message_bytes = 1'024; ///< Buffer for the vendor's error lines.
inline constexpr std::size_t stats_json_bytes_max = 64 * 1024;
inline constexpr int host_oom_score_adj = 500; ///< Dies before the agent when memory runs out.

} // namespace consort::node::limits
