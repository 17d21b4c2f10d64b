// SPDX-License-Identifier: Apache-2.0
#pragma once
/// The resource model: devices and their partitions, what they can do, allocations of their shares,
/// instances that run on an allocation, and the endpoints where instances take requests. Plain
/// values; owned by whoever holds them. An unknown reading is `std::nullopt`, never zero. Bytes,
/// tokens, milliwatts and microseconds are integers.

#include "scheduler/ids.hpp"

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace consort {

enum class resource_type : std::uint8_t { gpu, npu, pim, cpu, remote, hybrid };

/// Where a capacity figure comes from; later ones are trusted over earlier ones.
enum class figure_source : std::uint8_t { declared, measured, engine };

/// One figure of a capacity vector: `value` nullopt = unknown, `age_us` since it was read.
struct capacity_figure {
  std::optional<std::uint64_t> value;
  figure_source source = figure_source::declared;
  duration_us age_us = 0;
  friend bool operator==(const capacity_figure&, const capacity_figure&) = default;
};

/// What an endpoint can hold at once. Feasibility is judged by KV tokens, not by context length
/// alone.
struct capacity_vector {
  capacity_figure sequences;         ///< Sequences decoded together.
  capacity_figure kv_tokens;         ///< Tokens of KV cache over all sequences.
  capacity_figure step_tokens;       ///< Tokens processed per engine step.
  capacity_figure adapter_slots;     ///< LoRA adapters resident at once.
  capacity_figure requests_per_min;  ///< Remote rate limit.
  capacity_figure tokens_per_min;    ///< Remote rate limit.
  capacity_figure foreign_sequences; ///< Load on the engine that is not ours.
  std::vector<std::uint32_t>
      shape_buckets; ///< Compiled prompt lengths, tokens, ascending; empty = any.
  friend bool operator==(const capacity_vector&, const capacity_vector&) = default;
};

/// How a runtime can continue a stream that began elsewhere.
enum class resume_support : std::uint8_t { none, text, tokens };

/// What a runtime can do beside generating.
struct runtime_capabilities {
  resume_support resume = resume_support::none;
  std::uint32_t context_tokens = 0; ///< That one request may have, answer included; 0 = unknown.
  std::uint32_t prompt_tokens = 0;  ///< Of these its prompt at most; 0 = no bound of its own.
  bool cancel = false;
  bool priority = false;
  bool preempt = false;
  bool tokenize = false;
  bool streaming = true;
  bool adapters = false;
  bool embeddings = false;
  bool structured_output = false;
  std::uint32_t refuses = 0; ///< What it does not answer, bits of asks.hpp.
  friend bool operator==(const runtime_capabilities&, const runtime_capabilities&) = default;
};

/// Spec-sheet speed that seeds the cost model until measurements replace it. Milli-units keep them
/// integers.
struct speed_spec {
  std::uint64_t prefill_tokens_per_s = 0;
  std::uint64_t decode_tokens_per_s = 0;     ///< One sequence alone.
  std::uint32_t decode_batch_gain_pm = 1000; ///< Per mille of ITL growth per further sequence:
                                             ///< ITL(b) = ITL(1) * (1 + (b-1)*gain/1000).
  duration_us load_us = 0;                   ///< Typical load of an artifact or model.
  std::uint64_t tdp_mw = 0;                  ///< Board power at full load, milliwatts; 0 = unknown.
  std::uint64_t idle_mw = 0;                 ///< Milliwatts; 0 = unknown.
  std::uint64_t cost_micros_per_hour = 0; ///< Money, 1e-6 of the cluster's currency unit, per hour.
  friend bool operator==(const speed_spec&, const speed_spec&) = default;
};

/// What a million tokens of a model cost there: money, 1e-6 of the cluster's currency unit. So each
/// figure is as well what one token costs in 1e-12 of the unit.
struct token_price {
  std::uint64_t prompt_micros_per_mtok = 0;
  std::uint64_t cached_micros_per_mtok = 0; ///< Of prompt tokens that its cache had.
  std::uint64_t completion_micros_per_mtok = 0;
  friend bool operator==(const token_price&, const token_price&) = default;
};
/// By the server's name of the model; `*` = those that are not named.
using price_list = std::map<std::string, token_price, std::less<>>;

/// A build profile: what an artifact must be built for, and by what. `compatible` fields form the
/// compatibility key.
struct build_profile {
  std::string name;             ///< Profile name in the plugin, e.g. `refnpu`.
  std::string target;           ///< Device model built for, e.g. `refnpu-1`.
  std::string compiler;         ///< Tool name.
  std::string compiler_version; ///< As the tool prints it; only `major.minor` when the plugin says
                                ///< minor is enough.
  std::string flags;            ///< Canonical extra flags.
  std::uint32_t degree = 1;     ///< Parallel degree (ranks).
  std::string dtype;            ///< Quantisation or number type, e.g. `q8_0`.
  std::vector<std::uint32_t> shape_buckets; ///< Prompt lengths, tokens.
  bool needs_device = false; ///< The compiler occupies a target device while it runs.
  friend auto operator<=>(const build_profile&, const build_profile&) = default;
};

/// What an artifact binds. `engine_weights` is good for one digest, `engine_architecture` for any
/// weights of one shape, `cache` is what a server compiles at its own start.
enum class artifact_kind : std::uint8_t { engine_weights, engine_architecture, cache };

/// Which engines of an older version of a profile's compiler its runtime runs as well: none, those
/// that agree in the first two numbers of the version, in the first, or all.
enum class older_engines : std::uint8_t { none, minor, major, any };

/// A profile whose artifacts a device runs, and the model formats that its compiler reads. Of an
/// artifact only the profile and what it binds say which it is: artifact_key has those alone.
struct runnable_build {
  build_profile profile;
  std::vector<std::string> reads; ///< Words or patterns, as in formats.hpp; empty = any.
  artifact_kind binds = artifact_kind::engine_weights;
  bool adapters = false; ///< Its artifacts run with LoRA adapters.
  older_engines older = older_engines::none;
  std::uint32_t memory_share_pm = 0; ///< As memory_rule, of what runs its artifacts.
  friend bool operator==(const runnable_build&, const runnable_build&) = default;
};

/// What a server takes of the memory of each of its devices whatever the model is, where it runs
/// these formats as they are; per mille, 0 = what the model needs.
struct memory_rule {
  std::vector<std::string> formats; ///< Words or patterns, as in formats.hpp.
  std::uint32_t share_pm = 0;
  friend bool operator==(const memory_rule&, const memory_rule&) = default;
};

/// What a device's plugin says that it can do.
struct device_capability {
  std::uint32_t max_sequences = 1;
  std::uint32_t max_context_tokens = 0; ///< 0 = the model's own limit.
  std::uint32_t devices_max = 1;        ///< That one instance may span.
  std::uint32_t nodes_max = 1;          ///< Over which these devices may be spread.
  std::vector<std::string> dtypes;
  std::vector<std::string> formats; ///< Model formats run without an artifact, e.g. `gguf`.
  std::vector<runnable_build>
      build_profiles; ///< Artifacts that it runs; empty = none. In order of preference.
  std::vector<std::string> optimized_for; ///< `latency`, `throughput`, `energy` ...
  runtime_capabilities runtime;
  duration_us load_limit_us = 0; ///< Longest that its runtimes wait until a model is ready; 0 =
                                 ///< unknown.
  std::vector<std::string> adapter_formats; ///< Those of `formats` that run with LoRA adapters.
  std::uint32_t adapters_max = 0;           ///< Of one instance; 0 = as many as a model may have.
  /// What its servers compile at their own start, by the formats that they load; kept between
  /// starts.
  std::vector<runnable_build> caches;
  /// What is paid there by the token, on top of speed_spec::cost_micros_per_hour; empty = nothing
  /// is.
  price_list prices;
  /// Of those of `formats` whose servers take a share; the first that fits counts.
  std::vector<memory_rule> memory_rules;
  friend bool operator==(const device_capability&, const device_capability&) = default;
};

enum class device_health : std::uint8_t { healthy, degraded, unhealthy };

/// Two devices that work on one request one after the other: the first reads its prompt, the second
/// writes the answer, to which the KV cache is sent. Both set, or none.
struct stage_plan {
  device_id prefill, decode;
  std::uint64_t transfer_bytes_per_s = 0; ///< Of the KV cache; 0 = takes no time.
  duration_us transfer_us = 0;            ///< On top, each time.
  [[nodiscard]] bool empty() const { return prefill.empty() && decode.empty(); }
  friend bool operator==(const stage_plan&, const stage_plan&) = default;
};

/// A physical device, or a partition of one (`parent` set). Board power belongs to the parent's
/// board and counts once.
struct device_spec {
  device_id id;
  node_id node;
  resource_type type = resource_type::cpu;
  std::string vendor;
  std::string model;      ///< SKU, e.g. `refnpu-1`.
  std::string plugin;     ///< Name of the plugin that claimed it.
  std::string uuid;       ///< Stable identity: UUID or PCI address, never an index.
  bool simulated = false; ///< No hardware behind it; shown wherever the device is.
  device_id parent;       ///< Empty for a physical device.
  std::vector<device_id>
      exclusive_siblings;         ///< Partitions that cannot be in use together with this one.
  std::string topology_group;     ///< NVLink island, NUMA node, RSD group; empty = none.
  std::uint64_t memory_bytes = 0; ///< For model and KV; 0 = unknown.
  device_capability capability;
  speed_spec spec;
  std::vector<std::string> tags;
  std::map<std::string, std::string> attributes; ///< For people: cores, NUMA, caches, SIMD ...
  stage_plan stages; ///< Its members' work is its own; empty = it is a device by itself.
  friend bool operator==(const device_spec&, const device_spec&) = default;
};

/// What the engines on one device have done since its agent started; counters never go back.
struct engine_counters {
  std::uint64_t tokens = 0;            ///< Generated.
  std::uint64_t steps = 0;             ///< Decoded batches.
  std::uint64_t cancelled = 0;         ///< Requests that were stopped.
  std::uint32_t sequences_running = 0; ///< At this moment.
  std::uint64_t stages_missed = 0; ///< Requests that a server of a stage did not do its part of.
  friend bool operator==(const engine_counters&, const engine_counters&) = default;
};

/// One telemetry reading of a device. nullopt = unknown.
struct device_reading {
  std::optional<std::uint64_t> memory_used_bytes;
  std::optional<std::uint32_t> utilization_pm; ///< Per mille.
  std::optional<std::uint64_t> power_mw;
  std::optional<std::uint64_t> energy_mj;     ///< Counter, millijoules.
  std::optional<std::int32_t> temperature_mc; ///< Millidegrees Celsius.
  device_health health = device_health::healthy;
  std::optional<engine_counters> engine;    ///< Nothing until an engine ran.
  std::optional<std::uint64_t> cost_micros; ///< Counter, since its agent started.
  /// Why its health is what it is, or its figures are unknown; empty = all is well.
  std::string health_reason = {};
  /// Counters, parts of `energy_mj` since both are known: what attempts drew above idle power,
  /// and all the rest (scheduler/energy_split.hpp). Where it is not known who drew what, neither
  /// grows.
  std::optional<std::uint64_t> charged_mj = {}, idle_mj = {};
  friend bool operator==(const device_reading&, const device_reading&) = default;
};

/// A share of one device: the whole of it, or a part of its memory.
struct device_share {
  device_id device;
  bool whole = false;
  std::uint64_t memory_bytes = 0; ///< Ignored when whole.
  friend bool operator==(const device_share&, const device_share&) = default;
};

enum class allocation_state : std::uint8_t { reserving, granted, releasing };

/// Shares of devices on one or more nodes, granted all or nothing, owned by an instance or a
/// compile.
struct allocation {
  allocation_id id;
  epoch fence;                      ///< Of this grant; a node refuses an older one.
  std::vector<device_share> shares; ///< Leader's first.
  std::string
      topology; ///< Constraint: all shares in one topology group of this kind; empty = none.
  instance_id owner_instance; ///< Exactly one of the two owners is set.
  compile_id owner_compile;
  allocation_state state = allocation_state::reserving;
  /// `host:port` on the leader's node where ranks of other nodes meet it; set once granted, empty
  /// on one node.
  std::string master;
  friend bool operator==(const allocation&, const allocation&) = default;
};

/// How many ways an instance is split.
struct parallelism {
  std::uint32_t tp = 1, pp = 1, dp = 1, ep = 1;
  friend bool operator==(const parallelism&, const parallelism&) = default;
};

enum class launch_kind : std::uint8_t { process, container, attach };
/// `attached` and `shared` instances are servers that we did not start: never killed.
enum class ownership_kind : std::uint8_t { managed, attached, shared };
enum class instance_state : std::uint8_t { reserving, loading, ready, unloading, failed };

} // namespace consort
