// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Every bound of the command line, with its unit in its name.

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace consort::cli::limits {

inline constexpr std::int64_t tenant_weight_max = 1'000'000;
inline constexpr std::size_t config_models_max = 10'000;
inline constexpr std::size_t config_aliases_max = 64; ///< Per model.
inline constexpr std::size_t name_bytes_max = 128;    ///< Of a cluster.
inline constexpr std::uint32_t queue_max = 1'000'000; ///< Largest `scheduler.queue_max`.
inline constexpr std::int64_t lease_us_min
    = 1'000'000; ///< Smallest `scheduler.lease`: a node's first renewal may be due so late, and a
                 ///< shorter one would fence nodes that are in good order.
inline constexpr std::size_t prompt_bytes_max = 16 * 1024 * 1024; ///< Read from stdin or argument.
inline constexpr std::uint32_t bench_streams_max = 4'096;
inline constexpr std::uint32_t bench_requests_max = 10'000'000;
inline constexpr double bench_rate_max = 100'000;         ///< Requests per second.
inline constexpr std::uint32_t bench_rate_streams = 256;  ///< Unless said otherwise, with a rate.
inline constexpr std::chrono::seconds answer_timeout{15}; ///< Of an admin call.
inline constexpr std::chrono::seconds model_add_timeout{600};  ///< The server reads the whole file.
inline constexpr std::chrono::seconds stream_gap_timeout{600}; ///< Longest silence of a stream.
inline constexpr std::chrono::milliseconds probe_timeout{500}; ///< Whether a server is up.
/// Longest that `status --wait` waits for a server, whatever it says, and how often it looks.
inline constexpr std::chrono::hours server_wait_max{1};
inline constexpr std::chrono::milliseconds server_wait_look{100};
inline constexpr std::chrono::seconds reload_grace{10};        ///< Beyond what the nodes are given.
inline constexpr std::size_t events_shown = 100;               ///< Unless --last says so.
inline constexpr std::size_t events_followed = 10;    ///< The same, before those that come.
inline constexpr std::size_t events_last_max = 1'000; ///< What a gateway keeps.
inline constexpr std::chrono::milliseconds watch_interval{1'000};
inline constexpr std::chrono::seconds drain_grace{2}; ///< For what is moved at the deadline.
/// For engines to end there: as long as the scheduler believes that they may take, and a little.
inline constexpr std::chrono::seconds drain_unload{32};
/// Streams may finish for this long after a signal; the rest of the contract's 5 s is for ending
/// everything else.
inline constexpr std::chrono::milliseconds stop_drain{3'500};
inline constexpr std::chrono::milliseconds stop_look{10}; ///< Whether streams of a node ended.
/// For gateways to tell the scheduler of a stream's end before the node that sent it says goodbye,
/// and to be told where a stream goes on before the node cuts it.
inline constexpr std::chrono::milliseconds stop_linger{50};
inline constexpr std::chrono::milliseconds goodbye_timeout{200}; ///< For its way to the link.

inline constexpr std::size_t digest_letters_min
    = 6; ///< Hex digits by which an artifact is named; its digest has 64.
inline constexpr std::size_t candidates_max = 5; ///< Listed of digests that begin as was said.
inline constexpr std::chrono::minutes wrap_time_default{10}; ///< For a command to serve.
inline constexpr std::chrono::hours wrap_time_max{3};        ///< As long as any load may take.
inline constexpr std::chrono::seconds wrap_told_every{5};    ///< That it is still waited for.

} // namespace consort::cli::limits
