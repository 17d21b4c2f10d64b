// SPDX-License-Identifier: Apache-2.0
#pragma once
/// plugin.json as values, after validation: every unit converted, every default filled in, every
/// regular expression known to compile. Owned by one json_plugin; never changes. The file format is
/// docs/PLUGINS.md.

#include "node/limits.hpp"
#include "node/plugin.hpp"
#include "node/server_spec.hpp"

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace consort::node {

/// One thing that must be there: a path (a pattern of paths), a program (in the plugin's folder or
/// in PATH), or a variable of the agent's environment that is not empty; or a program that must
/// not, since another plugin does better where it is.
struct availability_test {
  enum class kind : std::uint8_t { path, command, variable, no_command };
  kind what = kind::path;
  std::string name;
};

/// All tests, or at least one of them, must pass; none = always available.
struct availability {
  bool any = false;
  std::vector<availability_test> tests;
};

/// What becomes of several values, which a JSON pointer with `*` in it finds.
enum class field_take : std::uint8_t { first, sum, mean, max, join };

/// Where a figure or word stands in a tool's answer, or the constant that replaces it.
struct field_source {
  std::string at; ///< JSON pointer, CSV column, capture group, file name or pattern, by `parse`.
  std::optional<std::string> constant;
  std::string match;  ///< Pattern; its group is what counts of the text. Empty = all of it.
  std::string prefix; ///< Goes in front of the text that counts, unless that is empty.
  field_take take = field_take::first;
  std::string unit;          ///< As the file names it; a tool may print it behind the number.
  std::int64_t multiply = 1; ///< From the unit named in the file to ours.
  std::int64_t divide = 1;
  bool busy_time = false; ///< Utilization only: time so far, in microseconds once scaled.
  bool idle_time = false; ///< The same of the time without work.
  std::map<std::string, std::string> words; ///< Replaces a text by another (`ok` -> `healthy`).
  std::vector<field_source> otherwise;      ///< In order, when this gives nothing.
};

/// `blocks` is text in which several lines belong to one device.
enum class answer_format : std::uint8_t { json, csv, text, sysfs, blocks };

/// One question to the vendor's tools: what to run or read, and how to split it into devices.
struct tool_query {
  std::vector<std::string> command; ///< Empty for sysfs.
  answer_format parse = answer_format::json;
  std::string each; ///< json: pointer to an array or object; text: pattern; sysfs: glob of folders;
                    ///< blocks: pattern of a device's first line.
  std::vector<std::string> each_otherwise;  ///< json: further pointers; the first there counts.
  std::vector<std::string> columns;         ///< csv without a header line: what it would say.
  std::map<std::string, std::string> where; ///< Place -> pattern: others are no devices of ours.
  std::string id_attribute; ///< Telemetry: which attribute of the device `id` is; empty = its uuid.
  bool stream = false;      ///< Json: the tool goes on, one answer per line.
  duration_us timeout_us = limits::plugin_call_us_max;
  std::map<std::string, field_source> fields; ///< By our own name: `id`, `memory_bytes` ...
  std::map<std::string, field_source> attributes;
};

/// How a build's quality figures are read: a JSON object in a file, or lines of standard output.
struct quality_source {
  enum class kind : std::uint8_t { none, file, lines };
  kind what = kind::none;
  std::string text; ///< File name with placeholders, or a pattern with two groups: name and value.
};

enum class build_interface : std::uint8_t { cli, config, c_abi };
enum class version_scope : std::uint8_t { none, major, minor, exact };

/// What a failure of a compiler means: it fails again, it lacks room here, or it may pass.
enum class failure_class : std::uint8_t { deterministic, resource, transient };

/// One way to fail, by exit code, by a line that it printed, or both.
struct failure_rule {
  std::optional<int> exit;
  std::string match; ///< Pattern; empty = any line.
  failure_class means = failure_class::deterministic;
};

namespace limits {
inline constexpr std::size_t begins_bytes_max = 64; ///< Of `begins`.
} // namespace limits

/// One entry of `build`: a compiler, and what its output is good for.
struct build_rule {
  build_profile profile; ///< compiler_version as declared; replaced by what the tool says.
  artifact_kind binds = artifact_kind::engine_weights;
  std::vector<std::string> formats; ///< Model formats it reads; empty = any.
  build_interface interface = build_interface::cli;
  std::vector<std::string> command; ///< Arguments, placeholders not yet replaced.
  std::string library;              ///< c-abi only: relative to the plugin's folder.
  std::string library_config;       ///< c-abi only: JSON object.
  std::string config_template;      ///< File in the plugin's folder; interface config only.
  std::string config_name;          ///< Name of the written file in the work folder.
  std::vector<std::string> version_command;
  version_scope version = version_scope::exact; ///< How much of the version must match.
  older_engines older = older_engines::none;    ///< What else its runtime runs.
  std::string begins;   ///< First bytes of what it makes, which is a file then; empty = not said.
  std::string progress; ///< Pattern with one group: percent. Empty = none.
  quality_source quality;
  std::vector<failure_rule>
      failures; ///< The first that fits counts, before docs/PLUGINS.md's table.
  duration_us timeout_us = limits::compile_us_default;
  std::uint64_t memory_bytes = 0; ///< Address-space limit; 0 = none.
  std::uint64_t disk_bytes = 0;   ///< Largest output, and the free space it needs; 0 = unknown.
};

enum class runtime_interface : std::uint8_t { c_abi, server };

/// What a server compiles at its own start, in the folder that `{cache}` names.
struct cache_rule {
  std::vector<std::string> version_command; ///< Empty: the server tells its own versions apart.
  std::uint64_t bytes_max = limits::server_cache_bytes_default;
};

/// `runtime`.
struct runtime_rule {
  bool present = false;
  runtime_interface interface = runtime_interface::c_abi;
  std::string library;            ///< c-abi: as written; relative to the plugin's folder.
  bool stepwise = false;          ///< c-abi: of the level `step`, not `generate`.
  std::string config_json = "{}"; ///< c-abi.
  server_spec server;             ///< server: what only it has; the rest is filled in later.
  duration_us start_timeout_us = limits::runtime_start_us_default;
  std::uint64_t memory_bytes = 0;
  std::uint32_t threads = 0;
  std::map<std::string, std::string> env;
  std::optional<cache_rule> cache; ///< server, with a command.
};

/// A part of a device that can be used by itself: units `first` to `last` of `of`. Parts that share
/// a unit exclude each other.
struct partition_rule {
  std::string name;  ///< Ends the uuid: `<uuid>/<name>`.
  std::string model; ///< SKU; empty = the device's own.
  std::string text;  ///< `{partition}` of a server's rule.
  std::uint32_t first = 0;
  std::uint32_t last = 0;
  std::uint32_t of = 1;
};

/// A spec sheet for the device models that a pattern matches.
struct model_sheet {
  std::string match;
  speed_spec spec;
  std::map<std::string, std::string> attributes; ///< Bandwidth, tflops.
};

/// `stages`: variables of the agent's environment that name the devices which do its devices' work.
struct stages_rule {
  std::string prefill_env, decode_env;
  std::uint64_t transfer_bytes_per_s = 0; ///< Of the KV cache; 0 = takes no time.
  duration_us transfer_us = 0;            ///< On top, each time.
};

struct plugin_document {
  plugin_metadata metadata;
  bool simulated = false;
  std::vector<std::string> search; ///< Folders with its vendor's tools, looked at after PATH.
  availability available;
  tool_query probe; ///< Of no use to an engine.
  std::optional<tool_query> telemetry;
  std::vector<tool_query> telemetry_also; ///< What further tools know about the same devices.
  device_capability capability; ///< build_profiles empty: they depend on the installed compilers.
  speed_spec spec;
  std::vector<model_sheet> sheets; ///< The first that fits replaces `spec` and its attributes.
  std::vector<partition_rule> partitions;
  std::map<std::string, std::string> attributes; ///< Of every device: tflops and the like.
  std::vector<std::string> tags;
  std::vector<build_rule> builds;
  runtime_rule runtime;
  /// An engine: names of the plugins whose devices it runs models on, and what its server is told
  /// in the environment there. Empty for a plugin with devices of its own.
  std::map<std::string, std::map<std::string, std::string>> runs_on;
  std::optional<stages_rule> stages; ///< Of a hybrid's devices.
};

} // namespace consort::node
