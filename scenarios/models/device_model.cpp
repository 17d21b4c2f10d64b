// SPDX-License-Identifier: Apache-2.0
#include "scenarios/models/device_model.hpp"

#include "scenarios/models/operator_tables.hpp"

#include <algorithm>
#include <array>
#include <cmath>

namespace consort::sim {

namespace {

constexpr std::uint64_t gib = 1024ULL * 1024 * 1024;
/// Of a chip's memory, for weights and KV cache, as vLLM's default has it.
constexpr double memory_share = 0.9;

/// Figures of the devices that a first cluster has: one CPU thread serving a 5M-parameter model,
/// the reference accelerator as its plugin declares it, and a service elsewhere.
std::vector<device_model> own_devices() {
  device_model cpu;
  cpu.name = "cpu-local";
  cpu.type = "cpu";
  cpu.vendor = "generic";
  cpu.memory_bytes = 4 * gib;
  cpu.max_sequences = 8;
  cpu.step_tokens = 512;
  cpu.points = points_of_rates(6'000, 400, 450);
  cpu.load_us = 60'000;
  cpu.tdp_mw = 45'000;
  cpu.idle_mw = 8'000;
  cpu.dtype = "f16";
  cpu.prefix_cache = false;
  auto npu = cpu;
  npu.name = "refnpu-1";
  npu.type = "npu";
  npu.vendor = "reference";
  npu.memory_bytes = 1 * gib;
  npu.points = points_of_rates(20'000, 1'000, 120);
  npu.load_us = 200'000;
  npu.tdp_mw = 25'000;
  npu.idle_mw = 4'000;
  npu.build_profile = "refnpu";
  npu.compiler = "refnpu-cc";
  npu.compiler_version = "1.0";
  npu.dtype = "q8_0";
  npu.compile_us = 4'000'000;
  device_model remote;
  remote.name = "remote-api";
  remote.type = "remote";
  remote.vendor = "remote";
  remote.memory_bytes = 4'096 * gib; // Nobody sees its memory; what fits is the provider's matter.
  remote.max_sequences = 512;
  remote.step_tokens = 1'000'000;
  remote.points = points_of_rates(50'000, 60, 0); // A stream's speed does not depend on others.
  remote.dtype = "bf16";
  remote.remote = {600, 1'000'000, 500, 1'500, 350'000, 0.35};
  return {cpu, npu, remote};
}

std::vector<std::uint32_t> powers_of_two(std::uint32_t first, std::uint32_t last) {
  std::vector<std::uint32_t> made;
  for (auto one = first; one <= last; one *= 2)
    made.push_back(one);
  return made;
}

/// What compiled code for fixed shapes entails.
void become_npu(device_model& made) {
  made.batch_buckets = powers_of_two(1, 64);
  made.prompt_buckets = powers_of_two(128, 8'192);
  made.max_sequences = 64;
  made.step_tokens = 8'192; // A whole bucket at once: no chunks.
  made.build_profile = made.name;
  made.compiler = made.vendor + "-cc";
  made.compiler_version = "1.0";
  made.compile_us = 120'000'000;
  made.compile_bytes_per_s = 20'000'000; // An 8B model in a quarter of an hour.
}

double number_or(double value, double fallback) {
  return value > 0 ? value : fallback;
}

} // namespace

device_model device_of_chips(const chip_spec& chip, chip_group group) {
  const double chips = double(group.tp) * group.pp;
  device_model made;
  made.name = chip.name;
  if (group.tp > 1)
    made.name += "-tp" + std::to_string(group.tp);
  if (group.pp > 1)
    made.name += "-pp" + std::to_string(group.pp);
  made.type = chip.kind;
  made.vendor = chip.vendor;
  made.memory_bytes = static_cast<std::uint64_t>(chip.memory_gb * 1e9 * memory_share * chips);
  made.max_sequences = 256;
  made.step_tokens = chip.memory_gb >= 70 ? 8'192 : 2'048; // vLLM's defaults.
  made.fidelity = fidelity_kind::roofline;
  made.chip = chip;
  made.group = group;
  made.constants = default_constants(chip);
  made.load_us = 15'000'000; // An engine's start: graphs, memory profiling.
  made.load_bytes_per_s = 2'000'000'000;
  made.dtype = "bf16";
  made.tdp_mw = static_cast<std::uint64_t>(chip.tdp_w * 1e3 * chips);
  made.idle_mw = static_cast<std::uint64_t>(number_or(chip.idle_w, chip.tdp_w / 10) * 1e3 * chips);
  made.cost_micros_per_hour = static_cast<std::uint64_t>(chip.usd_per_h * 1e6 * chips);
  made.priced = chip.usd_per_h > 0;
  if (made.type == "npu")
    become_npu(made);
  if (made.type == "pim" || made.type == "cpu") {
    made.load_us = 2'000'000;
    made.prefix_cache = made.type == "cpu";
  }
  return made;
}

device_model_ptr find_device_model(std::string_view name) {
  static const auto own = own_devices();
  const auto found = std::find_if(own.begin(), own.end(),
                                  [&](const device_model& one) { return one.name == name; });
  if (found != own.end())
    return {std::shared_ptr<void>{}, &*found}; // Lives as long as the program.
  if (const auto* chip = find_chip_spec(name))
    return std::make_shared<const device_model>(device_of_chips(*chip, {}));
  return nullptr;
}

device_model plan_of_stages(member_stages stages) {
  auto made = *find_device_model("cpu-local"); // For what nobody reads of it.
  made.name = "plan";
  made.type = "hybrid";
  made.vendor = "simulated";
  made.memory_bytes = 0;
  made.max_sequences = 1'024; // Its members' bound it.
  made.prefix_cache = false;
  made.load_us = 0;
  made.load_bytes_per_s = 0;
  made.tdp_mw = made.idle_mw = made.sleep_mw = made.cap_mw = 0;
  made.cost_micros_per_hour = 0;
  made.stages = std::move(stages);
  return made;
}

std::vector<std::string> device_model_names() {
  std::vector<std::string> names;
  for (const auto& one : own_devices())
    names.push_back(one.name);
  for (auto& name : chip_spec_names())
    names.push_back(std::move(name));
  return names;
}

step_cost_ptr cost_of(const device_model& device, const model_shape& shape) {
  switch (device.fidelity) {
  case fidelity_kind::rates: break;
  case fidelity_kind::roofline:
    return std::make_shared<roofline_cost>(device.chip, shape, device.group, device.constants,
                                           device.batch_buckets);
  case fidelity_kind::table:
    return std::make_shared<table_cost>(device.tables, shape, device.group, device.constants);
  }
  return std::make_shared<rates_cost>(device.points);
}

namespace {

std::int64_t with_bytes(std::int64_t fixed_us, std::uint64_t bytes, std::uint64_t bytes_per_s) {
  return bytes_per_s == 0
             ? fixed_us
             : fixed_us + static_cast<std::int64_t>(double(bytes) * 1e6 / double(bytes_per_s));
}

std::uint64_t per_second(double us) {
  return static_cast<std::uint64_t>(std::llround(std::max(1e6 / us, 1.0)));
}

} // namespace

std::int64_t load_us_of(const device_model& device, std::uint64_t weight_bytes) {
  return with_bytes(device.load_us, weight_bytes, device.load_bytes_per_s);
}

std::int64_t compile_us_of(const device_model& device, std::uint64_t weight_bytes) {
  return with_bytes(device.compile_us, weight_bytes, device.compile_bytes_per_s);
}

speed_claim claim_of(const device_model& device, const model_shape& shape) {
  constexpr std::uint32_t prompt = 1'024; // Tokens; a spec sheet's usual row.
  const auto cost = cost_of(device, shape);
  step_load load;
  load.chunks = {{prompt, 0}};
  load.rows = 1;
  speed_claim made;
  made.prefill_tokens_per_s = per_second(cost->step_us(load) / prompt);
  const auto step = [&](std::uint32_t sequences) {
    const auto line = cost->line_of(sequences, double(prompt) * sequences);
    return line.base_us + line.slope_us * prompt * sequences;
  };
  const double alone = step(1);
  made.decode_tokens_per_s = per_second(alone);
  if (device.max_sequences > 1) {
    const double growth = (step(device.max_sequences) / alone - 1) / (device.max_sequences - 1);
    made.decode_batch_gain_pm
        = static_cast<std::uint32_t>(std::clamp(std::round(growth * 1'000), 0.0, 1'000.0));
  }
  return made;
}

double power_mw(const device_model& device, double intensity) {
  const double idle = double(device.idle_mw);
  const double free = idle + (double(device.tdp_mw) - idle) * intensity;
  return device.cap_mw == 0 ? free : std::min(free, std::max(double(device.cap_mw), idle));
}

double slowdown_of_cap(const device_model& device, double intensity) {
  if (device.cap_mw == 0)
    return 1;
  const double idle = double(device.idle_mw);
  const double wanted = (double(device.tdp_mw) - idle) * intensity;
  const double left = std::max(double(device.cap_mw) - idle, 0.05 * wanted);
  // Power of clocked logic grows with about the cube of its clock.
  return wanted <= left ? 1 : std::cbrt(wanted / left);
}

} // namespace consort::sim
