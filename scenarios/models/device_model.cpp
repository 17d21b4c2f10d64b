// SPDX-License-Identifier: Apache-2.0
#include "scenarios/models/device_model.hpp"

#include <algorithm>
#include <array>

namespace consort::sim {

namespace {

constexpr std::uint64_t gib = 1024ULL * 1024 * 1024;

/// Figures of the devices that a first cluster has: one CPU thread serving a 5M-parameter model,
/// and the reference accelerator as its plugin declares it.
constexpr std::array<device_model, 2> catalogue{{{.name = "cpu-local",
                                                  .type = "cpu",
                                                  .vendor = "generic",
                                                  .memory_bytes = 4 * gib,
                                                  .max_sequences = 8,
                                                  .max_context_tokens = 0,
                                                  .step_tokens = 512,
                                                  .prefill_tokens_per_s = 6'000,
                                                  .decode_tokens_per_s = 400,
                                                  .decode_batch_gain_pm = 450,
                                                  .load_us = 60'000,
                                                  .tdp_mw = 45'000,
                                                  .idle_mw = 8'000,
                                                  .build_profile = "",
                                                  .compiler = "",
                                                  .compiler_version = "",
                                                  .dtype = "f16",
                                                  .compile_us = 0},
                                                 {.name = "refnpu-1",
                                                  .type = "npu",
                                                  .vendor = "reference",
                                                  .memory_bytes = 1 * gib,
                                                  .max_sequences = 8,
                                                  .max_context_tokens = 0,
                                                  .step_tokens = 512,
                                                  .prefill_tokens_per_s = 20'000,
                                                  .decode_tokens_per_s = 1'000,
                                                  .decode_batch_gain_pm = 120,
                                                  .load_us = 200'000,
                                                  .tdp_mw = 25'000,
                                                  .idle_mw = 4'000,
                                                  .build_profile = "refnpu",
                                                  .compiler = "refnpu-cc",
                                                  .compiler_version = "1.0",
                                                  .dtype = "q8_0",
                                                  .compile_us = 4'000'000}}};

} // namespace

const device_model* find_device_model(std::string_view name) {
  const auto found = std::find_if(catalogue.begin(), catalogue.end(),
                                  [&](const device_model& model) { return model.name == name; });
  return found == catalogue.end() ? nullptr : &*found;
}

std::vector<std::string> device_model_names() {
  std::vector<std::string> names;
  for (const auto& model : catalogue)
    names.emplace_back(model.name);
  return names;
}

std::int64_t step_us(const device_model& model, std::uint32_t decoding, std::uint32_t prefilled) {
  std::int64_t span = 0;
  if (decoding > 0) {
    // ITL(b) = ITL(1) * (1 + (b-1) * gain), the shape that the core's cost model learns too.
    const auto alone = 1'000'000 / static_cast<std::int64_t>(model.decode_tokens_per_s);
    span += alone + alone * (decoding - 1) * model.decode_batch_gain_pm / 1'000;
  }
  span += static_cast<std::int64_t>(prefilled) * 1'000'000
          / static_cast<std::int64_t>(model.prefill_tokens_per_s);
  return std::max<std::int64_t>(span, 1);
}

std::uint64_t power_mw(const device_model& model, std::uint32_t running) {
  const auto share = std::min(running, model.max_sequences);
  return model.idle_mw + (model.tdp_mw - model.idle_mw) * share / model.max_sequences;
}

} // namespace consort::sim
