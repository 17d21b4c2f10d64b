// SPDX-License-Identifier: Apache-2.0
// The snapshot that operators see, in order of id.
#include "scheduler/artifact_model.hpp"
#include "scheduler/device_waits.hpp"
#include "scheduler/load_bars.hpp"
#include "scheduler/modules.hpp"
#include "scheduler/provenance.hpp"
#include "scheduler/view_bytes.hpp"
#include "scheduler/waiting.hpp"

#include <algorithm>
#include <iterator>
#include <limits>
#include <map>

namespace consort::core {

namespace {

const char* state_word(instance_state state) {
  switch (state) {
  case instance_state::reserving: return "reserving";
  case instance_state::loading: return "loading";
  case instance_state::ready: return "ready";
  case instance_state::unloading: return "unloading";
  case instance_state::failed: return "failed";
  }
  return "failed";
}

std::string cut(const std::string& text) {
  return text.substr(0, limits::external_id_bytes_max);
}

/// The page being filled, from its cursor on, until its bytes are used up.
struct page {
  snapshot_page made;
  view_cursor behind; ///< The last row that is on it, or on those before it.
  view_cursor from;
  std::size_t bytes_left = 0;
  bool empty = true;

  /// Adds the row unless the page is full; a page has at least one. Returns: whether it did.
  template <class Row>
  bool add(std::vector<Row>& rows, Row row, view_cursor row_at) {
    const auto bytes = bytes_of(row);
    if (!empty && bytes > bytes_left) {
      made.next = behind;
      return false;
    }
    empty = false;
    bytes_left -= std::min(bytes, bytes_left);
    behind = std::move(row_at);
    rows.push_back(std::move(row));
    return true;
  }
  /// Where a list goes on that is ordered by name, or by number: its end when it has no rows here.
  template <class Map>
  auto first_of(view_part part, const Map& names) const {
    if (made.next || part < from.part)
      return names.end();
    return part > from.part || from.name.empty() ? names.begin() : names.upper_bound(from.name);
  }
  std::uint64_t number_of(view_part part) const {
    if (made.next || part < from.part)
      return std::numeric_limits<std::uint64_t>::max();
    return part > from.part ? 0 : from.number;
  }
};

/// Those of plans elsewhere that an instance works a stage of: its node is in use for them.
std::uint32_t staged_from_elsewhere(const core_state& s, const instance_row& one, index node) {
  return static_cast<std::uint32_t>(
      std::count_if(one.staged.begin(), one.staged.end(), [&](index slot) {
        return node_of(s, s.instances[s.requests[slot].instance]) != node;
      }));
}

/// Attempts of the instances that it leads, or has a stage of.
std::uint32_t running_on(const core_state& s, const node_state& node) {
  std::uint32_t running = 0;
  for (const auto device : node.devices)
    for (const auto at : s.devices[device].instances)
      if (s.instances[at].devices.front() == device)
        running += static_cast<std::uint32_t>(s.instances[at].attempts.size())
                   + staged_from_elsewhere(s, s.instances[at], s.devices[device].node);
  return running;
}

void view_nodes(const core_state& s, time_us now, page& into) {
  auto at = into.first_of(view_part::nodes, s.node_names);
  for (; at != s.node_names.end(); ++at) {
    const auto& one = s.nodes[at->second];
    node_view view{one.id,
                   one.life,
                   one.alive,
                   one.suspect,
                   one.empties(),
                   one.cordoned,
                   one.lease_epoch,
                   one.alive ? std::max<duration_us>(one.lease_until - now, 0) : 0,
                   one.data_address,
                   one.toolchains,
                   one.attributes,
                   running_on(s, one),
                   one.alive ? std::max<duration_us>(one.trusted_at - now, 0) : 0};
    if (!into.add(into.made.rows.nodes, std::move(view), {view_part::nodes, at->first, 0}))
      return;
  }
}

/// Calls `use(pair)` for each model that is served and was ever at work there, once whatever other
/// names it has, in order of name, until one returns false.
template <class Use>
void each_pair_on(const core_state& s, index device, Use&& use) {
  for (const auto& [name, at] : s.model_names) {
    const auto& model = s.models[at];
    const auto known = model.pairs.find(device);
    if (model.removed || model.spec.name.value != name || known == model.pairs.end())
      continue;
    if (!use(s.pairs[known->second]))
      return;
  }
}

/// The worst of its models: open before half-open.
std::string breaker_word(const core_state& s, index device) {
  auto worst = breaker_state::closed;
  each_pair_on(s, device, [&](const pair_state& pair) {
    if (worst == breaker_state::closed)
      worst = pair.fuse.state();
    else if (pair.fuse.state() == breaker_state::open)
      worst = breaker_state::open;
    return worst != breaker_state::open;
  });
  return std::string(word(worst));
}

/// Why a model does not load there, when that is more than a moment's trouble; else empty.
std::string load_words(const core_state& s, const pair_state& pair) {
  const auto& name = s.models[pair.model].spec.name.value;
  if (const auto barred = bar_words(s, pair.model, pair.device); !barred.empty())
    return name + " does not load: " + std::string(barred);
  if (pair.load_failures < limits::load_tries_max)
    return {};
  return name + " did not load " + std::to_string(pair.load_failures)
         + " times in a row: " + pair.load_error;
}

/// Why the device's breakers are not closed, where it is full and what does not load, behind what
/// its node says of it: for each model. Returns: whether anything does not load.
bool add_breakers(const core_state& s, index device, time_us now, std::string& why) {
  std::size_t named = 0;
  bool fails = false;
  each_pair_on(s, device, [&](const pair_state& pair) {
    const bool broken = pair.fuse.state() != breaker_state::closed;
    const auto loads = load_words(s, pair);
    fails = fails || !loads.empty();
    if (!broken && !pair.room.full() && loads.empty())
      return true;
    if (++named > limits::breakers_told_max)
      return false;
    why += why.empty() ? "" : "; ";
    why += broken             ? breaker_words(s, pair, now)
           : pair.room.full() ? full_words(s, pair, now)
                              : loads;
    return true;
  });
  return fails;
}

device_view view_device(const core_state& s, index at, time_us now) {
  const auto& one = s.devices[at];
  device_view view;
  view.spec = one.spec;
  view.reading = one.reading;
  view.alive = one.present && s.nodes[one.node].alive;
  view.draining = one.draining || s.nodes[one.node].empties();
  view.cordoned = one.cordoned || s.nodes[one.node].cordoned;
  view.breaker = breaker_word(s, at);
  const bool fails = add_breakers(s, at, now, view.reading.health_reason);
  for (const auto instance : one.instances) {
    const auto& running = s.instances[instance];
    if (running.devices.front() == at)
      view.running += static_cast<std::uint32_t>(running.attempts.size() + running.staged.size());
    if (running.state == instance_state::ready)
      view.loaded.push_back(s.models[running.model].spec.name);
  }
  std::sort(view.loaded.begin(), view.loaded.end());
  // It takes what else there is: whoever looks is to see why it does nothing.
  if (fails && view.loaded.empty() && view.reading.health == device_health::healthy)
    view.reading.health = device_health::degraded;
  return view;
}

void view_devices(const core_state& s, time_us now, page& into) {
  auto at = into.first_of(view_part::devices, s.device_names);
  for (; at != s.device_names.end(); ++at)
    if (!s.devices[at->second].withdrawn
        && !into.add(into.made.rows.devices, view_device(s, at->second, now),
                     {view_part::devices, at->first, 0}))
      return;
}

replica_view view_replica(const core_state& s, const instance_row& one) {
  const auto& model = s.models[one.model];
  replica_view view;
  view.instance = one.id;
  view.model = model.spec.name;
  view.leader = s.devices[one.devices.front()].spec.id;
  for (const auto device : one.devices)
    view.devices.push_back(s.devices[device].spec.id);
  view.state = state_word(one.state);
  view.running = static_cast<std::uint32_t>(one.attempts.size() + one.staged.size());
  for (const auto place : one.places) {
    const auto& endpoint = model.endpoints.at(place);
    view.sequences_max += endpoint.seq_max;
    view.kv_tokens_max += endpoint.kv_max;
    view.kv_tokens_reserved += endpoint.kv_used;
  }
  if (one.artifact != none)
    view.artifact = one.content;
  const auto pair = model.pairs.find(one.devices.front());
  if (pair != model.pairs.end()) {
    view.prefill_tokens_per_s = rate_of(s.pairs[pair->second].speed.prefill_ns);
    view.decode_tokens_per_s = rate_of(s.pairs[pair->second].speed.decode_ns);
    const auto& error = s.pairs[pair->second].first_error;
    view.predictions = error.count;
    view.first_error_p50_pm = error.p50_pm;
    view.first_error_p90_pm = error.p90_pm;
    view.energy_uj_per_token = static_cast<std::uint64_t>(s.pairs[pair->second].power.token_uj);
  }
  return view;
}

void view_replicas(const core_state& s, page& into) {
  auto at = s.instance_ids.upper_bound(instance_id{into.number_of(view_part::replicas)});
  for (; at != s.instance_ids.end(); ++at)
    if (!into.add(into.made.rows.replicas, view_replica(s, s.instances[at->second]),
                  {view_part::replicas, {}, at->first.value}))
      return;
}

model_view view_model(const core_state& s, const model_state& one) {
  model_view view;
  view.spec = one.spec;
  view.waiting = static_cast<std::uint32_t>(one.queue.size());
  for (const auto instance : one.instances) {
    const auto state = s.instances[instance].state;
    view.replicas_ready += state == instance_state::ready ? 1 : 0;
    view.replicas_loading
        += state == instance_state::reserving || state == instance_state::loading ? 1 : 0;
    if (state == instance_state::ready)
      view.context_tokens
          = std::max(view.context_tokens, s.instances[instance].runtime.context_tokens);
  }
  return view;
}

void view_models(const core_state& s, page& into) {
  auto at = into.first_of(view_part::models, s.model_names);
  for (; at != s.model_names.end(); ++at) {
    const auto& one = s.models[at->second];
    if (one.removed || one.spec.name.value != at->first)
      continue; // An alias.
    if (!into.add(into.made.rows.models, view_model(s, one), {view_part::models, at->first, 0}))
      return;
  }
}

/// Ready replicas by what they run.
using content_counts = std::map<digest, std::uint32_t>;

content_counts ready_by_content(const core_state& s) {
  content_counts counts;
  for (const auto& [id, at] : s.instance_ids)
    if (s.instances[at].state == instance_state::ready)
      ++counts[s.instances[at].content];
  return counts;
}

/// Models by what artifacts of them are bound to; of several the first by name.
using bound_models = std::map<std::string, index>;

bound_models models_by_binds(const core_state& s) {
  bound_models all;
  for (const auto& [name, at] : s.model_names) {
    if (s.models[at].removed)
      continue;
    for (const auto& variant : s.models[at].spec.variants) {
      all.emplace(binds_of(variant), at);
      all.emplace(architecture_of(variant), at);
    }
  }
  all.erase(std::string()); // Of an unknown shape.
  return all;
}

/// The model that it was wanted for, or that is served and would run it: nodes tell of what an
/// earlier scheduler had them build.
model_name model_of(const core_state& s, const artifact_entry& one, const bound_models& bound) {
  const auto found = bound.find(one.key.binds);
  if (one.model != none && (found == bound.end() || !s.models[one.model].removed))
    return s.models[one.model].spec.name;
  return found == bound.end() ? model_name() : s.models[found->second].spec.name;
}

/// Nobody has or makes it, and no model is left that could use it: a name without a thing.
bool of_nothing(const core_state& s, const artifact_entry& one, const bound_models& bound,
                time_us now) {
  if (!one.copies.empty() || one.building || bound.contains(one.key.binds))
    return false;
  return one.model == none ? state_of(one, now) == artifact_state::absent
                           : s.models[one.model].removed;
}

/// Of its copies the first; before it one whose node went back, which people are to see.
const artifact_record& told_of(const artifact_entry& one) {
  const auto back = std::find_if(one.copies.begin(), one.copies.end(),
                                 [](const auto& copy) { return !copy.record.own.empty(); });
  return (back == one.copies.end() ? one.copies.front() : *back).record;
}

artifact_view view_artifact(const core_state& s, const artifact_entry& one,
                            const content_counts& running, const bound_models& bound, time_us now) {
  artifact_view view;
  view.key = one.key;
  view.model = model_of(s, one, bound);
  view.state = state_of(one, now);
  view.builds = one.builds;
  view.last_error
      = view.state == artifact_state::absent ? device_wait_words(s, one) : std::string();
  if (view.last_error.empty())
    view.last_error = one.last_error;
  for (const auto& copy : one.copies)
    view.nodes.push_back(s.nodes[copy.node].id);
  if (!one.copies.empty()) {
    const auto& told = told_of(one);
    view.content = told.content;
    // The row is that of the newest, whatever is run in its stead.
    view.own = newest_of(told);
    view.size_bytes = newest_bytes(told);
    view.quality = told.quality;
    // Whoever serves it now comes first; what it was made for is known when nobody does.
    const auto made_for = view.quality.find(artifact_model);
    if (view.model.empty() && made_for != view.quality.end())
      view.model = model_name{made_for->second};
    view.quality.erase(artifact_model);
    view.quality.erase(artifact_own_bytes);
  }
  if (const auto known = running.find(view.own); !view.own.empty() && known != running.end())
    view.replicas = known->second;
  if (one.building) {
    const auto& build = s.compiles.at(one.building);
    view.nodes.push_back(s.nodes[build.node].id);
    view.done_pm = build.done_pm;
    view.eta_us = build_eta(build, now);
  }
  std::sort(view.nodes.begin(), view.nodes.end());
  return view;
}

/// In the order in which they were first wanted; whoever puts pages together sorts them.
void view_artifacts(const core_state& s, time_us now, page& into) {
  auto at = into.number_of(view_part::artifacts);
  if (at >= s.artifacts.end()) // Nothing of it on this page.
    return;
  const auto running = ready_by_content(s);
  const auto bound = models_by_binds(s);
  for (; at < s.artifacts.end(); ++at)
    if (s.artifacts.holds(static_cast<index>(at))
        && !of_nothing(s, s.artifacts[static_cast<index>(at)], bound, now)
        && !into.add(into.made.rows.artifacts,
                     view_artifact(s, s.artifacts[static_cast<index>(at)], running, bound, now),
                     {view_part::artifacts, {}, at + 1}))
      return;
}

/// Live requests by number.
using numbered = std::vector<std::pair<std::uint64_t, index>>;

void oldest_first(numbered& live, std::size_t count_max) {
  const auto kept = std::min(live.size(), count_max);
  std::partial_sort(live.begin(), live.begin() + static_cast<std::ptrdiff_t>(kept), live.end());
  live.resize(kept);
}

void add_requests(const core_state& s, const numbered& those, time_us now, page& into) {
  for (const auto& [number, slot] : those)
    if (!into.add(into.made.rows.requests, view_request(s, slot, now),
                  {view_part::requests, {}, number}))
      return;
}

bool has_ticket(const request_row& r) {
  return r.phase == request_phase::ticketed || r.phase == request_phase::running;
}

std::string_view state_of(const request_row& r) {
  return has_ticket(r) ? "running" : r.told == nullptr ? "queued" : r.told;
}

bool wished(const request_row& r, const requests_wish& wish, index model) {
  return (wish.model.empty() || model == r.model)
         && (wish.tenant.empty() || wish.tenant == r.meta.tenant)
         && (wish.priority.empty() || wish.priority == word(r.meta.priority))
         && (wish.state.empty() || wish.state == state_of(r));
}

void view_requests(const core_state& s, time_us now, page& into) {
  const auto after = into.number_of(view_part::requests);
  if (after == std::numeric_limits<std::uint64_t>::max())
    return;
  numbered live;
  for (index slot = 0; slot < s.requests.end(); ++slot)
    if (s.requests.holds(slot) && !s.requests[slot].is_hedge)
      live.emplace_back(s.requests[slot].sequence, slot);
  oldest_first(live, limits::snapshot_requests_max);
  std::erase_if(live, [&](const auto& one) { return one.first <= after; });
  add_requests(s, live, now, into);
}

bool by_key(const artifact_view& one, const artifact_view& other) {
  return one.key < other.key;
}

template <class Row>
void move_behind(std::vector<Row>& into, std::vector<Row>& rows) {
  into.insert(into.end(), std::make_move_iterator(rows.begin()),
              std::make_move_iterator(rows.end()));
}

} // namespace

request_view view_request(const core_state& s, index slot, time_us now) {
  const auto& r = s.requests[slot];
  request_view view;
  view.id = r.meta.id;
  view.external_id = cut(r.meta.external_id);
  view.model = s.models[r.model].spec.name;
  view.state = state_of(r);
  if (has_ticket(r))
    view.device = s.devices[r.last_device].spec.id;
  view.attempts = r.issued;
  view.age_us = std::max<duration_us>(now - r.submitted_at, 0);
  view.tenant = r.meta.tenant;
  view.priority = word(r.meta.priority);
  if (r.deadline_at != 0)
    view.deadline_left_us = std::max<duration_us>(r.deadline_at - now, 0);
  view.number = r.sequence;
  return view;
}

std::string_view word(priority_class priority) {
  switch (priority) {
  case priority_class::interactive: return "interactive";
  case priority_class::standard: return "standard";
  case priority_class::batch: return "batch";
  }
  return "standard";
}

namespace {

void write_head(const core_state& s, time_us now, snapshot& head) {
  head.cluster = s.config.cluster;
  head.now = now;
  head.pools = s.config.pools;
  head.policy = s.profiles[s.cluster_profile].name.value;
  head.requests_total = static_cast<std::uint32_t>(s.requests.live() - s.hedges);
  head.queue_depth = s.waiting;
  head.queue_depth_max = s.waiting_max;
  head.counters = s.counters;
}

} // namespace

snapshot_page requests_page(const core_state& s, const requests_wish& wish, std::size_t bytes_max,
                            time_us now) {
  page filled;
  filled.bytes_left = bytes_max;
  const auto model = find(s.model_names, wish.model.value);
  numbered behind;
  std::uint32_t total = 0;
  for (index slot = 0; slot < s.requests.end(); ++slot) {
    if (!s.requests.holds(slot) || s.requests[slot].is_hedge
        || !wished(s.requests[slot], wish, model))
      continue;
    ++total;
    if (s.requests[slot].sequence > wish.after)
      behind.emplace_back(s.requests[slot].sequence, slot);
  }
  const auto left = behind.size();
  oldest_first(behind, std::clamp<std::size_t>(wish.limit, 1, limits::requests_page_max));
  add_requests(s, behind, now, filled);
  if (filled.made.rows.requests.size() < left)
    filled.made.next = filled.behind;
  write_head(s, now, filled.made.rows);
  filled.made.rows.requests_total = total;
  return std::move(filled.made);
}

snapshot_page view_page_of(const core_state& s, const view_cursor& from, std::size_t bytes_max,
                           time_us now) {
  page filled;
  filled.from = filled.behind = from;
  filled.bytes_left = bytes_max;
  write_head(s, now, filled.made.rows);
  view_nodes(s, now, filled);
  view_devices(s, now, filled);
  view_replicas(s, filled);
  view_models(s, filled);
  view_artifacts(s, now, filled);
  view_requests(s, now, filled);
  return std::move(filled.made);
}

snapshot view_all(const core_state& s, time_us now) {
  auto all = view_page_of(s, {}, std::numeric_limits<std::size_t>::max(), now).rows;
  std::sort(all.artifacts.begin(), all.artifacts.end(), by_key);
  return all;
}

void append(snapshot& into, snapshot page) {
  into.cluster = std::move(page.cluster);
  into.now = page.now;
  into.policy = std::move(page.policy);
  into.pools = std::move(page.pools);
  into.requests_total = page.requests_total;
  into.queue_depth = page.queue_depth;
  into.queue_depth_max = page.queue_depth_max;
  into.counters = page.counters;
  move_behind(into.nodes, page.nodes);
  move_behind(into.devices, page.devices);
  move_behind(into.replicas, page.replicas);
  move_behind(into.models, page.models);
  move_behind(into.artifacts, page.artifacts);
  move_behind(into.requests, page.requests);
  std::sort(into.artifacts.begin(), into.artifacts.end(), by_key);
}

} // namespace consort::core
