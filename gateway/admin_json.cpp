// SPDX-License-Identifier: Apache-2.0
// The vocabulary (resources, models) as JSON; what the core shows of itself is in
// admin_json_views.cpp.
#include "gateway/admin_json.hpp"

#include "scheduler/asks.hpp"

#include <array>
#include <cstdio>

namespace consort::gateway {

namespace {

template <class Enum, std::size_t Count>
std::string_view pick(Enum value, const std::array<std::string_view, Count>& words) {
  const auto index = static_cast<std::size_t>(value);
  return index < words.size() ? words[index] : "unknown";
}

json strings(const std::vector<std::string>& list) {
  return json(list);
}

template <class Value>
json optional(const std::optional<Value>& value) {
  return value ? json(*value) : json(nullptr);
}

json to_json_list(const std::vector<runnable_build>& profiles) {
  auto out = json::array();
  for (const auto& one : profiles) {
    out.push_back(to_json(one.profile));
    out.back()["reads"] = strings(one.reads);
    out.back()["binds"] = word_of(one.binds);
    out.back()["adapters"] = one.adapters;
    out.back()["runs_older"] = word_of(one.older);
    out.back()["memory_share_pm"] = one.memory_share_pm;
  }
  return out;
}

json to_json_list(const std::vector<memory_rule>& rules) {
  auto out = json::array();
  for (const auto& one : rules)
    out.push_back({{"formats", strings(one.formats)}, {"share_pm", one.share_pm}});
  return out;
}

} // namespace

std::string to_hex(std::uint64_t number) {
  std::array<char, 17> text{};
  std::snprintf(text.data(), text.size(), "%016llx", static_cast<unsigned long long>(number));
  return text.data();
}

std::string to_string(const request_id& id) {
  return to_hex(id.gateway.value) + "-" + std::to_string(id.sequence);
}

std::string_view word_of(resource_type type) {
  return pick(type,
              std::array<std::string_view, 6>{"gpu", "npu", "pim", "cpu", "remote", "hybrid"});
}
std::string_view word_of(device_health health) {
  return pick(health, std::array<std::string_view, 3>{"healthy", "degraded", "unhealthy"});
}
std::string_view word_of(figure_source source) {
  return pick(source, std::array<std::string_view, 3>{"declared", "measured", "engine"});
}
std::string_view word_of(resume_support support) {
  return pick(support, std::array<std::string_view, 3>{"none", "text", "tokens"});
}
std::string_view word_of(artifact_kind kind) {
  return pick(kind,
              std::array<std::string_view, 3>{"engine_weights", "engine_architecture", "cache"});
}
std::string_view word_of(older_engines rule) {
  return pick(rule, std::array<std::string_view, 4>{"none", "minor", "major", "any"});
}
std::string_view word_of(artifact_state state) {
  return pick(state, std::array<std::string_view, 4>{"absent", "building", "ready", "failed"});
}
std::string_view word_of(request_outcome outcome) {
  return pick(outcome, std::array<std::string_view, 5>{"finished", "failed", "cancelled",
                                                       "rejected", "expired"});
}
std::string_view word_of(core::note::severity level) {
  return pick(level, std::array<std::string_view, 3>{"info", "warning", "error"});
}

json to_json(const build_profile& profile) {
  return {{"name", profile.name},
          {"target", profile.target},
          {"compiler", profile.compiler},
          {"compiler_version", profile.compiler_version},
          {"flags", profile.flags},
          {"degree", profile.degree},
          {"dtype", profile.dtype},
          {"shape_buckets", profile.shape_buckets},
          {"needs_device", profile.needs_device}};
}

json refused_words(std::uint32_t bits) {
  auto words = json::array();
  for (const auto& one : asks::all)
    if ((bits & one.bit) != 0 && !one.word.empty())
      words.push_back(one.word);
  return words;
}

json to_json(const runtime_capabilities& runtime) {
  return {{"resume", word_of(runtime.resume)},
          {"cancel", runtime.cancel},
          {"priority", runtime.priority},
          {"preempt", runtime.preempt},
          {"tokenize", runtime.tokenize},
          {"streaming", runtime.streaming},
          {"adapters", runtime.adapters},
          {"embeddings", runtime.embeddings},
          {"structured_output", runtime.structured_output},
          {"refuses", refused_words(runtime.refuses)}};
}

json prices_json(const price_list& prices) {
  auto out = json::object();
  for (const auto& [model, price] : prices)
    out[model] = {{"prompt_micros_per_mtok", price.prompt_micros_per_mtok},
                  {"cached_micros_per_mtok", price.cached_micros_per_mtok},
                  {"completion_micros_per_mtok", price.completion_micros_per_mtok}};
  return out;
}

json to_json(const device_capability& capability) {
  return {{"max_sequences", capability.max_sequences},
          {"devices_max", capability.devices_max},
          {"nodes_max", capability.nodes_max},
          {"max_context_tokens", capability.max_context_tokens},
          {"dtypes", strings(capability.dtypes)},
          {"formats", strings(capability.formats)},
          {"build_profiles", to_json_list(capability.build_profiles)},
          {"optimized_for", strings(capability.optimized_for)},
          {"load_limit_us", capability.load_limit_us},
          {"adapter_formats", strings(capability.adapter_formats)},
          {"adapters_max", capability.adapters_max},
          {"caches", to_json_list(capability.caches)},
          {"prices", prices_json(capability.prices)},
          {"memory_rules", to_json_list(capability.memory_rules)},
          {"runtime", to_json(capability.runtime)}};
}

json to_json(const speed_spec& spec) {
  return {{"prefill_tokens_per_s", spec.prefill_tokens_per_s},
          {"decode_tokens_per_s", spec.decode_tokens_per_s},
          {"decode_batch_gain_pm", spec.decode_batch_gain_pm},
          {"load_us", spec.load_us},
          {"tdp_mw", spec.tdp_mw},
          {"idle_mw", spec.idle_mw},
          {"cost_micros_per_hour", spec.cost_micros_per_hour}};
}

json stages_json(const stage_plan& plan) {
  if (plan.empty())
    return nullptr;
  return {{"prefill", plan.prefill.value},
          {"decode", plan.decode.value},
          {"transfer_bytes_per_s", plan.transfer_bytes_per_s},
          {"transfer_us", plan.transfer_us}};
}

json to_json(const device_spec& spec) {
  return {{"id", spec.id.value},
          {"node", spec.node.value},
          {"type", word_of(spec.type)},
          {"vendor", spec.vendor},
          {"model", spec.model},
          {"plugin", spec.plugin},
          {"uuid", spec.uuid},
          {"simulated", spec.simulated},
          {"parent", spec.parent.value},
          {"exclusive_siblings", names_json(spec.exclusive_siblings)},
          {"topology_group", spec.topology_group},
          {"memory_bytes", spec.memory_bytes},
          {"capability", to_json(spec.capability)},
          {"spec", to_json(spec.spec)},
          {"tags", strings(spec.tags)},
          {"attributes", spec.attributes},
          {"stages", stages_json(spec.stages)}};
}

json to_json(const engine_counters& engine) {
  return {{"tokens", engine.tokens},
          {"steps", engine.steps},
          {"cancelled", engine.cancelled},
          {"sequences_running", engine.sequences_running},
          {"stages_missed", engine.stages_missed}};
}

json to_json(const device_reading& reading) {
  return {{"memory_used_bytes", optional(reading.memory_used_bytes)},
          {"utilization_pm", optional(reading.utilization_pm)},
          {"power_mw", optional(reading.power_mw)},
          {"energy_mj", optional(reading.energy_mj)},
          {"charged_mj", optional(reading.charged_mj)},
          {"idle_mj", optional(reading.idle_mj)},
          {"temperature_mc", optional(reading.temperature_mc)},
          {"health", word_of(reading.health)},
          {"health_reason", reading.health_reason},
          {"engine", reading.engine ? to_json(*reading.engine) : json(nullptr)},
          {"cost_micros", optional(reading.cost_micros)}};
}

json to_json(const model_variant& variant) {
  auto adapters = json::array();
  for (const auto& one : variant.adapters)
    adapters.push_back({{"name", one.name.value},
                        {"source", one.source},
                        {"content", one.content.value},
                        {"rank", one.rank}});
  return {{"adapters", std::move(adapters)},
          {"format", variant.format},
          {"source", variant.source},
          {"content", variant.content.value},
          {"shape", variant.shape},
          {"quantization", variant.quantization},
          {"equivalence", variant.equivalence},
          {"tokenizer", variant.tokenizer.value},
          {"chat_template", variant.chat_template.value},
          {"weight_bytes", variant.weight_bytes},
          {"kv_bytes_per_token", variant.kv_bytes_per_token},
          {"context_tokens", variant.context_tokens},
          {"token_bytes_max", variant.token_bytes_max}};
}

json to_json(const model_spec& spec) {
  auto variants = json::array();
  for (const auto& variant : spec.variants)
    variants.push_back(to_json(variant));
  json out{{"name", spec.name.value},
           {"aliases", names_json(spec.aliases)},
           {"variants", std::move(variants)},
           {"replicas_min", spec.replicas_min},
           {"replicas_max", spec.replicas_max},
           {"idle_ttl_us", spec.idle_ttl_us},
           {"devices_per_instance", spec.devices_per_instance}};
  if (!spec.policy.empty())
    out["policy"] = spec.policy.value;
  return out;
}

json to_json(const artifact_key& key) {
  return {{"kind", word_of(key.kind)}, {"binds", key.binds}, {"profile", to_json(key.profile)}};
}

json to_json(const token_usage& usage) {
  return {{"prompt_tokens", usage.prompt_tokens},
          {"completion_tokens", usage.completion_tokens},
          {"cached_tokens", usage.cached_tokens}};
}

} // namespace consort::gateway
