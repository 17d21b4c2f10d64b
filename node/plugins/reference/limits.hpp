// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Every bound of the reference accelerator, with its unit in its name. Each has a test that
/// reaches it.

#include <cstddef>
#include <cstdint>

namespace consort::reference::limits {

inline constexpr std::uint32_t devices_default = 2;
inline constexpr std::uint32_t devices_max = 64;
inline constexpr std::uint64_t memory_bytes = std::uint64_t{2} << 30U; ///< Of one device.
inline constexpr std::uint32_t sequences_max = 8;
inline constexpr std::size_t header_json_bytes_max = std::size_t{64} * 1024;
inline constexpr std::size_t payload_alignment_bytes = 4096;
inline constexpr std::size_t calibration_bytes_max = std::size_t{1024} * 1024;
inline constexpr std::uint32_t calibration_tokens_max = 4'096;
inline constexpr std::uint32_t calibration_tokens_min = 64; ///< Fewer would measure nothing.
inline constexpr double kl_mean_max_default = 0.05;         ///< Nats per token.
inline constexpr double top1_min_default = 0.9;             ///< Share of tokens.
inline constexpr int rank_meet_ms = 50'000; ///< For all ranks of an engine to meet their leader.
inline constexpr int rank_redial_ms = 50;   ///< Between two tries to dial it.
inline constexpr int rank_step_ms = 20'000; ///< For a rank to compute a step, or take an order.
inline constexpr int rank_backlog = 64;     ///< Ranks that dial at once.
inline constexpr std::uint32_t rank_frame_bytes_max = 64U << 20U;
inline constexpr int telemetry_every_ms = 250;
inline constexpr int telemetry_stale_ms = 5'000; ///< Older state says nothing about now.
inline constexpr std::size_t telemetry_file_bytes_max = 4'096;

} // namespace consort::reference::limits
