// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Every bound of the HTTP side, with its unit in its name. `limit_set` is the same as values, so
/// that tests reach each bound with tiny figures; production uses the defaults.

#include "scheduler/ids.hpp"

#include <cstddef>

namespace consort::gateway::limits {

inline constexpr duration_us second_us = 1'000'000;

// --- what a client may send ---
inline constexpr std::size_t header_bytes_max = 16 * 1024;     ///< Beyond: 431.
inline constexpr duration_us header_time_us = 10 * second_us;  ///< First byte to blank line.
inline constexpr std::size_t body_bytes_max = 8 * 1024 * 1024; ///< Beyond: 413.
inline constexpr duration_us body_time_us = 30 * second_us;    ///< The whole body.
inline constexpr duration_us idle_time_us = 75 * second_us;    ///< Kept alive without a request.
inline constexpr std::size_t pipeline_bytes_max = 64 * 1024;   ///< Read ahead while serving.
inline constexpr std::size_t framing_bytes_max
    = 72 * 1024; ///< Held of extensions of one chunk, of trailers; a head and what is read ahead
                 ///< need less. Beyond: 400.
inline constexpr std::size_t linger_bytes_max = 32 * 1024 * 1024; ///< Discarded after a refusal.
inline constexpr duration_us linger_time_us = 2 * second_us;
inline constexpr std::size_t json_depth_max = 64; ///< Nested arrays and objects.
inline constexpr std::size_t model_name_bytes_max = 256;
inline constexpr std::size_t field_bytes_max = 64; ///< Of a name in what an engine says of a body.
inline constexpr std::size_t model_variants_max = 8;           ///< Forms of one model.
inline constexpr std::int64_t model_idle_ttl_us = 600'000'000; ///< Of a model that names none.
inline constexpr std::size_t selector_bytes_max = 256;         ///< X-Consort-Device.
inline constexpr std::size_t session_bytes_max = 256;
inline constexpr std::size_t header_name_bytes_max = 64; ///< Repeated of an unknown header's name.
inline constexpr std::size_t tenant_bytes_max = 64;
inline constexpr std::uint32_t max_tokens_max = 1'000'000; ///< `max_tokens` itself.
inline constexpr std::size_t prompts_max = 16;             ///< `prompt` as an array.
inline constexpr std::size_t prefix_block_bytes = 256;     ///< Text behind one prefix hash.

// --- how much at once ---
inline constexpr std::size_t connections_max
    = 4'096; ///< Then those without a request make room; more wait in the kernel's queue.
inline constexpr std::size_t crowd_share = 64;       ///< One of so many goes at once, and one more.
inline constexpr duration_us crowd_look_us = 10'000; ///< Between looks for who may go.
inline constexpr duration_us crowd_log_us = 60 * second_us; ///< Between lines about it.
inline constexpr int accept_queue_max = 1'024;              ///< That queue.
inline constexpr std::size_t requests_max = 4'096;          ///< Inferences in flight; beyond: 429.
inline constexpr std::size_t event_streams_max = 64;        ///< Open /api/v1/events; beyond: 429.
inline constexpr std::size_t event_backlog_max = 256;       ///< Events held for one of them.
inline constexpr std::size_t events_kept_max = 1'000;       ///< For who asks later what happened.

// --- how long and how large an answer ---
inline constexpr std::size_t stream_backlog_bytes_max
    = 4 * 1024 * 1024; ///< Not yet taken by one slow reader; beyond: cancelled.
inline constexpr std::size_t all_backlogs_bytes_max
    = 512 * 1024 * 1024; ///< By all of them; beyond: those with much of it that add are cancelled.
inline constexpr std::size_t backlog_share = 8; ///< Much: that part of what one may hold.
inline constexpr duration_us leave_time_us
    = 300 * second_us; ///< To read what is left once the answer has ended, or a whole one.
inline constexpr std::size_t response_bytes_max = 16 * 1024 * 1024; ///< One unstreamed answer.
inline constexpr std::size_t kept_bytes_max = 64 * 1024;      ///< Of memory that a stream keeps.
inline constexpr duration_us write_stall_us = 15 * second_us; ///< A write that moves nothing.
inline constexpr duration_us ticket_grace_us
    = 15 * second_us; ///< Beyond the wait that the scheduler itself enforces.
inline constexpr duration_us deadline_grace_us
    = 1 * second_us; ///< Beyond a request's deadline, which the scheduler enforces while there is
                     ///< one.
inline constexpr duration_us attempt_silence_us = 120 * second_us; ///< No event of an attempt.
inline constexpr duration_us request_time_us = 3'600 * second_us;  ///< One request, whole.
inline constexpr duration_us port_timeout_us = 5 * second_us;      ///< Admin answers.
inline constexpr duration_us reload_time_us = 60 * second_us; ///< Nodes looking at their plugins.
inline constexpr duration_us reload_time_us_max = 600 * second_us; ///< Whatever is asked for.
inline constexpr duration_us plugins_time_us
    = 2 * second_us; ///< Nodes telling what they know of them; who is silent is shown so.
inline constexpr std::size_t node_name_bytes_max = 128;          ///< Asked for.
inline constexpr duration_us describe_time_us = 600 * second_us; ///< Files of an added model.
inline constexpr duration_us progress_every_us = 250'000;        ///< Between progress reports.
inline constexpr duration_us event_ping_us = 15 * second_us;     ///< Comment on a quiet stream.
inline constexpr duration_us drain_us = 5 * second_us;           ///< Of a graceful stop.
inline constexpr duration_us stop_grace_us = 1 * second_us;      ///< After the drain, to say so.
inline constexpr duration_us accept_backoff_us = 100'000;        ///< After accept() failed.
inline constexpr std::size_t metric_models_max = 100;            ///< Distinct `model` labels.
inline constexpr std::size_t metric_charges_max = 1'000; ///< Distinct (`model`, `tenant`) labels.

/// The bounds that a server can be given. Requires: all positive.
struct limit_set {
  std::size_t header_bytes = header_bytes_max;
  duration_us header_time = header_time_us;
  std::size_t body_bytes = body_bytes_max;
  duration_us body_time = body_time_us;
  std::size_t linger_bytes = linger_bytes_max;
  duration_us linger_time = linger_time_us;
  duration_us idle_time = idle_time_us;
  std::size_t connections = connections_max;
  int accept_queue = accept_queue_max;
  std::size_t requests = requests_max;
  std::size_t event_streams = event_streams_max;
  std::size_t stream_backlog_bytes = stream_backlog_bytes_max;
  std::size_t all_backlogs_bytes = all_backlogs_bytes_max;
  duration_us leave_time = leave_time_us;
  std::size_t response_bytes = response_bytes_max;
  duration_us write_stall = write_stall_us;
  duration_us ticket_grace = ticket_grace_us;
  duration_us deadline_grace = deadline_grace_us;
  duration_us attempt_silence = attempt_silence_us;
  duration_us request_time = request_time_us;
  duration_us port_timeout = port_timeout_us;
  duration_us describe_time = describe_time_us;
  duration_us progress_every = progress_every_us;
  duration_us event_ping = event_ping_us;
  duration_us drain = drain_us;
  duration_us stop_grace = stop_grace_us;
  duration_us plugins_time = plugins_time_us;
};

// --- data ports of nodes ---
inline constexpr duration_us data_resolve_us = 2 * second_us;   ///< Name service.
inline constexpr duration_us data_connect_us = 1 * second_us;   ///< TCP.
inline constexpr duration_us data_handshake_us = 2 * second_us; ///< TLS.
inline constexpr duration_us data_answer_us = 10 * second_us;   ///< Request sent, head received.
inline constexpr duration_us data_tail_us = 1 * second_us;      ///< Between last event and end.
inline constexpr duration_us data_idle_us = 30 * second_us;     ///< Kept alive; less than the node.
inline constexpr std::size_t data_dialling_max = 16; ///< At once, per node; more attempts wait.
inline constexpr std::size_t data_idle_max
    = 512; ///< Kept alive per node; fewer cost handshakes whenever that many attempts end.
inline constexpr std::size_t data_open_max = 4'096; ///< Attempts per node; beyond: retry later.
inline constexpr std::size_t data_head_bytes_max = 8 * 1024;     ///< Head of an answer.
inline constexpr std::size_t data_refusal_bytes_max = 16 * 1024; ///< Body of a refusal.
inline constexpr std::size_t chunk_line_bytes_max = 256;         ///< Size line of a chunk.
inline constexpr std::size_t data_read_bytes = 64 * 1024;        ///< Taken from a socket at once.
inline constexpr std::size_t data_ports_max = 16'384;            ///< Nodes with a client.
inline constexpr duration_us data_forget_us = 60 * second_us;    ///< Unused clients.

/// The bounds that clients of data ports can be given. Requires: all positive.
struct data_limit_set {
  duration_us resolve = data_resolve_us;
  duration_us connect = data_connect_us;
  duration_us handshake = data_handshake_us;
  duration_us answer = data_answer_us;
  duration_us tail = data_tail_us;
  duration_us idle = data_idle_us;
  std::size_t dialling = data_dialling_max;
  std::size_t idle_connections = data_idle_max;
  std::size_t open = data_open_max;
  std::size_t ports = data_ports_max;
  duration_us forget = data_forget_us;
};

} // namespace consort::gateway::limits
