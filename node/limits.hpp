// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Every bound of the node agent, with its unit in its name. Each has a test that reaches it.

#include "scheduler/ids.hpp"

#include <cstddef>

namespace consort::node::limits {

inline constexpr duration_us second_us = 1'000'000;

// Tools run as child processes.
inline constexpr duration_us plugin_call_us_max = 5 * second_us; ///< Probe, reading, version.
inline constexpr duration_us telemetry_every_us = 2 * second_us; ///< Unless the plugin says so.
inline constexpr duration_us telemetry_every_us_min = second_us / 10;
inline constexpr duration_us probe_grace_us = second_us / 2; ///< The same after a probe.
inline constexpr duration_us child_grace_us = 2 * second_us; ///< Between TERM and KILL.
inline constexpr duration_us child_reap_us_max = second_us;  ///< For a killed tool to be gone.
inline constexpr std::size_t child_output_bytes_max = 1024 * 1024; ///< Kept per stream, its head.
inline constexpr std::size_t child_tail_bytes_max = 4096; ///< Kept per stream beside it, its end.
inline constexpr std::size_t child_line_bytes_max = 4096; ///< Longer lines are cut.
inline constexpr std::size_t stream_line_bytes_max = 1024 * 1024;    ///< Of a tool that goes on.
inline constexpr duration_us stream_restart_us = 10 * second_us;     ///< Between two starts of it.
inline constexpr duration_us stream_silence_us_max = 30 * second_us; ///< Beyond: it is stuck.
inline constexpr std::size_t child_arguments_max = 256;
inline constexpr std::size_t child_argument_bytes_max = 64 * 1024; ///< Over all arguments.

// plugin.json and what its tools print.
inline constexpr std::size_t plugin_json_bytes_max = 256 * 1024;
inline constexpr std::size_t plugin_json_depth_max = 16;
inline constexpr std::size_t plugin_builds_max = 32;      ///< Build profiles per plugin.
inline constexpr std::size_t plugin_hosts_max = 64;       ///< Plugins that an engine runs on.
inline constexpr std::size_t plugin_devices_max = 256;    ///< Devices per probe.
inline constexpr std::size_t plugin_attributes_max = 64;  ///< Attributes per device.
inline constexpr std::size_t plugin_search_max = 8;       ///< Folders with a vendor's tools.
inline constexpr std::size_t plugin_text_bytes_max = 256; ///< One field of a probe's answer.
inline constexpr std::size_t device_numbers_max = 4'096;  ///< Devices remembered by a node.
inline constexpr std::size_t device_numbers_bytes_max = 8 * 1024 * 1024; ///< Of their file.
inline constexpr std::size_t partitions_max = 64;                        ///< Parts of one device.
inline constexpr std::size_t spec_models_max = 32;           ///< Spec sheets of one plugin.
inline constexpr std::size_t field_places_max = 8;           ///< Where one field may stand.
inline constexpr std::size_t rows_named_max = 8;             ///< Of an answer, in one message.
inline constexpr std::size_t telemetry_also_max = 4;         ///< Further questions of telemetry.
inline constexpr std::size_t block_lines_max = 256;          ///< Of one device, parse blocks.
inline constexpr std::size_t sysfs_file_bytes_max = 4096;    ///< Read of one file, parse sysfs.
inline constexpr std::size_t plugin_pattern_bytes_max = 256; ///< One regular expression.
inline constexpr std::size_t pattern_line_bytes_max = 1024;  ///< Of a line, what patterns see.
inline constexpr std::uint32_t pattern_steps_max = 100'000;  ///< Backtracking, on one line.
inline constexpr std::uint32_t pattern_depth_max = 10'000;   ///< Nested steps, on one line.
inline constexpr std::uint32_t pattern_heap_kib_max = 4'096; ///< KiB, for one line.
inline constexpr std::size_t plugin_reasons_max = 64;        ///< Of one node, that it tells.
inline constexpr std::size_t plugin_reason_bytes_max = 256;  ///< Of each, and of a device's.
inline constexpr std::size_t plugin_folders_max = 256;       ///< Plugin folders per directory.
inline constexpr std::size_t json_depth_max = 64;            ///< Of a tool's answer.
inline constexpr std::size_t json_preface_bytes_max = 4'096; ///< In front of it, passed over.
inline constexpr std::size_t json_beginnings_max = 8;        ///< Lines that may be its first.

// GGUF files.
inline constexpr std::uint64_t gguf_contents_bytes_max = 64 * 1024 * 1024; ///< All but the data.
inline constexpr std::uint64_t gguf_keys_max = 65'536;
inline constexpr std::uint64_t gguf_tensors_max = 65'536;
inline constexpr std::uint64_t gguf_string_bytes_max = 16 * 1024 * 1024; ///< One value.
inline constexpr std::uint64_t gguf_name_bytes_max = 65'535;             ///< A key; tensors: 127.
inline constexpr std::uint64_t gguf_tensor_name_bytes_max = 127;
inline constexpr std::uint64_t gguf_array_items_max = 16'777'216;
inline constexpr std::uint64_t gguf_alignment_max = 1024 * 1024; ///< Bytes.

// Models as folders.
inline constexpr std::size_t model_folder_files_max = 4'096;
inline constexpr std::uint64_t model_config_bytes_max = 1024 * 1024; ///< config.json.
// Files of other formats.
inline constexpr std::size_t format_bytes_max = 16;          ///< A file's ending.
inline constexpr std::uint32_t plain_context_tokens = 4'096; ///< Where nothing else is declared.

// Artifact store.
inline constexpr std::size_t artifacts_max = 4'096;          ///< Indexed per node.
inline constexpr std::size_t artifact_keys_max = 32;         ///< Of one content, that are kept.
inline constexpr std::size_t manifest_bytes_max = 64 * 1024; ///< manifest.json.
inline constexpr std::uint64_t disk_headroom_bytes = 64 * 1024 * 1024; ///< Always left free.
inline constexpr std::size_t digest_cache_entries_max = 4'096;         ///< Hashed model files.
inline constexpr duration_us bundle_us_max = 3'600 * second_us; ///< Packing or unpacking a folder.
inline constexpr std::size_t quality_entries_max = 32;          ///< Per artifact.
inline constexpr std::uint64_t quality_bytes_max = 64 * 1024;   ///< A tool's quality file.

// Compiles.
inline constexpr duration_us compile_us_default = 3'600 * second_us;
inline constexpr duration_us compile_us_max = 24 * 3'600 * second_us;
inline constexpr std::size_t compile_message_bytes_max = 1024;  ///< Of a tool's last lines.
inline constexpr std::size_t build_log_bytes_max = 1024 * 1024; ///< Kept of what a compiler prints.
inline constexpr std::size_t failed_logs_max = 20;              ///< Of builds that failed.
inline constexpr std::size_t build_failures_max = 64;           ///< Rules of one build.

// Runtimes.
inline constexpr std::uint64_t server_cache_bytes_default
    = std::uint64_t{16} << 30U; ///< Of what one server compiles at its start.
inline constexpr std::size_t server_cache_files_max = 100'000; ///< A cache of more is not kept.
inline constexpr duration_us runtime_start_us_default = 60 * second_us;
inline constexpr duration_us runtime_start_us_max
    = 3 * 3'600 * second_us; ///< Cold starts of some servers compile for two hours.
inline constexpr std::size_t runtime_failures_max = 64; ///< Rules of one runtime.
inline constexpr duration_us server_silence_us
    = 120 * second_us; ///< Of a stream, and of one whose head has not come.
inline constexpr duration_us server_silence_us_max = 3'600 * second_us;
inline constexpr duration_us server_connect_us = 2 * second_us; ///< TCP.
inline constexpr duration_us server_look_us = second_us / 5;    ///< Between looks whether ready.
inline constexpr duration_us server_watch_us = 5 * second_us;   ///< Once it serves.
inline constexpr int server_watch_failures_max = 3;             ///< In a row; beyond: lost.
inline constexpr duration_us server_answer_us = 5 * second_us;  ///< To such a look.
inline constexpr duration_us server_answer_us_max = 60 * second_us;
inline constexpr duration_us server_greet_us = 10 * second_us;           ///< Name, TCP and TLS.
inline constexpr duration_us server_gauges_us = 2 * second_us;           ///< Between readings.
inline constexpr std::size_t server_metrics_bytes_max = 4 * 1024 * 1024; ///< One such reading.
inline constexpr std::size_t server_figures_max = 16;       ///< Places of one figure of them.
inline constexpr std::size_t server_stops_max = 16;         ///< Texts that end an answer.
inline constexpr std::size_t server_wait_bytes_max = 64;    ///< Of a text that says how long.
inline constexpr duration_us stage_wait_us = 2 * second_us; ///< For a stage, at least.
inline constexpr int stage_wait_factor = 5; ///< On top: times what its prompt should take.
inline constexpr duration_us stage_wait_us_max = 60 * second_us;
inline constexpr int stage_failures_max = 3;                  ///< In a row; then it is left alone.
inline constexpr duration_us stage_pause_us = 10 * second_us; ///< Doubled each time.
inline constexpr duration_us stage_trial_us = 10 * second_us; ///< For somebody to try it then.
inline constexpr duration_us stage_pause_us_max = 120 * second_us;
inline constexpr std::size_t encode_items_max = 64;   ///< Pictures, sounds, films of one request.
inline constexpr std::size_t server_prices_max = 256; ///< Models with a price of their own.

// Containers.
inline constexpr duration_us container_call_us_max = 10 * second_us; ///< One call of the engine.
inline constexpr duration_us container_pull_us_default = 1'800 * second_us; ///< Of an image.
inline constexpr duration_us container_pull_us_max = 2 * 3'600 * second_us;
inline constexpr duration_us container_pull_news_us = 10 * second_us; ///< Between two log lines.
inline constexpr std::size_t container_arguments_max = 64;
inline constexpr std::size_t container_removers = 2; ///< Threads of a runtime that wait for it.
inline constexpr int container_remove_tries = 3;
inline constexpr std::size_t containers_max = 200; ///< Removed by one command.

// Servers that count what they are sent.
inline constexpr duration_us rate_window_us = 60 * second_us;          ///< What limits are for.
inline constexpr duration_us rate_slot_us = second_us / 4;             ///< Counted together.
inline constexpr std::size_t rate_headers_max = 16;                    ///< Kinds per answer.
inline constexpr duration_us server_closed_us_max = 3'600 * second_us; ///< Believed at once.
inline constexpr duration_us server_closed_guess_us = second_us;       ///< Doubled each time.
inline constexpr duration_us server_closed_guess_us_max = 60 * second_us;
inline constexpr duration_us server_hold_us = 2 * second_us; ///< An attempt, for its turn.
inline constexpr std::uint64_t rate_per_min_max = 1'000'000'000;

// Devices whose engines do not use them.
inline constexpr duration_us unused_us = 6 * second_us; ///< Tokens without work, at least.
inline constexpr std::uint32_t unused_readings = 4;     ///< In a row.
/// The same where utilization is unknown, and what has to be known of its power at rest before.
inline constexpr duration_us unused_blind_us = 20 * second_us;
inline constexpr std::uint32_t unused_blind_readings = 8;
inline constexpr std::uint32_t rest_readings = 4;

inline constexpr std::size_t server_head_bytes_max = 16 * 1024;
inline constexpr std::uint64_t usage_added_tokens_max = 65'536;     ///< To a prompt, by its server.
inline constexpr std::uint64_t usage_media_tokens_max = 1'048'576;  ///< Of pictures, films, files.
inline constexpr std::uint64_t usage_answer_tokens_max = 1'048'576; ///< Where nobody bounds it.
inline constexpr std::uint32_t usage_choices_max = 128; ///< Of `n` and `best_of`, believed.
inline constexpr std::size_t key_bytes_min = 4;         ///< Of an API key; shorter is no secret.
inline constexpr std::size_t key_text_bytes_min = 16;   ///< The same where any words may stand.
inline constexpr std::size_t server_interim_heads_max = 16;        ///< 1xx, before an answer's own.
inline constexpr std::size_t server_refusal_bytes_max = 64 * 1024; ///< Body of a refusal, kept.
inline constexpr std::size_t server_message_bytes_max = 512;       ///< Of a message, kept.
inline constexpr std::uint64_t server_answer_bytes_max = 64 * 1024 * 1024; ///< One whole answer.
inline constexpr std::size_t server_read_bytes = 32 * 1024; ///< Taken from a socket at once.
inline constexpr std::uint32_t sequences_max = 4'096;       ///< Declared by a plugin.
inline constexpr std::uint32_t threads_max = 1'024;         ///< Given to a runtime.
inline constexpr std::uint32_t cpu_sequences_max = 8;       ///< Of the built-in cpu device.
inline constexpr std::uint32_t cpu_memory_share_pm = 700;   ///< Of available memory, per mille.

// Data port, serving side.
inline constexpr std::size_t data_connections_max = 4'096; ///< Beyond: the longest idle gives way.
inline constexpr int data_accept_queue_max = 1'024;        ///< In the kernel.
inline constexpr duration_us data_accept_backoff_us = second_us / 10; ///< After accept() failed.
inline constexpr duration_us data_handshake_us = 2 * second_us;       ///< TLS, from accept().
inline constexpr duration_us data_idle_us = 75 * second_us;  ///< Kept alive without a request.
inline constexpr duration_us data_head_us = 5 * second_us;   ///< First byte to blank line.
inline constexpr duration_us data_body_us = 30 * second_us;  ///< The whole body.
inline constexpr duration_us data_stall_us = 15 * second_us; ///< A write that moves nothing.
inline constexpr std::size_t data_head_bytes_max = 8 * 1024; ///< Request line and headers.
inline constexpr std::size_t http_held_bytes_max
    = 128 * 1024; ///< Of a message that comes: a head, extensions of one chunk, trailers.
inline constexpr std::size_t data_linger_bytes_max = 32 * 1024 * 1024; ///< Read after a refusal.
inline constexpr duration_us data_linger_us = 2 * second_us;
inline constexpr std::size_t data_backlog_bytes_max
    = 4 * 1024 * 1024; ///< Of one attempt, unsent; beyond: cancelled, `reader_too_slow`.
inline constexpr std::size_t artifact_streams_max = 8; ///< Artifacts sent at once; beyond: 503.
inline constexpr std::uint64_t artifact_bytes_per_s = 1'024 * 1'024 * 1'024; ///< Over all of them.
inline constexpr std::size_t artifact_piece_bytes = 256 * 1'024; ///< Read from disk at once.
inline constexpr std::size_t artifact_push_out_bytes
    = 8 * 1'024 * 1'024;                       ///< Written by a fetch before the disk is to begin.
inline constexpr std::size_t disk_threads = 2; ///< Of a data port or a fetcher.

/// The bounds that a data port can be given. Requires: all positive.
struct data_port_set {
  std::size_t connections = data_connections_max;
  duration_us handshake = data_handshake_us;
  duration_us idle = data_idle_us;
  duration_us head = data_head_us;
  duration_us body = data_body_us;
  duration_us stall = data_stall_us;
  std::size_t backlog_bytes = data_backlog_bytes_max;
  std::size_t artifact_streams = artifact_streams_max;
  std::uint64_t artifact_rate = artifact_bytes_per_s;
};

// Artifacts from other nodes.
inline constexpr std::size_t fetches_running_max = 2;              ///< At once; more wait.
inline constexpr std::size_t fetches_waiting_max = 64;             ///< Beyond: `fetch_queue_full`.
inline constexpr std::size_t fetch_tries_max = 5;                  ///< In a row without a new byte.
inline constexpr duration_us fetch_backoff_us = second_us / 4;     ///< Doubled with every such try.
inline constexpr duration_us fetch_connect_us = 3 * second_us;     ///< Name, TCP and TLS.
inline constexpr duration_us fetch_stall_us = 15 * second_us;      ///< A read that brings nothing.
inline constexpr duration_us fetch_us_max = 4 * 3'600 * second_us; ///< One artifact, whole.
inline constexpr std::uint64_t fetch_bytes_max = 1ULL << 40;       ///< One artifact.
inline constexpr std::size_t fetch_refusal_bytes_max = 16 * 1'024; ///< An answer that refuses.

/// The bounds that a fetcher can be given. Requires: all positive.
struct fetch_set {
  std::size_t running = fetches_running_max;
  std::size_t waiting = fetches_waiting_max;
  std::size_t tries = fetch_tries_max;
  duration_us backoff = fetch_backoff_us;
  duration_us connect = fetch_connect_us;
  duration_us stall = fetch_stall_us;
  duration_us whole = fetch_us_max;
  std::uint64_t bytes = fetch_bytes_max;
};

} // namespace consort::node::limits
