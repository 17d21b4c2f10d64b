// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Every bound of the llama.cpp runtime, with its unit in its name. Each has a test that reaches
/// it.

#include <cstddef>
#include <cstdint>

namespace consort::llama::limits {

inline constexpr std::size_t config_bytes_max = std::size_t{64} * 1024;
inline constexpr std::size_t body_bytes_max = std::size_t{16} * 1024 * 1024;
inline constexpr std::uint32_t queue_max = 256;    ///< Requests without a sequence; beyond: BUSY.
inline constexpr std::uint32_t sequences_max = 64; ///< Decoded side by side in one session.
inline constexpr std::uint32_t sequences_default = 8;
inline constexpr std::uint32_t context_tokens_max = 1U << 20; ///< Per sequence.
/// Per sequence when nothing was asked: long-context models would fill the memory otherwise.
inline constexpr std::uint32_t context_tokens_default_max = 8'192;
inline constexpr std::uint32_t batch_tokens = 512; ///< Most tokens in one engine step.
inline constexpr std::uint32_t threads_max = 256;
inline constexpr std::uint32_t choices_max = 16; ///< `n`.
inline constexpr std::size_t stops_max = 4;
inline constexpr std::size_t stop_bytes_max
    = 1'024; ///< Per stop string: bounds the text held back.
inline constexpr std::size_t messages_max = 4'096;
inline constexpr std::size_t logit_bias_max = 1'024;
inline constexpr std::uint32_t top_logprobs_max = 20;
inline constexpr std::size_t embedding_inputs_max = 2'048; ///< Texts of one request.
/// In one step of a model whose tokens look back alone: llama.cpp keeps logits of each.
inline constexpr std::uint32_t embedding_step_tokens = 128;
inline constexpr std::int64_t embedding_width_max = 1 << 20; ///< That may be asked for.
inline constexpr std::size_t vendor_line_bytes = 1'024;      ///< One error line of a stepper.
inline constexpr int idle_wait_ms = 1'000; ///< Longest sleep of an idle loop between two looks.

} // namespace consort::llama::limits
