// SPDX-License-Identifier: Apache-2.0
#include "scheduler/compile_plan.hpp"

#include "scheduler/alike.hpp"
#include "scheduler/formats.hpp"
#include "scheduler/nearest_name.hpp"
#include "scheduler/selector.hpp"
#include "scheduler/units.hpp"
#include "scheduler/weights.hpp"

#include <algorithm>
#include <map>

namespace consort::core {

namespace {

/// Of a digest, as tables show it.
constexpr std::size_t shown_digits = 12;

/// By its own name, an alias or an adapter, as requests name it.
const model_spec* find_model(const snapshot& seen, const model_name& name) {
  const auto has_adapter = [&](const model_variant& variant) {
    return std::any_of(variant.adapters.begin(), variant.adapters.end(),
                       [&](const model_adapter& one) { return one.name == name; });
  };
  for (const auto& model : seen.models) {
    const auto& spec = model.spec;
    const auto& aliases = spec.aliases;
    if (spec.name == name || std::find(aliases.begin(), aliases.end(), name) != aliases.end()
        || std::any_of(spec.variants.begin(), spec.variants.end(), has_adapter))
      return &spec;
  }
  return nullptr;
}

error unknown_model(const snapshot& seen, const model_name& name) {
  std::vector<std::string> known;
  for (const auto& model : seen.models) {
    known.push_back(model.spec.name.value);
    for (const auto& alias : model.spec.aliases)
      known.push_back(alias.value);
  }
  return {recovery::refuse, "model_unknown",
          "no model `" + name.value + "`" + did_you_mean(name.value, known)};
}

/// Who would build: the device's own node, else the first that can.
node_id builder_of(const snapshot& seen, const build_profile& profile, const node_id& near) {
  node_id found;
  for (const auto& node : seen.nodes) {
    const auto& tools = node.toolchains;
    if (!node.alive || node.draining || node.cordoned
        || std::find(tools.begin(), tools.end(), profile) == tools.end())
      continue;
    if (node.node == near)
      return near;
    if (found.empty())
      found = node.node;
  }
  return found;
}

std::string short_digest(const digest& content) {
  return content.value.substr(0, shown_digits);
}

/// What the device would load of an engine that is there. Where a node went back to another one,
/// by whom that was built; which of several nodes did is not told.
std::string ready_words(const snapshot& seen, const artifact_view& known) {
  if (known.own.empty() || known.own == known.content)
    return short_digest(known.content);
  auto words = "gone back to " + short_digest(known.content);
  for (const auto& other : seen.artifacts)
    if (other.own == known.content && other_version(known.key, other.key)) {
      const auto& by = other.key.profile;
      words += ", which " + by.compiler + " " + by.compiler_version + " built";
      break;
    }
  return known.nodes.size() > 1 ? short_digest(known.own) + ", or where its node has " + words
                                : words;
}

planned_build from_view(const snapshot& seen, planned_build plan, const artifact_view& known) {
  if (!known.nodes.empty())
    plan.where = known.nodes.front();
  switch (known.state) {
  case artifact_state::ready:
    plan.state = "ready";
    plan.detail = ready_words(seen, known);
    break;
  case artifact_state::building:
    plan.state = "building";
    plan.detail = known.eta_us ? format_duration(*known.eta_us) + " left" : "";
    break;
  case artifact_state::failed:
    plan.state = "failed";
    plan.detail = known.last_error;
    break;
  case artifact_state::absent: break;
  }
  return plan;
}

/// Who builds what is to be built: the first device that asks for it decides.
using builders = std::map<artifact_key, node_id>;

/// `build`, where nobody has it, or weights, whose build is their fetch.
planned_build plan_of(const snapshot& seen, const artifact_key& key, const device_spec& device,
                      builders& chosen) {
  const auto& profile = key.profile;
  const bool weights = is_weights(profile);
  const auto builder = chosen.emplace(key, builder_of(seen, profile, device.node)).first->second;
  planned_build plan{device.id, weights ? "fetch" : "build", profile, builder, {}};
  for (const auto& known : seen.artifacts) {
    if (known.key != key)
      continue;
    if (known.state != artifact_state::absent)
      return from_view(seen, std::move(plan), known);
    plan.detail = known.last_error;
  }
  if (plan.where.empty()) {
    plan.state = "no-compiler";
    plan.detail = weights ? "no node fetches weights"
                          : "no node has " + profile.compiler + " " + profile.compiler_version;
  }
  return plan;
}

std::string no_format_words(const model_spec& model, const device_spec& device) {
  for (auto words : {unread_words(model, device.capability), unfit_words(model, device)})
    if (!words.empty())
      return words;
  return "it runs no format of this model";
}

bool can_be_had(const planned_build& plan) {
  return plan.state != "no-compiler" && plan.state != "failed";
}

/// What the scheduler would choose for the device (options.cpp): weights as they are before
/// engines, what can be had before what cannot.
planned_build plan_device(const snapshot& seen, const model_spec& model, const device_spec& device,
                          builders& chosen) {
  const auto& can = device.capability;
  planned_build best{device.id, "no-compiler", {}, {}, no_format_words(model, device)};
  const auto first_of_all = [&](planned_build plan) {
    if (best.profile == build_profile{})
      best = std::move(plan);
  };
  for (const auto& variant : model.variants) {
    if (!runs_format(can.formats, variant.format))
      continue;
    if (!weights_elsewhere(variant.source))
      return {device.id, "as-is", {}, {}, "runs " + variant.format + ", nothing is built"};
    auto plan = plan_of(seen, weights_key(variant), device, chosen);
    if (can_be_had(plan))
      return plan;
    first_of_all(std::move(plan));
  }
  for (const auto& variant : model.variants)
    for (const auto& by : can.build_profiles) {
      if (by.profile.degree != model.devices_per_instance)
        continue;
      auto plan = plan_of(seen, engine_key(variant, by), device, chosen);
      if (!by.reads.empty() && plan.state != "ready" && !runs_format(by.reads, variant.format)) {
        plan.state = "no-compiler";
        plan.where = {};
        plan.detail = unread_words(model, device.capability);
      }
      if (can_be_had(plan))
        return plan;
      first_of_all(std::move(plan));
    }
  return best;
}

} // namespace

result<std::vector<planned_build>> plan_compile(const snapshot& seen, const model_name& model,
                                                const std::string& devices) {
  const auto wanted = selector::parse(devices, seen.pools);
  if (!wanted)
    return wanted.failure();
  const auto* spec = find_model(seen, model);
  if (spec == nullptr)
    return unknown_model(seen, model);
  std::vector<planned_build> plans;
  std::vector<std::string> lost;
  builders chosen;
  for (const auto& device : seen.devices)
    if (wanted->matches(device.spec)) {
      if (device.alive)
        plans.push_back(plan_device(seen, *spec, device.spec, chosen));
      else
        lost.push_back(device.spec.id.value);
    }
  if (plans.empty())
    return error{recovery::refuse, "nothing_selected",
                 lost.empty() ? "no device matches `" + devices + "`"
                              : "only lost devices match `" + devices + "`: " + named_few(lost)
                                    + "; ask again when they are back"};
  return plans;
}

} // namespace consort::core
