// SPDX-License-Identifier: Apache-2.0
// Who could serve what: the static fit of every device to a model, and for those that wait the
// devices that could serve after a load or a compile.
#include "scheduler/formats.hpp"
#include "scheduler/load_bars.hpp"
#include "scheduler/modules.hpp"
#include "scheduler/policy_bars.hpp"
#include "scheduler/provenance.hpp"
#include "scheduler/spending.hpp"
#include "scheduler/versions.hpp"
#include "scheduler/weights.hpp"

#include <algorithm>

namespace consort::core {

namespace {

/// Weights, and a context of KV for each of the sequences, over all ranks.
std::uint64_t need_bytes(const model_variant& variant, std::uint64_t sequences,
                         std::uint32_t ranks) {
  constexpr auto most = std::uint64_t{1} << 60U;
  const auto kv = std::uint64_t{variant.kv_bytes_per_token} * variant.context_tokens;
  const auto all_kv = kv > most / sequences ? most : kv * sequences;
  return std::max<std::uint64_t>((std::min(variant.weight_bytes, most) + all_kv) / ranks, 1);
}

std::uint32_t memory_share_pm(const device_capability& device, const model_variant& variant) {
  for (const auto& rule : device.memory_rules)
    if (runs_format(rule.formats, variant.format))
      return rule.share_pm;
  return 0;
}

/// On a large cluster what is made of all devices is made anew only so often.
bool fresh_enough(const core_state& s, time_us made_at) {
  return s.now - made_at < pace_of(s);
}

/// The weights as they are, which have to come from elsewhere first or not. Returns: whether they
/// can be had.
bool take_weights(core_state& s, const model_variant& variant, index at, option& out) {
  out.variant = at;
  out.artifact = out.named = none;
  if (!weights_elsewhere(variant.source)) {
    out.removed_by = filter_id::passed;
    return true;
  }
  out.artifact = out.named = artifact_of(s, weights_key(variant));
  const bool can = out.artifact != none && obtainable(s, s.artifacts[out.artifact]);
  out.removed_by = can ? filter_id::passed : filter_id::artifact;
  return can;
}

/// Whether an artifact of it may be had by that way: its compiler reads the format, or somebody
/// made one already, however.
bool may_build(const core_state& s, const model_variant& variant, const runnable_build& by) {
  if (by.reads.empty() || runs_format(by.reads, variant.format))
    return true;
  const auto known = s.artifact_keys.find(engine_key(variant, by));
  return known != s.artifact_keys.end() && !s.artifacts[known->second].copies.empty();
}

/// Alike in what comes before the compiler's version in the order of keys.
bool same_compiler(const artifact_key& left, const artifact_key& right) {
  return left.kind == right.kind && left.binds == right.binds
         && left.profile.name == right.profile.name && left.profile.target == right.profile.target
         && left.profile.compiler == right.profile.compiler;
}

/// What runs on the node's device in place of the engine that it names, which nobody has yet: the
/// newest that an older version of the compiler built and that its runtime runs as well, by what
/// the plugin says or because this node's operator went back to it; one that the node has before
/// others. Also where another node has the named one, and this node's operator held what it has.
/// Returns: none when there is no such engine.
index stand_in(const core_state& s, const runnable_build& by, index named, index node) {
  const auto& entry = s.artifacts[named];
  if (held_by(entry, node))
    return none;
  const bool only_held = !entry.copies.empty();
  if (only_held && entry.ordered)
    return none;
  index best = none;
  auto from = entry.key;
  from.profile.compiler_version.clear();
  for (auto at = s.artifact_keys.lower_bound(from);
       at != s.artifact_keys.end() && same_compiler(at->first, from); ++at) {
    const auto& other = s.artifacts[at->second];
    const auto& built_by = at->first.profile.compiler_version;
    const auto& version = entry.key.profile.compiler_version;
    const bool by_hand = holds_held(other, node) && older_version(built_by, version);
    if (!other_version(at->first, entry.key) || other.copies.empty() || (only_held && !by_hand)
        || !(by_hand || runs_older(by.older, built_by, version)))
      continue;
    const auto better = [&](index than) {
      const auto& known = s.artifacts[than];
      if (held_by(other, node) != held_by(known, node))
        return held_by(other, node);
      return older_version(known.key.profile.compiler_version, at->first.profile.compiler_version);
    };
    if (best == none || better(best))
      best = at->second;
  }
  return best;
}

/// What has adapters runs only where they are loaded with it.
bool adapters_run(const model_variant& variant, const device_capability& device) {
  return variant.adapters.empty() || runs_format(device.adapter_formats, variant.format);
}
bool adapters_run(const model_variant& variant, const runnable_build& by) {
  return variant.adapters.empty() || by.adapters;
}

/// Whether those of its adapters that no node has by itself can be had.
bool adapters_obtainable(core_state& s, const model_variant& variant) {
  return std::all_of(variant.adapters.begin(), variant.adapters.end(), [&](const auto& one) {
    if (!weights_elsewhere(one.source))
      return true;
    const auto at = artifact_of(s, weights_key(weights_of(one)));
    return at != none && obtainable(s, s.artifacts[at]);
  });
}

/// Weights themselves before artifacts, then the model's order of variants, then the device's of
/// profiles; of artifacts one that can be had before one that cannot.
/// `older_too`: an older engine may stand in for one. What the device will not load is passed over.
void choose_variant(core_state& s, index model, const device_capability& device, bool older_too,
                    option& out) {
  const auto& spec = s.models[model].spec;
  const auto node = s.devices[out.device].node;
  const auto count = static_cast<index>(spec.variants.size());
  std::optional<option> barred;
  const auto will_not_load = [&](option tried) {
    if (!load_barred(s, model, tried))
      return false;
    tried.removed_by = filter_id::loads;
    barred = barred.value_or(tried);
    return true;
  };
  out.removed_by = filter_id::format;
  for (index at = 0; at < count; ++at) {
    const auto& variant = spec.variants[at];
    if (!runs_format(device.formats, variant.format))
      continue;
    out.memory_share_pm = memory_share_pm(device, variant);
    if (!adapters_run(variant, device))
      out.removed_by = filter_id::adapters;
    else if (take_weights(s, variant, at, out)) {
      if (!will_not_load(out))
        return;
      out.artifact = out.named = none;
      out.removed_by = filter_id::loads;
    }
  }
  for (index at = 0; at < count; ++at)
    for (const auto& by : device.build_profiles) {
      if (by.profile.degree != spec.devices_per_instance || !may_build(s, spec.variants[at], by))
        continue;
      if (!adapters_run(spec.variants[at], by)) {
        if (out.removed_by == filter_id::format)
          out.removed_by = filter_id::adapters;
        continue;
      }
      const auto named = artifact_of(s, engine_key(spec.variants[at], by));
      if (named == none)
        continue;
      auto tried = out;
      tried.variant = at;
      tried.named = named;
      auto instead = older_too ? stand_in(s, by, named, node) : none;
      tried.artifact = instead;
      if (instead != none && will_not_load(tried))
        instead = none;
      tried.artifact = named;
      const bool can
          = instead != none || (obtainable(s, s.artifacts[named]) && !will_not_load(tried));
      if (out.artifact == none || can) {
        out.variant = at;
        out.artifact = instead == none ? named : instead;
        out.named = named;
        out.memory_share_pm = by.memory_share_pm;
        out.removed_by = can ? filter_id::passed : filter_id::artifact;
      }
      if (can)
        return;
    }
  if (barred)
    out = *barred;
}

/// What the plugin says may be wrong: an older engine that does not load keeps no newer one from
/// being built.
bool older_loads(const core_state& s, index model, index device) {
  const auto& pairs = s.models[model].pairs;
  const auto pair = pairs.find(device);
  return pair == pairs.end() || s.pairs[pair->second].engine_failures < limits::older_loads_max;
}

option fit(core_state& s, index model, index device) {
  const auto& spec = s.models[model].spec;
  option one;
  one.device = device;
  const auto& known = s.devices[device].spec;
  choose_variant(s, model, known.capability, older_loads(s, model, device), one);
  if (one.removed_by != filter_id::passed)
    return one;
  if (spec.devices_per_instance > known.capability.devices_max) {
    one.removed_by = filter_id::ranks;
    return one;
  }
  const auto& variant = spec.variants[one.variant];
  if (!adapters_obtainable(s, variant)) {
    one.removed_by = filter_id::artifact;
    return one;
  }
  if (known.capability.adapters_max != 0
      && variant.adapters.size() > known.capability.adapters_max) {
    one.removed_by = filter_id::adapters;
    return one;
  }
  const auto sequences = std::max(known.capability.max_sequences, 1U);
  one.least_bytes = need_bytes(variant, 1, spec.devices_per_instance);
  one.need_bytes = need_bytes(variant, sequences, spec.devices_per_instance);
  if (known.memory_bytes != 0 && one.least_bytes > known.memory_bytes)
    one.removed_by = filter_id::memory;
  return one;
}

duration_us artifact_wait(const core_state& s, const option& by, time_us now, duration_us load_us) {
  const auto& entry = s.artifacts[by.artifact];
  switch (state_of(entry, now)) {
  case artifact_state::ready: return held_by(entry, s.devices[by.device].node) ? 0 : load_us;
  case artifact_state::building: return build_left(s, s.compiles.at(entry.building), now);
  case artifact_state::absent:
  case artifact_state::failed: break;
  }
  return std::max<duration_us>(entry.retry_at - now, 0) + build_expected(s, entry);
}

/// Nothing is loaded there yet: what it would take.
prospect to_load(core_state& s, index model, const option& by, time_us now) {
  prospect one;
  one.pair = pair_of(s, model, by.device);
  const auto& pair = s.pairs[one.pair];
  one.prefill_ns = pair.speed.prefill_ns;
  one.decode_ns = pair.speed.decode_ns;
  one.setup_us = pair.speed.load_us + std::max<duration_us>(pair.load_retry_at - now, 0);
  if (by.artifact == none)
    return one;
  const auto& entry = s.artifacts[by.artifact];
  one.setup_us += artifact_wait(s, by, now, pair.speed.load_us);
  one.compiling = entry.copies.empty() && !is_weights(entry.key.profile);
  if (entry.building)
    one.ready_at = now + one.setup_us;
  return one;
}

void add_prospect(core_state& s, index model, index at, time_us now, outlook& out) {
  const auto& row = s.models[model];
  const auto& by = row.options[at];
  const auto instance = instance_on(s, model, by.device);
  prospect one;
  if (instance == none) {
    if (!takes_work(s, by.device) || !stages_ready(s, row, by.device))
      return;
    one = to_load(s, model, by, now);
    one.free = !ranks_for(s, row, by).empty();
  } else {
    const auto& under_way = s.instances[instance];
    if (under_way.state == instance_state::ready || under_way.devices.front() != by.device)
      return;
    one.pair = pair_of(s, model, by.device);
    const auto& speed = s.pairs[one.pair].speed;
    one.prefill_ns = speed.prefill_ns;
    one.decode_ns = speed.decode_ns;
    one.ready_at = under_way.ready_at;
  }
  one.option = at;
  // What nobody has started may never start: placement's business, no reason to wait.
  if (one.ready_at != 0)
    out.coming.push_back(static_cast<index>(out.prospects.size()));
  out.prospects.push_back(one);
}

/// The newest that an older version of the compiler built of what the option names and that the
/// device's own node has: what a rollback there would serve, whatever the plugin promises.
/// Returns: none when there is no such engine, or some that did not load already.
index gone_back_to(const core_state& s, index model, const option& by) {
  index best = none;
  if (by.named == none || !older_loads(s, model, by.device))
    return best;
  const auto& wanted = s.artifacts[by.named].key;
  auto from = wanted;
  from.profile.compiler_version.clear();
  for (auto at = s.artifact_keys.lower_bound(from);
       at != s.artifact_keys.end() && same_compiler(at->first, from); ++at) {
    const auto& version = at->first.profile.compiler_version;
    if (other_version(at->first, wanted) && older_version(version, wanted.profile.compiler_version)
        && held_by(s.artifacts[at->second], s.devices[by.device].node)
        && (best == none || older_version(s.artifacts[best].key.profile.compiler_version, version)))
      best = at->second;
  }
  return best;
}

/// Where there is such an engine, what a person types, and where.
std::string way_back(const core_state& s, index model, const option& by) {
  const auto at = gone_back_to(s, model, by);
  if (at == none)
    return {};
  const auto& older = s.artifacts[at];
  const auto node = s.devices[by.device].node;
  for (const auto& copy : older.copies)
    if (copy.node == node)
      return "`consort artifacts rollback " + newest_of(copy.record).value.substr(0, 12) + "` on "
             + copy.record.node.value + " would go back to what " + older.key.profile.compiler + " "
             + older.key.profile.compiler_version + " built";
  return {};
}

} // namespace

void word_refusal(const core_state& s, index model, const option& by, filter_id refused,
                  candidate_facts& facts) {
  if (refused == filter_id::format)
    facts.unread = unread_words(s.models[model].spec, s.devices[by.device].spec.capability);
  if (refused == filter_id::artifact)
    facts.way_back = way_back(s, model, by);
}

void refresh_options(core_state& s, index model) {
  auto& row = s.models[model];
  if (row.options_version == s.static_version
      || (row.options_version != 0 && fresh_enough(s, row.options_at)))
    return;
  row.options_version = s.static_version;
  row.options_at = s.now;
  ++row.options_made;
  row.options.clear();
  for (const auto& [name, device] : s.device_names)
    if (!s.devices[device].withdrawn)
      row.options.push_back(fit(s, model, device));
}

namespace {

void make_outlook(core_state& s, index model, index selector, time_us now, outlook& out) {
  auto& row = s.models[model];
  out.version = s.version;
  out.made_at = s.now;
  out.options_made = row.options_made;
  out.prospects.clear();
  out.coming.clear();
  out.possible = row.options.empty();
  for (index at = 0; at < row.options.size(); ++at) {
    const auto& one = row.options[at];
    if (one.removed_by != filter_id::passed || !s.selectors[selector].matches[one.device])
      continue;
    out.possible = true;
    if (!unsteady_for(s, selector, one.device))
      add_prospect(s, model, at, now, out);
  }
  // What runs a former version serves on, whether the present one loads or not.
  for (const auto at : row.instances)
    out.possible = out.possible
                   || (s.instances[at].state == instance_state::ready && !s.instances[at].retiring
                       && s.selectors[selector].matches[s.instances[at].devices.front()] != 0);
}

} // namespace

outlook& outlook_of(core_state& s, index model, index selector, time_us now) {
  refresh_options(s, model);
  auto& row = s.models[model];
  auto& out = row.outlooks[selector];
  if (out.version == s.version
      || (out.version != 0 && out.possible && out.options_made == row.options_made
          && fresh_enough(s, out.made_at)))
    return out;
  make_outlook(s, model, selector, now, out);
  if (!out.possible && row.options_version != s.static_version) {
    // Nothing is called impossible by what may be out of date.
    row.options_version = 0;
    refresh_options(s, model);
    make_outlook(s, model, selector, now, out);
  }
  return out;
}

index instance_on(const core_state& s, index model, index device) {
  for (const auto at : s.devices[device].instances) {
    const auto& one = s.instances[at];
    if (one.model == model && active(one) && !one.superseded)
      return at;
  }
  return none;
}

candidate_facts facts_of(const core_state& s, index model, index device, const option* by) {
  const auto& one = s.devices[device];
  const auto& node = s.nodes[one.node];
  candidate_facts facts;
  facts.spec = &s.models[model].spec;
  facts.device = &one.spec;
  facts.node_alive = one.present && node.alive && !node.suspect && s.now >= node.trusted_at;
  facts.draining = one.draining || node.empties();
  facts.cordoned = one.cordoned || node.cordoned;
  facts.health = one.reading.health;
  facts.health_reason = one.reading.health_reason;
  facts.memory_bytes = one.spec.memory_bytes;
  facts.ranks_need = s.models[model].spec.devices_per_instance;
  facts.ranks_max = one.spec.capability.devices_max;
  facts.remote = is_remote(s, device);
  if (!one.spec.stages.empty())
    facts.stage_lacks = stage_lack(s, model, device);
  facts.never_remote = s.config.remote == remote_use::never;
  facts.remote_spent = remote_spent(s);
  const auto& variants = s.models[model].spec.variants;
  facts.adapters_need = variants.empty() ? 0 : variants.front().adapters.size();
  facts.adapters_max = one.spec.capability.adapters_max;
  if (by != nullptr) {
    facts.adapters_run = by->removed_by != filter_id::adapters;
    facts.format_known = by->removed_by != filter_id::format;
    facts.artifact_obtainable = by->removed_by != filter_id::artifact;
    facts.memory_need_bytes = by->least_bytes;
    facts.load_barred = by->removed_by == filter_id::loads;
    if (facts.load_barred)
      facts.load_refused = bar_words(s, model, device);
  }
  const auto& pairs = s.models[model].pairs;
  const auto pair = pairs.find(device);
  if (pair != pairs.end()) {
    facts.breaker_admits = s.pairs[pair->second].fuse.admits();
    facts.breaker_error = s.pairs[pair->second].fault_error;
    facts.full = s.pairs[pair->second].room.full();
    facts.full_error = s.pairs[pair->second].full_error;
  }
  facts.samples = pair == pairs.end() ? 0 : s.pairs[pair->second].speed.samples;
  return facts;
}

} // namespace consort::core
