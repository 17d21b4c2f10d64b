// SPDX-License-Identifier: Apache-2.0
#include "scheduler/unwanted_builds.hpp"

#include "scheduler/weights.hpp"

#include <vector>

namespace consort::core {

namespace {

std::optional<model_variant> source_in(const model_spec& spec, const artifact_key& key) {
  const bool shaped = key.kind == artifact_kind::engine_architecture;
  for (const auto& variant : spec.variants)
    if (key.binds == (shaped ? architecture_of(variant) : binds_of(variant)))
      return variant;
  if (is_weights(key.profile))
    for (const auto& variant : spec.variants)
      for (const auto& adapter : variant.adapters)
        if (weights_elsewhere(adapter.source) && key.binds == adapter.content.value)
          return weights_of(adapter);
  return std::nullopt;
}

/// Another model that could use it; none when there is none.
index heir_of(const core_state& s, const artifact_key& key) {
  for (index at = 0; at < s.models.end(); ++at)
    if (s.models.holds(at) && !s.models[at].removed && source_in(s.models[at].spec, key))
      return at;
  return none;
}

} // namespace

std::optional<model_variant> source_of(const core_state& s, const artifact_entry& entry) {
  return entry.model == none ? std::nullopt : source_in(s.models[entry.model].spec, entry.key);
}

compile_entry close_compile(pass& p, compile_id id) {
  const auto found = p.s.compiles.find(id);
  auto build = found->second;
  p.s.compiles.erase(found);
  p.s.artifacts[build.artifact].building = {};
  --p.s.nodes[build.node].compiles;
  release(p, build.grant);
  changed_statically(p.s);
  return build;
}

void end_build(pass& p, compile_id id, const std::string& why) {
  const auto build = close_compile(p, id);
  if (build.started && believed(p.s, build.node, build.life))
    p.send(cancel_compile{p.s.nodes[build.node].id, id});
  const auto& key = p.s.artifacts[build.artifact].key;
  p.tell(note::severity::info, key.profile.name + ":" + key.binds.substr(0, 12),
         (is_weights(key.profile) ? "the fetch on " : "the build on ")
             + p.s.nodes[build.node].id.value + " is not needed any more: " + why);
}

void end_builds_for(pass& p, index model) {
  std::vector<compile_id> over;
  for (const auto& [id, build] : p.s.compiles) {
    auto& entry = p.s.artifacts[build.artifact];
    if (entry.model != model)
      continue;
    entry.model = heir_of(p.s, entry.key);
    if (entry.model == none)
      over.push_back(id);
  }
  for (const auto id : over) {
    auto& entry = p.s.artifacts[p.s.compiles.at(id).artifact];
    entry.model = model;
    entry.ordered = false;
    end_build(p, id, p.s.models[model].spec.name.value + " was removed");
  }
}

} // namespace consort::core
