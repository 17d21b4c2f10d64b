// SPDX-License-Identifier: Apache-2.0
#pragma once
/// What core_chaos has in its world: nodes, and devices and models of theirs as draws make them.

#include "scheduler/limits.hpp"
#include "scheduler/resources.hpp"
#include "scheduler/types.hpp"

#include <algorithm>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace consort::core::testing {

/// Where decisions of the world come from: a number in [0, bound). Requires: bound > 0.
using draw_source = std::function<std::uint64_t(std::uint64_t bound)>;

class chaos_specs {
protected:
  static constexpr duration_us second_us = limits::second_us;

  explicit chaos_specs(draw_source draw) : draw_(std::move(draw)) {}

  inline static const std::vector<std::string> node_names = {"a", "b", "c"};
  inline static const std::vector<std::string> model_names = {"small", "large", "wide"};

  static build_profile profile(bool needs_device) {
    build_profile made;
    made.name = needs_device ? "on-target" : "cross";
    made.target = "chip";
    made.needs_device = needs_device;
    return made;
  }

  device_spec device(const std::string& node, std::uint64_t number) {
    device_spec made;
    made.node = node_id{node};
    const bool cpu = number == 0;
    const bool remote = number == 3;
    made.id = device_id{node
                        + (cpu      ? "/cpu"
                           : remote ? "/remote"
                                    : "/npu")
                        + std::to_string(number)};
    made.type = cpu ? resource_type::cpu : remote ? resource_type::remote : resource_type::npu;
    if (draw_(3) == 0)
      made.tags = {"data:pii"};
    made.model = cpu ? "core" : "chip";
    made.memory_bytes = draw_(4) == 0 ? 0 : 1000;
    made.capability.max_sequences = static_cast<std::uint32_t>(1 + draw_(4));
    made.capability.runtime.resume = resume_support::tokens;
    if (cpu || remote || draw_(3) == 0)
      made.capability.formats = {"gguf"};
    else
      made.capability.build_profiles = {{profile(draw_(2) == 0), {}}};
    made.spec.prefill_tokens_per_s = 1 + draw_(10'000);
    made.spec.decode_tokens_per_s = draw_(1'000);
    made.spec.load_us = static_cast<duration_us>(draw_(3'000'000));
    made.capability.devices_max = static_cast<std::uint32_t>(1 + draw_(3));
    made.capability.nodes_max = static_cast<std::uint32_t>(1 + draw_(2));
    if (number == 2)
      made.exclusive_siblings = {device_id{node + "/npu1"}};
    return made;
  }

  /// Prompts are read on the node's CPU, answers written on the next one's.
  device_spec plan(const std::string& node) {
    device_spec made;
    made.node = node_id{node};
    made.id = device_id{node + "/hybrid4"};
    made.type = resource_type::hybrid;
    made.model = "pair";
    made.capability.max_sequences = static_cast<std::uint32_t>(1 + draw_(4));
    made.capability.runtime.resume = resume_support::tokens;
    made.capability.formats = {"gguf"};
    const auto next = std::find(node_names.begin(), node_names.end(), node) + 1;
    const auto& other = next == node_names.end() ? node_names.front() : *next;
    made.stages = {device_id{node + "/cpu0"}, device_id{other + "/cpu0"}, 1 + draw_(1'000'000),
                   static_cast<duration_us>(draw_(second_us))};
    if (draw_(8) == 0)
      made.stages.decode = device_id{other + "/hybrid4"};
    return made;
  }

  model_spec model(std::uint64_t which) {
    model_spec made;
    made.name = model_name{model_names[which]};
    model_variant variant;
    variant.format = "gguf";
    variant.content = consort::digest{"weights-" + model_names[which]};
    variant.weight_bytes = which == 1 ? 700 : 200;
    variant.context_tokens = 512;
    made.variants = {variant};
    made.devices_per_instance = which == 2 ? 2 : 1;
    made.replicas_min = static_cast<std::uint32_t>(draw_(2));
    made.replicas_max = static_cast<std::uint32_t>(draw_(4));
    made.idle_ttl_us = draw_(2) == 0 ? 0 : static_cast<duration_us>(draw_(20)) * second_us;
    return made;
  }

  draw_source draw_;
};

} // namespace consort::core::testing
