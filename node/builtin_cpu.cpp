// SPDX-License-Identifier: Apache-2.0
#include "node/builtin_cpu.hpp"

#include "node/cpu_readings.hpp"
#include "node/host_topology.hpp"

#include "scheduler/units.hpp"

#include <unistd.h>

#include <algorithm>
#include <chrono>

namespace consort::node {

namespace {

constexpr int cpu_priority = 10; // Any vendor's plugin knows its hardware better.

/// Seeds of the cost model, low on purpose: a model of some billion weights in 8 bit, per core.
/// What is measured replaces them after the first requests.
constexpr std::uint64_t prefill_tokens_per_core_s = 20;
constexpr std::uint64_t decode_tokens_per_core_s = 4;
constexpr std::uint32_t decode_batch_gain_pm = 300;
constexpr duration_us load_us = 2 * limits::second_us;

std::string join(const std::vector<std::string>& words) {
  std::string all;
  for (const auto& word : words)
    all += (all.empty() ? "" : " ") + word;
  return all;
}

std::uint32_t simd_factor(const host_topology& host) {
  const auto has = [&](const char* name) {
    return std::find(host.simd.begin(), host.simd.end(), name) != host.simd.end();
  };
  if (has("avx512f") || has("amx_int8") || has("sve"))
    return 4;
  return has("avx2") || has("asimddp") ? 2 : 1;
}

class cpu_plugin : public plugin {
public:
  explicit cpu_plugin(cpu_plugin_config config)
      : config_(std::move(config)), readings_(config_.root) {
    metadata_ = {"cpu", "1", "generic", resource_type::cpu, cpu_priority, "built-in"};
  }

  [[nodiscard]] const plugin_metadata& metadata() const override { return metadata_; }

  [[nodiscard]] result<done> available() override {
    if (::access(config_.llama_library.c_str(), R_OK) == 0)
      return done{};
    return error{recovery::refuse, "not_available",
                 "the llama runtime is missing: " + config_.llama_library};
  }

  [[nodiscard]] result<std::vector<device_spec>> probe() override {
    if (!host_)
      host_ = read_topology(config_.root);
    return std::vector<device_spec>{describe(*host_)};
  }

  [[nodiscard]] result<std::map<std::string, device_reading>> read() override {
    const auto now = std::chrono::duration_cast<std::chrono::microseconds>(
                         std::chrono::steady_clock::now().time_since_epoch())
                         .count();
    return std::map<std::string, device_reading>{{identity(), readings_.read(now)}};
  }

  [[nodiscard]] std::vector<build_profile> toolchains() override { return {}; }

  std::unique_ptr<running_compile>
  compile(const compile_request&, std::function<void(std::uint32_t)>,
          std::function<void(result<compile_outcome>)> finished) override {
    finished(error{recovery::retry_elsewhere, "no_compiler", "the cpu plugin compiles nothing"});
    return std::make_unique<running_compile>();
  }

  [[nodiscard]] runtime* device_runtime() override {
    if (runtime_ == nullptr && config_.make_c_abi) {
      if (!host_)
        host_ = read_topology(config_.root);
      c_abi_spec spec;
      spec.plugin = metadata_.name;
      spec.library = config_.llama_library;
      spec.threads = threads(*host_);
      spec.sequences = sequences(*host_);
      spec.capabilities = capabilities();
      runtime_ = config_.make_c_abi(spec);
    }
    return runtime_.get();
  }

private:
  /// One per core that we may use: threads of the engine spin, and more of them than cores starve
  /// each other. One core stays free for the agent when there are enough.
  [[nodiscard]] std::uint32_t threads(const host_topology& host) const {
    if (config_.threads > 0)
      return std::min(config_.threads, limits::threads_max);
    const auto usable
        = std::min(host.cores, read_processor_quota(config_.root).value_or(host.cores));
    return std::clamp(usable > 1 ? usable - 1 : 1U, 1U, limits::threads_max);
  }

  [[nodiscard]] std::uint32_t sequences(const host_topology& host) const {
    if (config_.sequences > 0)
      return std::min(config_.sequences, limits::sequences_max);
    return std::clamp(4 * host.cores, 1U, limits::cpu_sequences_max);
  }

  [[nodiscard]] static runtime_capabilities capabilities() {
    runtime_capabilities can;
    can.resume = resume_support::tokens;
    can.cancel = true;
    can.tokenize = true;
    can.adapters = true;
    can.embeddings = true;
    return can;
  }

  [[nodiscard]] const std::string& identity() {
    if (identity_.empty())
      identity_ = "cpu-" + read_host_identity(config_.root);
    return identity_;
  }

  [[nodiscard]] device_spec describe(const host_topology& host) {
    device_spec device;
    device.type = resource_type::cpu;
    device.vendor = metadata_.vendor;
    device.model = host.processor_name.empty() ? "cpu" : host.processor_name;
    device.plugin = metadata_.name;
    device.uuid = identity();
    device.memory_bytes = read_available_memory(config_.root) / 1000 * limits::cpu_memory_share_pm;
    device.capability.max_sequences = sequences(host);
    device.capability.dtypes = {"f16", "q8_0"};
    device.capability.formats = device.capability.adapter_formats = {"gguf"};
    device.capability.runtime = capabilities();
    const auto speed = std::uint64_t{threads(host)} * simd_factor(host);
    device.spec.prefill_tokens_per_s = speed * prefill_tokens_per_core_s;
    device.spec.decode_tokens_per_s = speed * decode_tokens_per_core_s;
    device.spec.decode_batch_gain_pm = decode_batch_gain_pm;
    device.spec.load_us = load_us;
    device.attributes = {{"cores", std::to_string(host.cores)},
                         {"processors", std::to_string(host.processors)},
                         {"packages", std::to_string(host.packages)},
                         {"numa_nodes", std::to_string(host.numa_nodes)},
                         {"l2_cache", format_size(host.l2_bytes)},
                         {"l3_cache", format_size(host.l3_bytes)},
                         {"simd", join(host.simd)},
                         {"threads", std::to_string(threads(host))}};
    return device;
  }

  cpu_plugin_config config_;
  plugin_metadata metadata_;
  cpu_readings readings_;
  std::optional<host_topology> host_;
  std::string identity_;
  std::unique_ptr<runtime> runtime_;
};

} // namespace

std::unique_ptr<plugin> make_cpu_plugin(cpu_plugin_config config) {
  return std::make_unique<cpu_plugin>(std::move(config));
}

} // namespace consort::node
