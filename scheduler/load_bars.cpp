// SPDX-License-Identifier: Apache-2.0
#include "scheduler/load_bars.hpp"

#include "scheduler/handlers.hpp"
#include "scheduler/provenance.hpp"
#include "scheduler/units.hpp"

#include <algorithm>

namespace consort::core {

namespace {

/// Whether it is what the bar is about. Weights that a node has by itself change with a
/// declaration only.
bool same_thing(const load_bar& bar, index variant, index artifact, const digest& content) {
  return bar.variant == variant
         && (bar.any_engine
             || (bar.artifact == artifact && (artifact == none || bar.content == content)));
}

/// What the device would load of the artifact: its node's copy, else any that could come.
bool would_load(const core_state& s, const load_bar& bar, const option& by) {
  if (bar.any_engine || by.artifact == none)
    return same_thing(bar, by.variant, by.artifact, {});
  const auto& copies = s.artifacts[by.artifact].copies;
  const auto node = s.devices[by.device].node;
  const bool here = std::any_of(copies.begin(), copies.end(),
                                [&](const artifact_copy& copy) { return copy.node == node; });
  return std::any_of(copies.begin(), copies.end(), [&](const artifact_copy& copy) {
    const auto& loads = here ? copy.record.content : newest_of(copy.record);
    return (!here || copy.node == node) && same_thing(bar, by.variant, by.artifact, loads);
  });
}

const pair_state* known_pair(const core_state& s, index model, index device) {
  const auto& pairs = s.models[model].pairs;
  const auto known = pairs.find(device);
  return known == pairs.end() ? nullptr : &s.pairs[known->second];
}

} // namespace

bool refuses_load(const core_state& s, const instance_row& one, const instance_failure& how) {
  return one.state == instance_state::loading && how.failure.action == recovery::refuse
         && (how.reporter == none || how.reporter == s.devices[one.devices.front()].node);
}

std::string keeper_of_unfit(const core_state& s, const instance_row& one, const error& failure) {
  if (one.state != instance_state::loading || one.artifact == none
      || failure.code != "artifact_unfit")
    return {};
  std::string keeper;
  for (const auto& copy : s.artifacts[one.artifact].copies) {
    if (copy.record.content != one.content)
      continue;
    keeper = keeper.empty() ? s.nodes[copy.node].id.value : keeper;
    for (const auto device : s.nodes[copy.node].devices)
      for (const auto other : s.devices[device].instances)
        if (s.instances[other].id != one.id && s.instances[other].content == one.content)
          return s.devices[device].spec.id.value;
  }
  return keeper;
}

void bar_load(pass& p, index pair, const instance_row& one, const error& failure, bool any_engine) {
  auto& row = p.s.pairs[pair];
  auto known = std::find_if(row.bars.begin(), row.bars.end(), [&](const load_bar& bar) {
    return bar.any_engine == any_engine && same_thing(bar, one.variant, one.artifact, one.content);
  });
  if (known == row.bars.end()) {
    if (row.bars.size() == limits::load_bars_max)
      row.bars.erase(row.bars.begin());
    known = row.bars.insert(row.bars.end(), load_bar{});
    known->variant = one.variant;
    known->artifact = one.artifact;
    known->content = one.content;
    known->any_engine = any_engine;
  }
  known->why = cut_text(failure.message, limits::load_error_bytes_max);
  if (++known->refusals < limits::load_refusals_max)
    return;
  known->until = p.now + limits::load_bar_us;
  arm(p.s, known->until, timer_kind::pair, pair);
  changed_statically(p.s);
  p.tell(note::severity::warning, p.s.devices[row.device].spec.id.value,
         "does not load " + p.s.models[row.model].spec.name.value + ", and is not asked again for "
             + format_duration(limits::load_bar_us)
             + " or until the model is declared again or its plugin changes: " + known->why);
}

bool load_barred(const core_state& s, index model, const option& by) {
  const auto* pair = known_pair(s, model, by.device);
  return pair != nullptr
         && std::any_of(pair->bars.begin(), pair->bars.end(), [&](const load_bar& bar) {
              return bar.until > s.now && would_load(s, bar, by);
            });
}

namespace {

/// The one that stands longest; null when none does.
const load_bar* standing_bar(const core_state& s, index model, index device) {
  const auto* pair = known_pair(s, model, device);
  const load_bar* last = nullptr;
  if (pair != nullptr)
    for (const auto& bar : pair->bars)
      if (bar.until > s.now && (last == nullptr || bar.until > last->until))
        last = &bar;
  return last;
}

} // namespace

std::string_view bar_words(const core_state& s, index model, index device) {
  const auto* bar = standing_bar(s, model, device);
  return bar == nullptr ? std::string_view() : std::string_view(bar->why);
}

std::string bar_end_words(const core_state& s, index model, index device) {
  const auto* bar = standing_bar(s, model, device);
  return bar == nullptr ? std::string()
                        : "; loaded again in " + format_duration(bar->until - s.now)
                              + ", or at once when the model is declared again (consort model add) "
                                "or its plugin changes";
}

void lift_bars(core_state& s, pair_state& pair, const instance_row& one) {
  const auto gone = std::erase_if(pair.bars, [&](const load_bar& bar) {
    return same_thing(bar, one.variant, one.artifact, one.content);
  });
  if (gone > 0)
    changed_statically(s);
}

void forgive_loads(pair_state& pair) {
  pair.bars.clear();
  pair.load_failures = pair.engine_failures = pair.broken_loads = 0;
  pair.load_retry_at = 0;
}

void forgive_loads_on(core_state& s, index device) {
  for (index model = 0; model < s.models.end(); ++model) {
    const auto known = s.models[model].pairs.find(device);
    if (known != s.models[model].pairs.end())
      forgive_loads(s.pairs[known->second]);
  }
}

bool end_bars(pair_state& pair, time_us now) {
  return std::erase_if(pair.bars,
                       [now](const load_bar& bar) { return bar.until != 0 && bar.until <= now; })
         > 0;
}

} // namespace consort::core
