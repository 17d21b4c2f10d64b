// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Every bound of the core, with its unit in its name. Each has a test that reaches it.

#include "scheduler/ids.hpp"

#include <cstddef>

namespace consort::core::limits {

inline constexpr duration_us second_us = 1'000'000;

inline constexpr std::uint32_t nodes_max = 10'000;
inline constexpr std::uint32_t devices_max = 100'000;
inline constexpr std::uint32_t models_max = 10'000;
inline constexpr std::uint32_t queue_max = 10'000;       ///< Waiting requests; beyond: 429.
inline constexpr std::uint32_t requests_max = 1'000'000; ///< Live requests, waiting and running.
inline constexpr std::uint32_t attempts_max = 4;         ///< Per request.
inline constexpr std::size_t external_id_bytes_max = 128;
inline constexpr std::size_t prefix_blocks_max = 1'024;    ///< Per request.
inline constexpr std::uint32_t choices_max = 16;           ///< `n`.
inline constexpr std::size_t explain_requests_max = 1'024; ///< Ring of explained requests.
inline constexpr std::size_t explain_candidates_max
    = 32; ///< Per decision, best first; the rest are counted.
inline constexpr std::size_t explain_decisions_max
    = 16; ///< Per request; the first and the latest are kept.
inline constexpr std::size_t snapshot_requests_max = 256;
inline constexpr duration_us lease_us = 3 * second_us;
inline constexpr duration_us queue_timeout_us = 60 * second_us;
inline constexpr duration_us ticket_us = 10 * second_us; ///< A ticket not opened by then is void.
inline constexpr duration_us load_timeout_us = 600 * second_us;
inline constexpr duration_us reserve_timeout_us
    = 5 * second_us; ///< For a node's answer to reserve_allocation.
inline constexpr duration_us compile_timeout_us = 7'200 * second_us;
inline constexpr duration_us build_backoff_min_us = 1 * second_us;
inline constexpr duration_us build_backoff_max_us = 300 * second_us;
inline constexpr duration_us load_backoff_min_us = 1 * second_us;
inline constexpr duration_us load_backoff_max_us = 60 * second_us;
inline constexpr duration_us orphan_grace_us
    = 2 * second_us; ///< Attempt unknown to its device for this long is lost.

} // namespace consort::core::limits
