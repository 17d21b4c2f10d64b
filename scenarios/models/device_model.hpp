// SPDX-License-Identifier: Apache-2.0
#pragma once
/// A device as the simulator computes with it, and a simulated runtime on a node in real time: what
/// it holds, how fast it is, what it draws and costs. Made of a chip's spec sheet and of what a
/// scenario says beside it. Standard library only; values. Times in microseconds, memory in bytes,
/// power in milliwatts, money in millionths of the cluster's currency unit.

#include "scenarios/models/chip_spec.hpp"
#include "scenarios/models/rates_cost.hpp"
#include "scenarios/models/roofline.hpp"

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace consort::sim {

/// What a throttled device tells: millidegrees Celsius, and why it is not healthy.
inline constexpr std::int32_t throttled_mc = 95'000;
inline constexpr std::string_view throttled_words = "throttled at 95 degrees, its clocks are low";

/// Where step times come from.
enum class fidelity_kind : std::uint8_t {
  rates,    ///< Tokens per second, or points recorded from a live device.
  roofline, ///< The spec sheet and fitted constants.
  table,    ///< Measured latencies of every operator.
};

/// What a service elsewhere imposes; all 0 on a device of one's own.
struct remote_terms {
  std::uint32_t requests_per_min = 0;     ///< 0 = no limit.
  std::uint64_t tokens_per_min = 0;       ///< Prompt and output; 0 = no limit.
  std::uint64_t micros_per_1k_input = 0;  ///< Money.
  std::uint64_t micros_per_1k_output = 0; ///< Money.
  std::int64_t first_token_us = 0;        ///< Of its own, before any prefill of ours.
  double jitter_sigma = 0;                ///< Of a log-normal factor on that.
};

/// The prefill side of a device that splits the two phases.
struct prefill_side {
  std::shared_ptr<const struct device_model> device;
  double transfer_gb_per_s = slot_gb_per_s; ///< KV cache on its way to the decode side.
  std::int64_t transfer_us = 0;             ///< Of its own, each time.
};

/// Of a device that has its work done by two others of its node: they are named by what follows the
/// slash of their ids, and serve by themselves too.
struct member_stages {
  std::string prefill, decode; ///< Both empty: it works itself.
  double transfer_gb_per_s = slot_gb_per_s;
  std::int64_t transfer_us = 0; ///< Of its own, each time.
  [[nodiscard]] bool empty() const { return prefill.empty(); }
};

struct device_model {
  std::string name; ///< SKU: the spec's name, or what the scenario calls it.
  std::string type; ///< `cpu`, `npu`, `gpu`, `pim`, `remote`, `hybrid`.
  std::string vendor;

  // --- what it holds ---
  std::uint64_t memory_bytes = 0; ///< Of all its chips, for weights and KV cache.
  std::uint32_t max_sequences = 1;
  std::uint32_t max_context_tokens = 0; ///< 0 = the model's own.
  std::uint32_t step_tokens = 0;        ///< Token budget of one step.
  std::uint64_t kv_blocks = 0;          ///< As its engine reports them; 0 = what memory leaves.
  std::uint32_t block_tokens = 16;
  bool prefix_cache = true;
  bool reserves_output = true; ///< A sequence gets KV for all its output before it starts; else
                               ///< block by block, and it may be preempted.
  std::vector<std::uint32_t> batch_buckets;  ///< Compiled batch sizes; empty = any.
  std::vector<std::uint32_t> prompt_buckets; ///< Compiled prompt lengths; empty = any.

  // --- how fast it is ---
  fidelity_kind fidelity = fidelity_kind::rates;
  rate_points points;                                  ///< Of `rates`.
  measurement measured;                                ///< Of points or tables from a file.
  chip_spec chip;                                      ///< Of `roofline`.
  chip_group group;                                    ///< Likewise.
  roofline_constants constants;                        ///< Likewise.
  std::shared_ptr<const class operator_tables> tables; ///< Of `table`.
  std::int64_t load_us = 0;                            ///< Start of a runtime.
  std::uint64_t load_bytes_per_s = 0;                  ///< Weights on top; 0 = no time.
  remote_terms remote;
  prefill_side prefill;

  // --- what must be built first ---
  std::string build_profile; ///< Empty: runs a model's own weights.
  std::string compiler;
  std::string compiler_version;
  std::string dtype;
  std::int64_t compile_us = 0;           ///< Of a small model.
  std::uint64_t compile_bytes_per_s = 0; ///< Weights on top; 0 = no time.
  std::uint64_t compile_mw = 0;          ///< Drawn on top by its host meanwhile.

  // --- what it draws and costs ---
  std::uint64_t tdp_mw = 0;
  std::uint64_t idle_mw = 0;
  std::uint64_t sleep_mw = 0;      ///< When it has slept in; 0 = never sleeps.
  std::int64_t sleep_after_us = 0; ///< Idle for that long.
  std::int64_t wake_us = 0;        ///< Until it works again.
  std::uint64_t cap_mw = 0;        ///< Power cap; 0 = none. Below its draw it runs slower.
  std::uint64_t cost_micros_per_hour = 0;
  bool priced = false; ///< Whoever describes it says what it costs, even if that is nothing.

  member_stages stages;
};

using device_model_ptr = std::shared_ptr<const device_model>;

/// A device of its own (`cpu-local`, `refnpu-1`, `remote-api`), or one chip by its spec; null when
/// unknown.
[[nodiscard]] device_model_ptr find_device_model(std::string_view name);
[[nodiscard]] std::vector<std::string> device_model_names();
/// A device without anything of its own: its stages do the work.
[[nodiscard]] device_model plan_of_stages(member_stages stages);
/// A device of `group.tp * group.pp` chips of one spec.
[[nodiscard]] device_model device_of_chips(const chip_spec& chip, chip_group group);

/// Its step times for a model of that shape, immutable and to be shared by its engines.
/// Requires: `tables` is set when the fidelity says so.
[[nodiscard]] step_cost_ptr cost_of(const device_model& device, const model_shape& shape);
[[nodiscard]] std::int64_t load_us_of(const device_model& device, std::uint64_t weight_bytes);
[[nodiscard]] std::int64_t compile_us_of(const device_model& device, std::uint64_t weight_bytes);

/// What a plugin's spec sheet would tell the scheduler about it.
struct speed_claim {
  std::uint64_t prefill_tokens_per_s = 0;
  std::uint64_t decode_tokens_per_s = 0;  ///< One sequence alone.
  std::uint32_t decode_batch_gain_pm = 0; ///< Growth of the step per further sequence, per mille.
};
[[nodiscard]] speed_claim claim_of(const device_model& device, const model_shape& shape);

/// Board power at this share of its range, 0 to 1, under its cap.
[[nodiscard]] double power_mw(const device_model& device, double intensity);
/// How much longer a step at this share takes under the cap: at least 1.
[[nodiscard]] double slowdown_of_cap(const device_model& device, double intensity);

} // namespace consort::sim
