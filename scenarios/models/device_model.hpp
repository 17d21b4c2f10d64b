// SPDX-License-Identifier: Apache-2.0
#pragma once
/// How fast a kind of device is, in numbers: what the simulator computes with, and a simulated
/// runtime on a node in real time. Standard library only; constants, pure functions, no state.
/// Times in microseconds, memory in bytes, power in milliwatts.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace consort::sim {

/// One kind of device. The engine model is continuous batching: a step decodes one token of every
/// running sequence and prefills at most `step_tokens` tokens of prompts.
struct device_model {
  std::string_view name; ///< SKU as scenario files name it.
  std::string_view type; ///< `cpu`, `npu`, `gpu` ...
  std::string_view vendor;
  std::uint64_t memory_bytes = 0;
  std::uint32_t max_sequences = 1;
  std::uint32_t max_context_tokens = 0; ///< 0 = the model's own.
  std::uint32_t step_tokens = 0;
  std::uint64_t prefill_tokens_per_s = 0;
  std::uint64_t decode_tokens_per_s = 0;  ///< One sequence alone.
  std::uint32_t decode_batch_gain_pm = 0; ///< Growth of the step per further sequence, per mille.
  std::int64_t load_us = 0;
  std::uint64_t tdp_mw = 0;
  std::uint64_t idle_mw = 0;
  std::string_view build_profile; ///< Empty: runs a model's own weights.
  std::string_view compiler;
  std::string_view compiler_version;
  std::string_view dtype;
  std::int64_t compile_us = 0; ///< Of a small model.
};

/// The model of that name, or null.
[[nodiscard]] const device_model* find_device_model(std::string_view name);
[[nodiscard]] std::vector<std::string> device_model_names();

/// One engine step with `decoding` sequences and `prefilled` prompt tokens. At least 1.
[[nodiscard]] std::int64_t step_us(const device_model& model, std::uint32_t decoding,
                                   std::uint32_t prefilled);

/// Board power with `running` sequences: between idle and the thermal limit.
[[nodiscard]] std::uint64_t power_mw(const device_model& model, std::uint32_t running);

} // namespace consort::sim
