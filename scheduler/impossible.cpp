// SPDX-License-Identifier: Apache-2.0
// A request that nobody could ever serve: who was asked, and what keeps each of them from it.
#include "scheduler/alike.hpp"
#include "scheduler/attributes.hpp"
#include "scheduler/load_bars.hpp"
#include "scheduler/modules.hpp"
#include "scheduler/nearest_name.hpp"
#include "scheduler/policy_bars.hpp"
#include "scheduler/resting_weights.hpp"
#include "scheduler/waiting.hpp"
#include "scheduler/weights.hpp"

#include <algorithm>
#include <set>

namespace consort::core {

namespace {

/// Of nodes that are up: plugins that may have the device and could not find it. Why is for who
/// runs the cluster: what a probe wrote on a host is not told to everybody who asks for a model.
std::string failing_plugins(const core_state& s) {
  std::string words;
  std::size_t named = 0;
  for (const auto& [name, at] : s.node_names)
    for (const auto& [key, why] : s.nodes[at].attributes)
      if (s.nodes[at].alive && key.starts_with(plugin_attribute)
          && ++named <= limits::message_devices_max)
        words += (named == 1 ? "; " : ", ") + key + " on " + name;
  if (named > limits::message_devices_max)
    words += " and " + std::to_string(named - limits::message_devices_max) + " more";
  if (named > 0)
    words += (named == 1 ? " fails" : " fail") + std::string("; `consort plugins` says why");
  return words;
}

/// Everything else that selectors name: types, nodes, tags and pools.
std::vector<std::string> other_terms(const core_state& s) {
  std::set<std::string> terms;
  for (const auto& [name, at] : s.device_names) {
    const auto& device = s.devices[at].spec;
    if (s.devices[at].withdrawn)
      continue;
    terms.emplace(word(device.type));
    terms.insert("node=" + device.node.value);
    for (const auto& tag : device.tags)
      terms.insert("tag=" + tag);
  }
  for (const auto& [name, meaning] : s.config.pools)
    terms.insert("pool=" + name);
  return {terms.begin(), terms.end()};
}

/// What selectors name of devices themselves: ids, vendors, models and plugins.
std::vector<std::string> device_terms(const core_state& s) {
  std::vector<std::string> terms;
  std::set<std::string> known;
  for (const auto& [name, at] : s.device_names) {
    const auto& device = s.devices[at].spec;
    if (s.devices[at].withdrawn)
      continue;
    terms.push_back(name);
    for (const auto& [key, value] :
         {std::pair("vendor=", &device.vendor), std::pair("model=", &device.model),
          std::pair("plugin=", &device.plugin)})
      if (!value->empty() && known.insert(key + *value).second)
        terms.push_back(key + *value);
  }
  return terms;
}

/// What may have been meant by a selector that names no device; nothing while some device is named.
/// Not looked for on a large cluster: the names of all devices are compared.
std::string suggest_devices(const core_state& s, const request_row& r) {
  const auto& wanted = s.selectors[r.selector].parsed;
  const bool any
      = std::any_of(s.device_names.begin(), s.device_names.end(), [&](const auto& named) {
          const auto& device = s.devices[named.second];
          return !device.withdrawn && wanted.matches(device.spec);
        });
  if (any)
    return {};
  std::string words = " no device matches it";
  if (s.devices.live() < limits::paced_devices) {
    const auto meant = did_you_mean(r.meta.selector, device_terms(s));
    words += meant.empty() ? did_you_mean(r.meta.selector, other_terms(s)) : meant;
  }
  return words + failing_plugins(s);
}

/// Why nobody has it, behind other words; empty when nothing is known. Where a build or a fetch is
/// to blame that was tried, `code` says so.
std::string missing_words(const core_state& s, index artifact, const char*& code) {
  const auto weights = refused_weights(s, s.artifacts[artifact]);
  const auto& entry = s.artifacts[weights == none ? artifact : weights];
  if (entry.last_error.empty())
    return {};
  if (entry.refused)
    code = "build_failed";
  return ": " + entry.last_error + next_try_words(s, entry, s.now);
}

/// Whatever else removes it: it is none of them any more. Empty while its node has it, or is away.
std::string gone_words(const core_state& s, index device) {
  const auto& one = s.devices[device];
  return one.present || one.gone_why.empty() ? std::string()
                                             : word(filter_id::alive) + (" (" + one.gone_why + ")");
}

std::string refusal_words(filter_id refused, const candidate_facts& facts) {
  return word(refused) + std::string(" (")
         + all_filters()[static_cast<std::size_t>(refused)].reason(facts) + ")";
}

/// Of a device that could serve it, were it not for its policy or a label of its data; else empty.
/// `barred` says whether it is the policy.
std::string kept_out(const core_state& s, const request_row& r, const option& by, bool& barred) {
  const auto& asked = s.selectors[r.selector];
  const auto& device = s.devices[by.device].spec;
  if (by.removed_by != filter_id::passed || !asked.parsed.matches(device))
    return {};
  if (!kept_here(s, asked, by.device))
    return label_refusal(asked.labels, device);
  barred = true;
  return refusal_words(filter_id::local, {});
}

} // namespace

ending impossible_ending(const core_state& s, const request_row& r) {
  // Who was turned away only has seen no failure, unless one before.
  if (has_failed(r) || r.fruitless > 0)
    return nobody_left(s, r, r.failure);
  ending how{request_outcome::rejected, 422, {}, {}, {}, {}, {}};
  std::string message = "no device can serve '" + r.meta.model.value + "' for '"
                        + s.selectors[r.selector].text + "':";
  if (const auto nobody = suggest_devices(s, r); !nobody.empty()) {
    how.reason = {recovery::refuse, "no_such_device", message + nobody};
    return how;
  }
  std::size_t unselected = 0;
  bool barred = false;
  alike refusals(limits::message_devices_max);
  const char* code = "no_such_device";
  std::string again; // Of loads, once for all devices: when the first of them is tried.
  for (const auto& one : s.models[r.model].options) {
    if (s.selectors[r.selector].matches[one.device] == 0) {
      if (auto kept = kept_out(s, r, one, barred); !kept.empty())
        refusals.add(s.devices[one.device].spec.id.value, std::move(kept));
      else
        ++unselected; // Many, and no reason.
      continue;
    }
    if (auto gone = gone_words(s, one.device); !gone.empty()) {
      refusals.add(s.devices[one.device].spec.id.value, std::move(gone));
      continue;
    }
    auto facts = facts_of(s, r.model, one.device, &one);
    add_asked(s, r, one.device, facts);
    facts.stays = facts.never_remote;
    each_place_on(s, r.model, one.device, [&](index place) {
      add_endpoint_facts(s, r, s.models[r.model].endpoints.at(place), facts);
    });
    facts.sequences_used = 0; // What is only busy is no reason.
    facts.full = false;
    facts.kv_need_tokens = 0;
    auto refused = first_refusal(facts);
    if (refused == filter_id::passed)
      refused = one.removed_by;
    if (refused == filter_id::passed)
      continue;
    word_refusal(s, r.model, one, refused, facts);
    auto words = refusal_words(refused, facts);
    if (one.artifact != none && refused == filter_id::artifact)
      words += missing_words(s, one.artifact, code);
    if (refused == filter_id::loads) {
      code = "load_refused";
      again = again.empty() ? bar_end_words(s, r.model, one.device) : again;
    }
    refusals.add(s.devices[one.device].spec.id.value, std::move(words));
  }
  if (!refusals.empty())
    message += " " + refusals.told();
  if (unselected > 0)
    message += (refusals.empty() ? " " : "; ") + std::to_string(unselected)
               + (refusals.empty() ? " device" : " other")
               + (unselected == 1 ? " is not asked for" : "s are not asked for");
  how.reason = {recovery::refuse, code, message + again + (barred ? bar_advice(s, r) : "")};
  return how;
}

} // namespace consort::core
