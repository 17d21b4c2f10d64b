// SPDX-License-Identifier: Apache-2.0
// Served models: declared, replaced, removed.
#include "scheduler/formats.hpp"
#include "scheduler/handlers.hpp"
#include "scheduler/load_bars.hpp"
#include "scheduler/resting_weights.hpp"
#include "scheduler/unwanted_builds.hpp"

#include <algorithm>
#include <set>

namespace consort::core {

namespace {

bool name_taken(const core_state& s, const model_name& name, index by) {
  const auto owner = find(s.model_names, name.value);
  return owner != none && owner != by && !s.models[owner].removed;
}

index model_row(pass& p, const model_name& name) {
  const auto known = find(p.s.model_names, name.value);
  if (known != none && p.s.models[known].spec.name == name)
    return known;
  if (known != none && !p.s.models[known].removed)
    return none;
  if (p.s.models.live() >= limits::models_max)
    return none;
  return p.s.models.add();
}

bool has_adapter(const model_variant& variant, const model_name& name) {
  return std::any_of(variant.adapters.begin(), variant.adapters.end(),
                     [&](const model_adapter& one) { return one.name == name; });
}

/// Leaves what every variant has: whichever serves, a request gets the adapter that it named.
void settle_adapters(pass& p, index at) {
  auto& spec = p.s.models[at].spec;
  std::set<model_name> dropped;
  for (const auto& variant : spec.variants)
    for (const auto& one : variant.adapters) {
      const auto is_alias
          = std::find(spec.aliases.begin(), spec.aliases.end(), one.name) != spec.aliases.end();
      const bool everywhere
          = std::all_of(spec.variants.begin(), spec.variants.end(),
                        [&](const auto& other) { return has_adapter(other, one.name); });
      if (one.name.empty() || one.name == spec.name || is_alias || !everywhere
          || name_taken(p.s, one.name, at))
        dropped.insert(one.name);
    }
  for (auto& variant : spec.variants) {
    std::erase_if(variant.adapters, [&](const auto& one) { return dropped.contains(one.name); });
    std::sort(variant.adapters.begin(), variant.adapters.end(),
              [](const auto& one, const auto& other) { return one.name < other.name; });
    if (variant.adapters.size() > limits::adapters_max)
      variant.adapters.resize(limits::adapters_max);
  }
  for (const auto& name : dropped)
    p.tell(note::severity::warning, spec.name.value,
           "adapter '" + name.value
               + "' is left out: another model has its name, or not all variants have it");
}

void claim_names(pass& p, index at) {
  auto& names = p.s.model_names;
  for (auto name = names.begin(); name != names.end();)
    name = name->second == at ? names.erase(name) : std::next(name);
  auto& spec = p.s.models[at].spec;
  std::erase_if(spec.aliases, [&](const model_name& alias) {
    const bool taken = alias.empty() || name_taken(p.s, alias, at);
    if (taken)
      p.tell(note::severity::warning, spec.name.value,
             "alias '" + alias.value + "' belongs to another model: left out");
    return taken;
  });
  settle_adapters(p, at);
  names[spec.name.value] = at;
  for (const auto& alias : spec.aliases)
    names[alias.value] = at;
  if (!spec.variants.empty())
    for (const auto& adapter : spec.variants.front().adapters)
      names[adapter.name.value] = at;
}

/// Nobody can tell what a server has, or a compiler reads, but their plugin.
void warn_unlisted(const pass& p, const model_spec& spec) {
  const auto listed = server_format(spec);
  if (listed.empty() || p.s.devices.live() == 0)
    return;
  for (index device = 0; device < p.s.devices.end(); ++device)
    if (p.s.devices.holds(device) && knows_format(p.s.devices[device].spec.capability, listed))
      return;
  p.tell(note::severity::warning, spec.name.value,
         "no plugin lists it: put `" + listed
             + "` in `formats` of the one whose server has it, then `consort plugins reload`");
}

void retire_all(pass& p, index at, const std::string& why) {
  const auto instances = p.s.models[at].instances;
  for (const auto instance : instances)
    retire(p, instance, why);
}

} // namespace

void on(pass& p, const model_declared& e) {
  if (e.spec.name.empty())
    return;
  const auto at = model_row(p, e.spec.name);
  if (at == none)
    return p.tell(note::severity::error, e.spec.name.value,
                  "model not taken: its name is another's alias or adapter, or there are too many");
  auto& model = p.s.models[at];
  const bool known = !model.removed;
  const auto variants_before = model.spec.variants;
  const auto devices_before = model.spec.devices_per_instance;
  model.removed = false;
  model.spec = e.spec;
  model.options_version = 0;
  for (const auto& [device, pair] : model.pairs)
    forgive_loads(p.s.pairs[pair]);
  forgive_sources_of(p.s, at);
  model.spec.devices_per_instance
      = std::clamp(e.spec.devices_per_instance, 1U, limits::devices_per_instance_max);
  claim_names(p, at);
  warn_unlisted(p, model.spec);
  const bool changes = known && model.spec.variants != variants_before;
  if (changes && model.spec.devices_per_instance == devices_before)
    supersede(p, at);
  else if (changes)
    retire_all(p, at, "the model was declared anew");
  changed_statically(p.s);
}

void on(pass& p, const model_removed& e) {
  const auto at = find(p.s.model_names, e.name.value);
  if (at == none || p.s.models[at].removed)
    return;
  auto& model = p.s.models[at];
  if (model.spec.name != e.name)
    return p.tell(note::severity::warning, e.name.value,
                  "not removed: it is only an alias or adapter of '" + model.spec.name.value + "'");
  model.removed = true;
  std::vector<index> waiting;
  for (index slot = 0; slot < p.s.requests.end(); ++slot)
    if (p.s.requests.holds(slot) && p.s.requests[slot].model == at
        && (p.s.requests[slot].phase == request_phase::waiting
            || p.s.requests[slot].phase == request_phase::parked))
      waiting.push_back(slot);
  for (const auto slot : waiting) {
    ending how{request_outcome::rejected, 404, {}, {}, {}, {}, {}};
    how.reason = {recovery::refuse, "model_not_found",
                  "model '" + model.spec.name.value + "' was removed"};
    end_request(p, slot, how);
  }
  retire_all(p, at, "the model was removed");
  end_builds_for(p, at);
  // What failed with it says nothing about its devices any more.
  for (const auto& [device, pair] : model.pairs) {
    p.s.pairs[pair].fuse = {};
    p.s.pairs[pair].room = {};
    refresh_device(p.s, device);
  }
  changed_statically(p.s);
}

} // namespace consort::core
