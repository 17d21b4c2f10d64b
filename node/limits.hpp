// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Every bound of the node agent, with its unit in its name. Each has a test that reaches it.

#include "scheduler/ids.hpp"

#include <cstddef>

namespace consort::node::limits {

inline constexpr duration_us second_us = 1'000'000;

// Tools run as child processes.
inline constexpr duration_us plugin_call_us_max = 5 * second_us; ///< Probe, reading, version.
inline constexpr duration_us probe_grace_us = second_us / 2;     ///< The same after a probe.
inline constexpr duration_us child_grace_us = 2 * second_us;     ///< Between TERM and KILL.
inline constexpr duration_us child_reap_us_max = second_us;      ///< For a killed tool to be gone.
inline constexpr std::size_t child_output_bytes_max = 1024 * 1024; ///< Kept per stream, its head.
inline constexpr std::size_t child_tail_bytes_max = 4096; ///< Kept per stream beside it, its end.
inline constexpr std::size_t child_line_bytes_max = 4096; ///< Longer lines are cut.
inline constexpr std::size_t child_arguments_max = 256;
inline constexpr std::size_t child_argument_bytes_max = 64 * 1024; ///< Over all arguments.

// plugin.json and what its tools print.
inline constexpr std::size_t plugin_json_bytes_max = 256 * 1024;
inline constexpr std::size_t plugin_json_depth_max = 16;
inline constexpr std::size_t plugin_builds_max = 32;         ///< Build profiles per plugin.
inline constexpr std::size_t plugin_devices_max = 256;       ///< Devices per probe.
inline constexpr std::size_t plugin_attributes_max = 64;     ///< Attributes per device.
inline constexpr std::size_t plugin_text_bytes_max = 256;    ///< One field of a probe's answer.
inline constexpr std::size_t plugin_pattern_bytes_max = 256; ///< One regular expression.
inline constexpr std::size_t pattern_line_bytes_max = 1024;  ///< Of a line, what patterns see.
inline constexpr std::size_t plugin_folders_max = 256;       ///< Plugin folders per directory.
inline constexpr std::size_t json_depth_max = 64;            ///< Of a tool's answer.

// GGUF files.
inline constexpr std::uint64_t gguf_contents_bytes_max = 64 * 1024 * 1024; ///< All but the data.
inline constexpr std::uint64_t gguf_keys_max = 65'536;
inline constexpr std::uint64_t gguf_tensors_max = 65'536;
inline constexpr std::uint64_t gguf_string_bytes_max = 16 * 1024 * 1024; ///< One value.
inline constexpr std::uint64_t gguf_name_bytes_max = 65'535;             ///< A key; tensors: 127.
inline constexpr std::uint64_t gguf_tensor_name_bytes_max = 127;
inline constexpr std::uint64_t gguf_array_items_max = 16'777'216;
inline constexpr std::uint64_t gguf_alignment_max = 1024 * 1024; ///< Bytes.

// Artifact store.
inline constexpr std::size_t artifacts_max = 4'096;                    ///< Indexed per node.
inline constexpr std::size_t manifest_bytes_max = 64 * 1024;           ///< manifest.json.
inline constexpr std::uint64_t disk_headroom_bytes = 64 * 1024 * 1024; ///< Always left free.
inline constexpr std::size_t digest_cache_entries_max = 4'096;         ///< Hashed model files.
inline constexpr std::size_t quality_entries_max = 32;                 ///< Per artifact.
inline constexpr std::uint64_t quality_bytes_max = 64 * 1024;          ///< A tool's quality file.

// Compiles.
inline constexpr duration_us compile_us_default = 3'600 * second_us;
inline constexpr duration_us compile_us_max = 24 * 3'600 * second_us;
inline constexpr std::size_t compile_message_bytes_max = 1024; ///< Of a tool's last lines.

// Runtimes.
inline constexpr duration_us runtime_start_us_default = 60 * second_us;
inline constexpr duration_us runtime_start_us_max = 1'800 * second_us;
inline constexpr std::uint32_t sequences_max = 4'096;     ///< Declared by a plugin.
inline constexpr std::uint32_t threads_max = 1'024;       ///< Given to a runtime.
inline constexpr std::uint32_t cpu_sequences_max = 8;     ///< Of the built-in cpu device.
inline constexpr std::uint32_t cpu_memory_share_pm = 700; ///< Of available memory, per mille.

} // namespace consort::node::limits
