// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Every bound of a link between processes, with its unit in its name. `limit_set` is the same as
/// values, so that tests reach each bound with tiny figures; production uses the defaults.

#include "scheduler/ids.hpp"

#include <cstddef>

namespace consort::links::limits {

inline constexpr duration_us second_us = 1'000'000;

// --- an established link ---
inline constexpr duration_us heartbeat_us = 250'000;    ///< Sent after that much of own silence.
inline constexpr duration_us silence_us = second_us;    ///< Of the peer; beyond: `link_silent`.
inline constexpr std::size_t queue_frames_max = 65'536; ///< Unsent; beyond: `peer_too_slow`.
inline constexpr std::size_t queue_bytes_max = std::size_t{32} << 20; ///< The same, in bytes.
inline constexpr std::int64_t frames_per_s = 20'000;     ///< Received; beyond: reading pauses.
inline constexpr std::int64_t frames_burst = 40'000;     ///< At once, after a quiet time.
inline constexpr std::int64_t node_frames_per_s = 1'000; ///< As frames_per_s, of a node, which has
                                                         ///< no streams to tell of.
inline constexpr std::int64_t node_frames_burst = 1'000;
inline constexpr std::size_t held_frames_max
    = 1'024; ///< Handed on and not yet done with; then reading waits.
inline constexpr std::int64_t bytes_per_s = std::int64_t{32} << 20;
inline constexpr std::int64_t bytes_burst = std::int64_t{64} << 20;
inline constexpr duration_us pauses_us_max
    = 5 * second_us; ///< Of reading, in sum without a calm moment; beyond: `peer_too_fast`.
inline constexpr duration_us node_pauses_us_max = second_us; ///< The same, of a node.
inline constexpr duration_us write_stall_us = 5 * second_us; ///< Nothing of a write moves.
inline constexpr duration_us drain_us = second_us / 2; ///< For what was queued when it closes.
inline constexpr std::size_t kept_bytes_max = std::size_t{1}
                                              << 20; ///< Of memory that an empty queue keeps.
inline constexpr std::size_t read_bytes = std::size_t{8} << 10; ///< Taken from a socket at once.

// --- before it is established, at the guard ---
inline constexpr int accept_queue_max = 4'096;           ///< In the kernel, which may grant less.
inline constexpr duration_us accept_backoff_us = 20'000; ///< After accept() failed.
inline constexpr std::size_t connections_max = 8'192;    ///< Of all peers, whatever state.
inline constexpr std::size_t address_connections_max = 2'048; ///< Of one address.
inline constexpr std::size_t unfinished_max = 2'048; ///< Before hello; the oldest gives way.
inline constexpr std::size_t address_unfinished_max = 1'024; ///< Of one address; likewise.
inline constexpr std::int64_t address_failures_per_s
    = 20; ///< Of one address: connections that came to nothing. Beyond: muted.
inline constexpr std::int64_t address_failures_burst = 200;
inline constexpr std::int64_t address_success_credit = 4; ///< Failures that one link makes good.
inline constexpr std::int64_t unfinished_per_credit
    = 8; ///< Unfinished connections that the credit for one failure stands for.
inline constexpr duration_us mute_us = second_us; ///< Nothing of that address is heard meanwhile.
inline constexpr std::size_t muted_max = 256;     ///< By the kernel; more are closed unheard by us.
inline constexpr std::size_t address_handshakes_max
    = 8; ///< TLS, of one address, at a time; more wait for their turn.
inline constexpr std::int64_t strangers_per_s
    = 8; ///< TLS handshakes that fail, of all addresses without a good one; more wait.
inline constexpr std::int64_t strangers_burst = 16; ///< The same, or under way, at once.
inline constexpr std::int64_t failures_per_handshake
    = 4; ///< What a handshake that was answered and failed counts as, of its address.
inline constexpr std::int64_t joins_per_s = 10; ///< Of one name; beyond: `joins_too_often`.
inline constexpr std::int64_t joins_burst = 50;
inline constexpr std::int64_t offences_per_s = 10; ///< Of one name; beyond: held off.
inline constexpr std::int64_t offences_burst = 100;
inline constexpr duration_us hold_first_us = second_us; ///< Then doubled, up to the longest.
inline constexpr duration_us hold_max_us = 60 * second_us;
inline constexpr std::size_t holders_max = 4'096;          ///< Names remembered.
inline constexpr duration_us handshake_us = 2 * second_us; ///< TLS, from accept() or connect().
inline constexpr duration_us turn_us
    = handshake_us * 3 / 4;                                ///< Of it, behind others of an address.
inline constexpr duration_us hello_us = 2 * second_us;     ///< From there to a whole hello.
inline constexpr std::size_t hello_bytes_max = 16 * 1'024; ///< Payload of a hello.
inline constexpr duration_us refusal_us = second_us;       ///< For the answer that refuses.
inline constexpr std::size_t refusal_waste_bytes_max
    = std::size_t{1} << 20; ///< Read and thrown away behind that answer.
inline constexpr duration_us log_every_us = 60 * second_us; ///< Lines about one address.
inline constexpr std::size_t addresses_max = 4'096;         ///< Remembered without a connection.

// --- the connector ---
inline constexpr std::size_t lookups_max
    = 64; ///< Of names, at once in this process, those that hang and nobody waits for included.
inline constexpr duration_us resolve_us = 5 * second_us;  ///< Name service.
inline constexpr duration_us connect_us = 3 * second_us;  ///< TCP, each address of the name.
inline constexpr std::size_t endpoints_max = 8;           ///< Addresses of one name that are tried.
inline constexpr duration_us welcome_us = 10 * second_us; ///< From link to the answered hello.
inline constexpr duration_us backoff_first_us = 200'000;
inline constexpr duration_us backoff_max_us = 3 * second_us;

// --- certificates ---
inline constexpr std::size_t pem_bytes_max = 256 * 1'024; ///< One file of credentials.
inline constexpr std::size_t name_bytes_max = 128;        ///< Cluster or peer, in a certificate.
inline constexpr std::size_t revoked_max = 65'536;        ///< Serials.
inline constexpr int chain_depth_max
    = 2; ///< Certificates between a peer's own and the authority's.

// Streams of events over HTTP.
inline constexpr std::size_t sse_line_bytes_max = 1024 * 1024;  ///< One line.
inline constexpr std::size_t sse_event_bytes_max = 1024 * 1024; ///< The data of one event.

/// The bounds that a guard, a connector or a link can be given. Requires: all positive.
struct limit_set {
  duration_us heartbeat = heartbeat_us;
  duration_us silence = silence_us;
  std::size_t queue_frames = queue_frames_max;
  std::size_t queue_bytes = queue_bytes_max;
  std::int64_t frames_rate = frames_per_s;
  std::int64_t frames_at_once = frames_burst;
  std::int64_t node_frames_rate = node_frames_per_s;
  std::int64_t node_frames_at_once = node_frames_burst;
  std::size_t held_frames = held_frames_max;
  std::int64_t bytes_rate = bytes_per_s;
  std::int64_t bytes_at_once = bytes_burst;
  duration_us pauses = pauses_us_max;
  duration_us node_pauses = node_pauses_us_max;
  duration_us write_stall = write_stall_us;
  duration_us drain = drain_us;
  int accept_queue = accept_queue_max;
  std::size_t connections = connections_max;
  std::size_t address_connections = address_connections_max;
  std::size_t unfinished = unfinished_max;
  std::size_t address_unfinished = address_unfinished_max;
  std::int64_t address_failures_rate = address_failures_per_s;
  std::int64_t address_failures_at_once = address_failures_burst;
  duration_us mute = mute_us;
  std::size_t address_handshakes = address_handshakes_max;
  std::int64_t strangers_rate = strangers_per_s;
  std::int64_t strangers_at_once = strangers_burst;
  std::int64_t joins_rate = joins_per_s;
  std::int64_t joins_at_once = joins_burst;
  std::int64_t offences_rate = offences_per_s;
  std::int64_t offences_at_once = offences_burst;
  duration_us hold_first = hold_first_us;
  duration_us hold_longest = hold_max_us;
  duration_us handshake = handshake_us;
  duration_us turn = turn_us;
  duration_us hello = hello_us;
  std::size_t hello_bytes = hello_bytes_max;
  duration_us refusal = refusal_us;
  duration_us log_every = log_every_us;
  duration_us resolve = resolve_us;
  duration_us connect = connect_us;
  duration_us welcome = welcome_us;
};

} // namespace consort::links::limits
