// SPDX-License-Identifier: Apache-2.0
// A model that is declared anew: what runs the former version serves until as much of the new one
// is ready, one replica for another. Declared as before, it is back at once.
#include "scheduler/modules.hpp"

#include <algorithm>

namespace consort::core {

namespace {

/// The variant that the instance serves, as the model has it now; none when it has it no more.
index variant_of(const model_spec& spec, const instance_row& one) {
  for (index at = 0; at < spec.variants.size(); ++at) {
    const auto& variant = spec.variants[at];
    if (!one.weights.empty() && variant.content == one.weights && variant.adapters == one.adapters
        && variant.context_tokens == one.context_tokens)
      return at;
  }
  return none;
}

struct replicas {
  std::vector<index> old;          ///< Of the former version, in order of id.
  std::uint32_t ready = 0;         ///< Of the present version.
  std::uint32_t coming_or_not = 0; ///< Of the present version, in any state.
  bool leaving = false;            ///< One of the former version makes room just now.
};

replicas replicas_of(const core_state& s, const model_state& model) {
  replicas seen;
  for (const auto at : model.instances) {
    const auto& one = s.instances[at];
    if (!active(one)) {
      seen.leaving = seen.leaving || one.superseded;
      continue;
    }
    if (one.superseded)
      seen.old.push_back(at);
    else
      ++seen.coming_or_not;
    seen.ready += !one.superseded && one.state == instance_state::ready ? 1 : 0;
  }
  return seen;
}

/// Starts one more of the present version where there is room for it beside the former one.
/// Returns: whether a load or build is under way.
bool load_one(pass& p, index at) {
  const auto options = p.s.models[at].options;
  for (const auto& by : options)
    if (by.removed_by == filter_id::passed && instance_on(p.s, at, by.device) == none
        && !ranks_for(p.s, p.s.models[at], by).empty() && advance_option(p, at, by))
      return true;
  return false;
}

/// A replica of the former version whose device could run the present one had it the room.
index in_the_way(const core_state& s, const model_state& model, const std::vector<index>& old) {
  for (const auto each : old) {
    const auto device = s.instances[each].devices.front();
    for (const auto& by : model.options)
      if (by.device == device && by.removed_by == filter_id::passed && takes_work(s, device)
          && ranks_for(s, model, by).empty())
        return each;
  }
  return none;
}

} // namespace

void supersede(pass& p, index at) {
  auto& s = p.s;
  auto& model = s.models[at];
  model.rollout_wanted = 0;
  const auto instances = model.instances;
  for (const auto each : instances) {
    auto& one = s.instances[each];
    const auto variant = variant_of(model.spec, one);
    one.superseded = variant == none;
    if (variant != none) {
      one.variant = variant;
      continue;
    }
    if (!active(one))
      continue;
    // What serves nobody yet need not come up at all.
    if (one.state != instance_state::ready)
      retire(p, each, "the model was declared anew");
    else
      ++model.rollout_wanted;
  }
  if (model.rollout_wanted > 0)
    p.tell(note::severity::info, model.spec.name.value,
           "declared anew: " + std::to_string(model.rollout_wanted)
               + " replica(s) serve on until the new version is ready");
}

void roll_out(pass& p, index at) {
  auto& s = p.s;
  auto& model = s.models[at];
  if (model.rollout_wanted == 0)
    return;
  auto seen = replicas_of(s, model);
  const auto* const why = "replaced by the version that was declared since";
  while (!seen.old.empty() && seen.ready > 0
         && seen.old.size() + seen.ready > model.rollout_wanted) {
    retire(p, seen.old.front(), why);
    seen.old.erase(seen.old.begin());
  }
  if (seen.old.empty()) {
    model.rollout_wanted = 0;
    return;
  }
  if (seen.coming_or_not > seen.ready || load_one(p, at) || seen.leaving)
    return;
  // No device has room for both: one makes room. The last one too, for it would never end else.
  if (const auto first = in_the_way(s, model, seen.old); first != none)
    retire(p, first, why);
}

} // namespace consort::core
