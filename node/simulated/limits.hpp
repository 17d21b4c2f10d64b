// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Every bound of simulated devices in real time, with its unit in its name.

#include "scheduler/ids.hpp"

#include <cstddef>

namespace consort::node::limits {

/// A clock that is behind by more stood still, as by SIGSTOP: what did not run is not made up for.
inline constexpr duration_us paced_slip_us = 250'000;
inline constexpr std::size_t troubles_bytes_max = 64 * 1024; ///< The file of the fault menu.
inline constexpr double trouble_factor_max = 1e6;            ///< Of a slow device.
inline constexpr std::size_t simulated_card_bytes_max = 64 * 1024;
inline constexpr std::uint64_t simulated_artifact_bytes_max = 64 * 1024 * 1024; ///< Written of one.
inline constexpr duration_us simulated_telemetry_us = 1'000'000; ///< Between two readings.
inline constexpr std::uint32_t simulated_output_tokens = 16;     ///< Where a request says nothing.
inline constexpr std::size_t simulated_block_tokens = 16;        ///< Of a remembered prefix.
inline constexpr std::uint32_t simulated_tokens_max = 1'000'000; ///< Prompt or answer.

} // namespace consort::node::limits
