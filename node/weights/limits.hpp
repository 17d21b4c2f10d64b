// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Every bound of fetching weights from outside the cluster, with its unit in its name.

#include "scheduler/ids.hpp"

#include <cstddef>

namespace consort::node::limits {

inline constexpr std::size_t web_url_bytes_max = 4'096;
inline constexpr std::size_t web_head_bytes_max = 64 * 1'024; ///< Signed addresses are long.
inline constexpr std::size_t web_held_bytes_max
    = 128 * 1'024; ///< Of an answer: its head, extensions of one chunk, trailers.
inline constexpr std::size_t web_redirects_max = 5;
inline constexpr std::size_t web_text_bytes_max = 8 * 1'024 * 1'024; ///< An answer kept whole.
inline constexpr std::size_t web_piece_bytes = 256 * 1'024;          ///< Handed on at once.
inline constexpr duration_us web_connect_us = 10'000'000; ///< TCP and TLS; a slow look-up counts.
inline constexpr duration_us web_stall_us = 15'000'000;   ///< A read that brings nothing.
inline constexpr duration_us web_stop_look_us = 50'000;   ///< Between looks whether to stop.
inline constexpr std::size_t weights_tries_max
    = 1; ///< In a row without a new byte: the scheduler has it tried again, and others meanwhile.
inline constexpr duration_us weights_backoff_us = 500'000; ///< Doubled with every such try.
inline constexpr duration_us weights_retry_after_us_max = 60'000'000; ///< Heeded, if asked to wait.
inline constexpr std::uint64_t weights_bytes_max = 1ULL << 42U;       ///< One file.
inline constexpr std::size_t weights_head_bytes
    = 1'024 * 1'024; ///< Of a file, read to describe it.
inline constexpr std::size_t folder_text_bytes_max
    = 1'024 * 1'024; ///< A file of a folder that is read whole to describe it.
inline constexpr std::size_t hub_token_bytes_max = 1'024;
inline constexpr std::size_t descriptions_max = 256; ///< Remembered of weights elsewhere.
inline constexpr duration_us partial_age_us_max = 7LL * 24 * 3'600 * 1'000'000; ///< Then removed.

/// The bounds that a fetch from the web can be given. Requires: all positive.
struct web_set {
  duration_us connect = web_connect_us;
  duration_us stall = web_stall_us;
  std::size_t tries = weights_tries_max;
  duration_us backoff = weights_backoff_us;
};

} // namespace consort::node::limits
