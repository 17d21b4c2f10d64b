// SPDX-License-Identifier: Apache-2.0
// A model that is declared anew, or an engine that is newer than what runs: the former version
// serves until as much of the new one is ready, one replica for another. Declared as before, it is
// back at once. An engine is replaced only where the device's plugin names its key no more, or
// where its node holds another of the same key: never because another became obtainable for a
// while. An engine of a newer compiler is built for that by itself, beside the one that serves.
#include "scheduler/adoption.hpp"
#include "scheduler/modules.hpp"
#include "scheduler/provenance.hpp"
#include "scheduler/weights.hpp"

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
  std::uint32_t ready = 0;         ///< Of the present version: of the engine that replaces others.
  std::uint32_t coming_or_not = 0; ///< The same in any state.
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
    if (one.superseded) {
      seen.old.push_back(at);
    } else if (model.rollout_engine == none || one.artifact == model.rollout_engine) {
      ++seen.coming_or_not;
      seen.ready += one.state == instance_state::ready ? 1 : 0;
    }
  }
  return seen;
}

/// Whether what would be loaded there is what replaces the former version.
bool replaces(const model_state& model, const option& by) {
  return by.removed_by == filter_id::passed
         && (model.rollout_engine == none || by.artifact == model.rollout_engine);
}

/// Starts one more of the present version where there is room for it beside the former one.
/// Returns: whether nobody need make room: a load or build is under way, or what is to be loaded is
/// on its way. With `made_room`, one made room already and none came of it: a place where it failed
/// counts too, for a version that does not load must not take one replica after another with it.
bool load_one(pass& p, index at, bool made_room) {
  auto& s = p.s;
  const auto options = s.models[at].options;
  bool room = false;
  for (const auto& by : options) {
    if (!replaces(s.models[at], by) || instance_on(s, at, by.device) != none
        || ranks_for(s, s.models[at], by).empty())
      continue;
    if (advance_option(p, at, by))
      return true;
    const auto& pair = s.pairs[pair_of(s, at, by.device)];
    room = room || made_room || (pair.load_retry_at <= p.now && pair.fuse.admits());
  }
  return room;
}

/// Whether what would be loaded is on the device's node; else it is built or brought there first.
bool at_hand(pass& p, index at, const option& by) {
  const auto node = p.s.devices[by.device].node;
  const auto adapters = p.s.models[at].spec.variants[by.variant].adapters;
  bool here = true, under_way = false;
  for (const auto& one : adapters)
    if (weights_elsewhere(one.source))
      here = weights_there(p, weights_of(one), at, node, under_way) && here;
  if (by.artifact == none)
    return here;
  if (p.s.artifacts[by.artifact].copies.empty())
    ensure_built(p, by.artifact, at, node);
  else if (!held_by(p.s.artifacts[by.artifact], node))
    ensure_fetched(p, by.artifact, node);
  else
    return here;
  return false;
}

/// A replica of the former version whose device could run the present one had it the room.
index in_the_way(pass& p, index at, const std::vector<index>& old) {
  auto& s = p.s;
  const auto options = s.models[at].options;
  for (const auto each : old)
    for (const auto& by : options)
      if (by.device == s.instances[each].devices.front() && replaces(s.models[at], by)
          && takes_work(s, by.device) && !may_be_told_of(s, by.device)
          && stages_ready(s, s.models[at], by.device) && ranks_for(s, s.models[at], by).empty()
          && at_hand(p, at, by))
        return each;
  return none;
}

bool runs_engine(const core_state& s, const instance_row& one) {
  return one.artifact == none ? one.content != one.weights
                              : !is_weights(s.artifacts[one.artifact].key.profile);
}

/// Whether the device still names the key of what the instance runs.
bool names_engine(const core_state& s, index device, const instance_row& one) {
  const auto& variant = s.models[one.model].spec.variants[one.variant];
  for (const auto& by : s.devices[device].spec.capability.build_profiles)
    if (engine_key(variant, by) == s.artifacts[one.artifact].key)
      return true;
  return false;
}

/// Whether its node's operator said that what the instance runs is to stay.
bool held_there(const core_state& s, const instance_row& one) {
  if (one.artifact == none)
    return false;
  const auto& copies = s.artifacts[one.artifact].copies;
  return std::any_of(copies.begin(), copies.end(), [&](const artifact_copy& copy) {
    return copy.node == node_of(s, one) && copy.record.held && copy.record.content == one.content;
  });
}

/// Whether it stands in for the engine that is named, and its node's operator did not say that it
/// is to serve: then it replaces nothing but what was of its own key.
bool only_stands_in(const core_state& s, const instance_row& one, const option& by) {
  const auto& copies = s.artifacts[by.artifact].copies;
  return by.artifact != by.named && by.artifact != one.artifact
         && std::none_of(copies.begin(), copies.end(), [&](const artifact_copy& copy) {
              return copy.node == s.devices[by.device].node && copy.record.held;
            });
}

/// Whether the instance runs another engine than the option of its device names.
bool outdated_engine(const core_state& s, const instance_row& one, const option& by) {
  if (only_stands_in(s, one, by) || (held_there(s, one) && !s.artifacts[by.named].ordered))
    return false;
  const auto& copies = s.artifacts[by.artifact].copies;
  const auto node = s.devices[by.device].node;
  const bool here = held_by(s.artifacts[by.artifact], node);
  // Without a copy here nothing says that what runs is not the very one.
  if (!here && (one.artifact == none || one.artifact == by.artifact))
    return false;
  if (one.artifact != none && one.artifact != by.artifact && names_engine(s, by.device, one))
    return false;
  // Two compilers may make the same of it.
  return std::none_of(copies.begin(), copies.end(), [&](const artifact_copy& copy) {
    return (!here || copy.node == node) && copy.record.content == one.content;
  });
}

/// The ready replica led from the option's device that runs an engine where the option names one.
index engine_on(const core_state& s, index at, const option& by) {
  if (by.removed_by != filter_id::passed || by.artifact == none
      || is_weights(s.artifacts[by.artifact].key.profile))
    return none;
  const auto each = instance_on(s, at, by.device);
  if (each == none)
    return none;
  const auto& one = s.instances[each];
  const bool alike = one.state == instance_state::ready && one.devices.front() == by.device
                     && one.variant == by.variant && runs_engine(s, one);
  return alike ? each : none;
}

/// The same that is to be replaced by what the option names; none.
index outdated_on(const core_state& s, index at, const option& by) {
  const auto each = engine_on(s, at, by);
  const bool outdated = each != none && !s.artifacts[by.artifact].copies.empty()
                        && outdated_engine(s, s.instances[each], by);
  return outdated ? each : none;
}

/// In words: what comes in the place of what runs.
std::string words_of(const core_state& s, const artifact_entry& entry) {
  const auto named
      = [](const build_profile& by) { return by.compiler + " " + by.compiler_version; };
  for (const auto& copy : entry.copies) {
    if (copy.record.own.empty())
      continue;
    const auto& by = maker_of(s, entry, copy.record.content);
    return (by == entry.key.profile ? "goes back to an earlier engine by "
                                    : "goes back to the engine by ")
           + named(by);
  }
  return "another engine by " + named(entry.key.profile) + " is there";
}

/// Whether what the option names is to be built beside what serves on its device: its compiler is
/// another version of the one that built this.
bool newer_wanted(const core_state& s, index at, const option& by) {
  const auto each = engine_on(s, at, by);
  if (each == none || !takes_work(s, by.device))
    return false;
  const auto& one = s.instances[each];
  const auto& entry = s.artifacts[by.named];
  return one.artifact != none && one.artifact != by.named && entry.copies.empty() && !entry.building
         && entry.failures < limits::newer_builds_max
         && other_version(s.artifacts[one.artifact].key, entry.key)
         && !names_engine(s, by.device, one) && !held_there(s, one);
}

/// What takes an hour of a machine that serves is not done for every model at once.
bool target_busy(const core_state& s, const build_profile& by) {
  return std::any_of(s.compiles.begin(), s.compiles.end(), [&](const auto& one) {
    const auto& other = s.artifacts[one.second.artifact].key.profile;
    return other.target == by.target && other.compiler == by.compiler;
  });
}

/// The device does not name the engine that was to replace others, or not any more: what runs there
/// is as good as before, and what serves nobody yet need not come up.
void take_back_on(pass& p, index at, index device) {
  auto& s = p.s;
  const auto there = s.devices[device].instances;
  for (const auto each : there) {
    const auto& one = s.instances[each];
    if (one.model == at && active(one) && !one.superseded && one.state != instance_state::ready
        && one.artifact == s.models[at].rollout_engine)
      retire(p, each, "its device names another engine now");
  }
  for (const auto each : there) {
    auto& one = s.instances[each];
    if (!s.instances.holds(each) || one.model != at || !active(one) || !one.superseded
        || one.devices.front() != device)
      continue;
    one.superseded = false;
    changed(s);
  }
}

void take_back(pass& p, index at) {
  auto& s = p.s;
  auto& model = s.models[at];
  const bool gone = s.artifacts[model.rollout_engine].copies.empty();
  for (const auto& by : model.options)
    if (gone || !replaces(model, by))
      take_back_on(p, at, by.device);
  if (!replicas_of(s, model).old.empty())
    return;
  model.rollout_engine = none;
  model.rollout_wanted = 0;
}

} // namespace

void supersede(pass& p, index at) {
  auto& s = p.s;
  auto& model = s.models[at];
  model.rollout_wanted = 0;
  model.rollout_engine = none;
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

void supersede_engines(pass& p, index at) {
  auto& s = p.s;
  auto& model = s.models[at];
  if (model.rollout_wanted > 0 && model.rollout_engine == none)
    return; // One after the other.
  if (model.rollout_engine != none)
    take_back(p, at);
  bool any = false;
  for (const auto& by : model.options) {
    const auto each = outdated_on(s, at, by);
    if (each == none || (model.rollout_engine != none && by.artifact != model.rollout_engine))
      continue;
    model.rollout_engine = by.artifact;
    s.instances[each].superseded = true;
    any = true;
  }
  if (!any)
    return;
  const auto seen = replicas_of(s, model);
  const auto old = static_cast<std::uint32_t>(seen.old.size());
  model.rollout_wanted = std::max(model.rollout_wanted, old + seen.ready);
  p.tell(note::severity::info, model.spec.name.value,
         words_of(s, s.artifacts[model.rollout_engine]) + ": " + std::to_string(old)
             + " replica(s) serve on until it is loaded");
  changed(s);
}

void build_newer_engines(pass& p, index at) {
  auto& s = p.s;
  // What a build changes may make the options anew.
  for (std::size_t each = 0; each < s.models[at].options.size(); ++each) {
    const auto by = s.models[at].options[each];
    if (newer_wanted(s, at, by) && !target_busy(s, s.artifacts[by.named].key.profile))
      ensure_built(p, by.named, at, s.devices[by.device].node);
  }
}

void roll_out(pass& p, index at) {
  auto& s = p.s;
  auto& model = s.models[at];
  if (model.rollout_wanted == 0)
    return;
  auto seen = replicas_of(s, model);
  const auto* const why = model.rollout_engine == none
                              ? "replaced by the version that was declared since"
                              : "replaced by the engine that is current now";
  while (!seen.old.empty() && seen.ready > 0
         && seen.old.size() + seen.ready > model.rollout_wanted) {
    retire(p, seen.old.front(), why);
    seen.old.erase(seen.old.begin());
  }
  if (seen.old.empty()) {
    model.rollout_wanted = 0;
    model.rollout_engine = none;
    return;
  }
  const bool made_room = seen.ready == 0 && seen.old.size() < model.rollout_wanted;
  if (seen.coming_or_not > seen.ready || load_one(p, at, made_room) || seen.leaving)
    return;
  // No device has room for both: one makes room. The last one too, for it would never end else.
  if (const auto first = in_the_way(p, at, seen.old); first != none)
    retire(p, first, why);
}

} // namespace consort::core
