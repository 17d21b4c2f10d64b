// SPDX-License-Identifier: Apache-2.0
// Replicas: reserving -> loading -> ready -> unloading, or failed at any point. An instance with
// several ranks lives and dies as one.
#include "scheduler/handlers.hpp"
#include "scheduler/units.hpp"

#include <algorithm>
#include <tuple>

namespace consort::core {

namespace {

/// KV for all sequences where that much is free, else for as many as there is room for, at least
/// one.
device_share share_of(const device_state& device, const option& by) {
  const auto memory = device.spec.memory_bytes;
  // Without a known size there is nothing to divide.
  if (memory == 0)
    return {device.spec.id, true, 0};
  const auto free = memory - std::min(device.promised_bytes, memory);
  return {device.spec.id, false, std::clamp(free, by.least_bytes, by.need_bytes)};
}

/// Same SKU as the leader and, when it is in one, the same topology group.
bool may_join(const core_state& s, index leader, index other) {
  const auto& one = s.devices[leader].spec;
  const auto& two = s.devices[other].spec;
  return other != leader && one.model == two.model && one.vendor == two.vendor
         && one.topology_group == two.topology_group && takes_work(s, other);
}

const artifact_copy* copy_for(const core_state& s, index artifact, index node) {
  for (const auto& copy : s.artifacts[artifact].copies)
    if (copy.node == node)
      return &copy;
  return nullptr;
}

bool copies_ready(pass& p, index artifact, const std::vector<index>& devices) {
  bool ready = true;
  for (const auto device : devices) {
    const auto node = p.s.devices[device].node;
    if (held_by(p.s.artifacts[artifact], node))
      continue;
    ensure_fetched(p, artifact, node);
    ready = false;
  }
  return ready;
}

bool leader_listens(const core_state& s, const instance_row& one) {
  const auto entry = s.allocations.find(one.grant);
  const auto node = s.devices[one.devices.front()].node;
  const bool told = one.state != instance_state::reserving;
  return told && entry != s.allocations.end()
         && believed(s, node, entry->second.members.front().life);
}

void send_unload(pass& p, const instance_row& one, const std::string& reason) {
  if (leader_listens(p.s, one))
    p.send(unload_replica{p.s.nodes[p.s.devices[one.devices.front()].node].id, one.id, reason});
}

/// Second phase, as it was or is ordered. Requires: its allocation is granted.
load_replica load_order(const core_state& s, const instance_row& one) {
  load_replica order;
  const auto leader = node_of(s, one);
  const auto& spec = s.models[one.model].spec;
  order.node = s.nodes[leader].id;
  order.instance = one.id;
  order.grant = s.allocations.at(one.grant).grant;
  order.model = spec.name;
  order.variant = spec.variants[one.variant];
  if (one.artifact != none)
    order.artifact = copy_for(s, one.artifact, leader)->record;
  order.ways.tp = static_cast<std::uint32_t>(one.devices.size());
  return order;
}

/// What it would load is gone.
bool outdated(const core_state& s, const instance_row& one) {
  const auto& variants = s.models[one.model].spec.variants;
  return one.variant >= variants.size() || variants[one.variant].content != one.weights
         || (one.artifact != none && copy_for(s, one.artifact, node_of(s, one)) == nullptr);
}

/// Later places move down by one.
void close_endpoints(core_state& s, index instance) {
  auto& one = s.instances[instance];
  auto& endpoints = s.models[one.model].endpoints;
  while (!one.places.empty()) {
    const auto place = one.places.back();
    one.places.pop_back();
    endpoints.erase(place);
    for (index at = place; at < endpoints.size(); ++at)
      s.instances[endpoints.at(at).instance].places[endpoints.at(at).rank] = at;
  }
}

void open_endpoint(core_state& s, index instance, const capacity_vector& declared) {
  auto& one = s.instances[instance];
  auto& endpoints = s.models[one.model].endpoints;
  const auto device = one.devices.front();
  endpoint fresh;
  fresh.instance = instance;
  fresh.id = one.id;
  fresh.rank = static_cast<std::uint32_t>(one.places.size());
  fresh.device = device;
  fresh.pair = pair_of(s, one.model, device);
  const auto sequences
      = declared.sequences.value.value_or(s.devices[device].spec.capability.max_sequences);
  fresh.seq_max = static_cast<std::uint32_t>(
      std::clamp<std::uint64_t>(sequences, 1, limits::endpoint_sequences_max));
  fresh.kv_max = declared.kv_tokens.value.value_or(0);
  const auto& id = s.devices[device].spec.id;
  const auto goes_after = [&](const endpoint& other) {
    const auto& other_id = s.devices[other.device].spec.id;
    return std::tuple(other_id, s.instances[other.instance].id, other.rank)
           < std::tuple(id, one.id, fresh.rank);
  };
  index place = 0;
  while (place < endpoints.size() && goes_after(endpoints.at(place)))
    ++place;
  endpoints.insert(place, fresh);
  one.places.push_back(place);
  for (index at = place + 1; at < endpoints.size(); ++at)
    s.instances[endpoints.at(at).instance].places[endpoints.at(at).rank] = at;
}

/// One per data-parallel rank.
void open_endpoints(core_state& s, index at, const std::vector<capacity_vector>& endpoints) {
  const auto ranks
      = std::clamp<std::size_t>(endpoints.size(), 1, limits::endpoints_per_instance_max);
  for (std::size_t rank = 0; rank < ranks; ++rank)
    open_endpoint(s, at, rank < endpoints.size() ? endpoints[rank] : capacity_vector{});
  refresh_instance(s, at);
}

/// Gives the devices back and forgets the row. Requires: no attempts.
void forget(pass& p, index instance) {
  auto& s = p.s;
  auto& one = s.instances[instance];
  assert(one.attempts.empty());
  close_endpoints(s, instance);
  std::erase(s.models[one.model].instances, instance);
  for (const auto device : one.devices)
    std::erase(s.devices[device].instances, instance);
  const auto grant = one.grant;
  s.instance_ids.erase(one.id);
  s.instances.free(instance);
  release(p, grant);
  changed(s);
}

void begin_unload(pass& p, index instance) {
  auto& one = p.s.instances[instance];
  assert(one.attempts.empty());
  close_endpoints(p.s, instance);
  if (!leader_listens(p.s, one))
    return forget(p, instance);
  send_unload(p, one, one.retire_reason);
  one.state = instance_state::unloading;
  one.deadline = p.now + limits::unload_timeout_us;
  arm(p.s, one.deadline, timer_kind::instance, instance);
  changed(p.s);
}

/// Backs off on the pair, and lets its breaker know when a ready instance died.
void count_failure(pass& p, const instance_row& one, const error& failure) {
  const auto at = pair_of(p.s, one.model, one.devices.front());
  auto& pair = p.s.pairs[at];
  pair.load_error = failure.message;
  pair.load_retry_at
      = p.now
        + backoff(limits::load_backoff_min_us, limits::load_backoff_max_us, pair.load_failures++);
  arm(p.s, pair.load_retry_at, timer_kind::pair, at);
  if (one.state == instance_state::ready && pair.fuse.failed(p.now))
    arm(p.s, pair.fuse.retry_at(), timer_kind::pair, at);
}

index known_instance(const core_state& s, instance_id id, incarnation life) {
  const auto found = s.instance_ids.find(id);
  if (found == s.instance_ids.end())
    return none;
  const auto leader = s.instances[found->second].devices.front();
  return believed(s, s.devices[leader].node, life) ? found->second : none;
}

} // namespace

std::vector<index> ranks_for(const core_state& s, const model_state& model, const option& leader) {
  std::vector<index> chosen{leader.device};
  const auto free = [&](index device) { return fits(s, share_of(s.devices[device], leader)); };
  if (!takes_work(s, leader.device) || !free(leader.device))
    return {};
  if (model.spec.devices_per_instance == 1)
    return chosen;
  // Ranks on the leader's own node first: they talk faster.
  for (const bool near : {true, false})
    for (const auto& [name, device] : s.device_names) {
      const bool same_node = s.devices[device].node == s.devices[leader.device].node;
      if (chosen.size() < model.spec.devices_per_instance && same_node == near
          && may_join(s, leader.device, device) && free(device))
        chosen.push_back(device);
    }
  if (chosen.size() < model.spec.devices_per_instance)
    chosen.clear();
  return chosen;
}

bool start_instance(pass& p, index model, const option& by) {
  auto& s = p.s;
  const auto devices = ranks_for(s, s.models[model], by);
  if (devices.empty() || (by.artifact != none && !copies_ready(p, by.artifact, devices)))
    return false;
  const auto at = s.instances.add();
  auto& one = s.instances[at];
  one.id = instance_id{++s.next_number};
  one.model = model;
  one.variant = by.variant;
  one.artifact = by.artifact;
  one.devices = devices;
  const auto& variant = s.models[model].spec.variants[by.variant];
  one.weights = variant.content;
  one.context_tokens = variant.context_tokens;
  one.started_at = one.used_at = p.now;
  one.ready_at = p.now + s.pairs[pair_of(s, model, by.device)].speed.load_us;
  s.instance_ids.emplace(one.id, at);
  s.models[model].instances.push_back(at);
  std::vector<device_share> shares;
  for (const auto device : devices) {
    s.devices[device].instances.push_back(at);
    shares.push_back(share_of(s.devices[device], by));
  }
  one.grant = reserve(p, std::move(shares), one.id, {});
  changed(s);
  return true;
}

void begin_load(pass& p, index instance) {
  auto& s = p.s;
  auto& one = s.instances[instance];
  if (outdated(s, one))
    return fail_instance(
        p, instance,
        {{recovery::retry_later, "load_outdated", "what to load is gone"}, false, true});
  auto order = load_order(s, one);
  one.content = order.artifact ? order.artifact->content : one.weights;
  one.state = instance_state::loading;
  one.deadline = p.now + limits::load_timeout_us;
  one.ready_at = p.now + s.pairs[pair_of(s, one.model, one.devices.front())].speed.load_us;
  arm(s, one.deadline, timer_kind::instance, instance);
  p.send(std::move(order));
}

void refresh_instance(core_state& s, index instance) {
  auto& one = s.instances[instance];
  auto& endpoints = s.models[one.model].endpoints;
  for (const auto place : one.places) {
    auto& at = endpoints.at(place);
    const auto& pair = s.pairs[at.pair];
    at.open = one.state == instance_state::ready && !one.retiring && pair.fuse.admits()
              && std::all_of(one.devices.begin(), one.devices.end(),
                             [&](index device) { return takes_work(s, device); });
    endpoints.refresh(place, pair.speed);
  }
}

void repeat_orders(pass& p, index node) {
  auto& s = p.s;
  forget_fetches_of(p, node);
  for (const auto device : s.nodes[node].devices)
    for (const auto at : s.devices[device].instances) {
      const auto& one = s.instances[at];
      if (one.devices.front() != device)
        continue;
      if (one.state == instance_state::loading && !outdated(s, one))
        p.send(load_order(s, one));
      else if (one.state == instance_state::unloading)
        send_unload(p, one, one.retire_reason);
    }
}

void retire(pass& p, index instance, std::string reason) {
  auto& one = p.s.instances[instance];
  if (one.retiring || one.state == instance_state::unloading)
    return;
  one.retiring = true;
  one.retire_reason = std::move(reason);
  refresh_instance(p.s, instance);
  if (one.attempts.empty())
    begin_unload(p, instance);
}

void became_idle(pass& p, index instance) {
  auto& one = p.s.instances[instance];
  one.used_at = p.now;
  if (one.retiring && one.state == instance_state::ready && one.attempts.empty())
    begin_unload(p, instance);
}

void fail_instance(pass& p, index instance, const instance_failure& how) {
  auto& one = p.s.instances[instance];
  const auto device = p.s.devices[one.devices.front()].spec.id;
  const auto model = p.s.models[one.model].spec.name;
  if (how.fault)
    count_failure(p, one, how.failure);
  if (!how.reported)
    send_unload(p, one, how.failure.message);
  const bool unloading = one.state == instance_state::unloading;
  one.state = instance_state::failed;
  refresh_instance(p.s, instance);
  if (!unloading)
    p.tell(note::severity::warning, device.value,
           "replica of " + model.value + " failed: " + how.failure.message);
  failover over;
  over.failure = how.failure;
  over.failure.action = recovery::retry_elsewhere;
  over.fault = false;
  fail_attempts(p, one.attempts, over);
  forget(p, instance);
}

void check_instance(pass& p, index instance) {
  if (!p.s.instances.holds(instance))
    return;
  auto& one = p.s.instances[instance];
  if (one.state == instance_state::loading && one.deadline <= p.now)
    return fail_instance(p, instance,
                         {{recovery::retry_elsewhere, "load_timeout", "loading took too long"}});
  if (one.state == instance_state::unloading && one.deadline <= p.now)
    return forget(p, instance);
  const auto ttl = p.s.models[one.model].spec.idle_ttl_us;
  if (one.state != instance_state::ready || ttl <= 0)
    return;
  const bool idle = one.attempts.empty() && one.used_at + ttl <= p.now;
  const auto& model = p.s.models[one.model];
  const auto kept = static_cast<std::size_t>(
      std::count_if(model.instances.begin(), model.instances.end(),
                    [&](index other) { return active(p.s.instances[other]); }));
  if (idle && kept > model.spec.replicas_min)
    return retire(p, instance, "idle for " + format_duration(ttl));
  arm(p.s, std::max(one.used_at, idle || !one.attempts.empty() ? p.now : 0) + ttl,
      timer_kind::instance, instance);
}

void on(pass& p, const replica_loaded& e) {
  auto& s = p.s;
  const auto at = known_instance(s, e.instance, e.life);
  if (at == none || s.instances[at].state != instance_state::loading)
    return;
  auto& one = s.instances[at];
  one.state = instance_state::ready;
  one.ready_at = one.used_at = p.now;
  one.runtime = e.runtime;
  auto& pair = s.pairs[pair_of(s, one.model, one.devices.front())];
  pair.load_failures = 0;
  pair.load_error.clear();
  if (e.load_us > 0 && e.load_us <= limits::load_timeout_us)
    pair.speed.load_us = robust_mean(pair.speed.load_us, e.load_us);
  open_endpoints(s, at, e.endpoints);
  ++s.counters.loads;
  p.tell(note::severity::info, s.devices[one.devices.front()].spec.id.value,
         "replica of " + s.models[one.model].spec.name.value + " is ready");
  if (s.models[one.model].spec.idle_ttl_us > 0)
    arm(s, p.now + s.models[one.model].spec.idle_ttl_us, timer_kind::instance, at);
  ++s.models[one.model].releases;
  changed(s);
}

namespace {

/// What is found makes a load of the same model there needless that is only under way.
void prefer_found(pass& p, index model, index device) {
  const auto there = p.s.devices[device].instances;
  for (const auto at : there) {
    const auto& one = p.s.instances[at];
    if (one.model == model
        && (one.state == instance_state::reserving || one.state == instance_state::loading))
      fail_instance(p, at,
                    {{recovery::retry_later, "replica_found", "its node has one"}, false, false});
  }
}

/// The devices of the grant; empty when not all of them are here, or not free.
std::vector<index> devices_of(const core_state& s, const allocation& grant) {
  std::vector<index> devices;
  for (const auto& share : grant.shares) {
    const auto at = find(s.device_names, share.device.value);
    if (at == none || !s.devices[at].present || !fits(s, share)
        || std::find(devices.begin(), devices.end(), at) != devices.end())
      return {};
    devices.push_back(at);
  }
  return devices;
}

index artifact_with(const core_state& s, const digest& content, index node) {
  for (const auto& [key, at] : s.artifact_keys)
    for (const auto& copy : s.artifacts[at].copies)
      if (copy.node == node && copy.record.content == content)
        return at;
  return none;
}

/// Nobody here wants it: its node gives everything back.
void dismiss(pass& p, const replica_found& e, index node) {
  p.send(unload_replica{p.s.nodes[node].id, e.instance, "not wanted any more"});
  p.send(release_allocation{p.s.nodes[node].id, e.grant.id, e.grant.fence});
}

index adopt_instance(pass& p, const replica_found& e, index model, index variant,
                     std::vector<index> devices) {
  auto& s = p.s;
  const auto at = s.instances.add();
  auto& one = s.instances[at];
  one.id = e.instance;
  one.model = model;
  one.variant = variant;
  one.weights = e.weights;
  one.content = e.artifact.empty() ? e.weights : e.artifact;
  one.devices = std::move(devices);
  if (!e.artifact.empty())
    one.artifact = artifact_with(s, e.artifact, node_of(s, one));
  one.context_tokens = s.models[model].spec.variants[variant].context_tokens;
  one.started_at = one.ready_at = one.used_at = p.now;
  one.state = instance_state::ready;
  one.runtime = e.runtime;
  one.grant = e.grant.id;
  adopt_allocation(p, e.grant);
  s.allocations.at(one.grant).grant.owner_instance = one.id;
  s.allocations.at(one.grant).grant.owner_compile = {};
  s.instance_ids.emplace(one.id, at);
  auto& listed = s.models[model].instances;
  listed.insert(std::find_if(listed.begin(), listed.end(),
                             [&](index other) { return s.instances[other].id > one.id; }),
                at);
  for (const auto device : one.devices)
    s.devices[device].instances.push_back(at);
  // Numbers of our own must not meet those of an earlier life.
  s.next_number = std::max({s.next_number, e.instance.value, e.grant.id.value});
  s.next_epoch = std::max(s.next_epoch, e.grant.fence.value);
  return at;
}

/// Attempts of an earlier scheduler life that waited for their instance.
void attach_sought(pass& p, instance_id id) {
  std::vector<index> slots;
  const auto [first, last] = p.s.sought.equal_range(id);
  for (auto at = first; at != last; ++at)
    slots.push_back(at->second);
  for (const auto slot : slots)
    attach(p, slot);
}

} // namespace

void on(pass& p, const replica_found& e) {
  auto& s = p.s;
  if (e.grant.shares.empty() || !e.instance || !e.grant.id)
    return;
  const auto leader = find(s.device_names, e.grant.shares.front().device.value);
  if (leader == none || !believed(s, s.devices[leader].node, e.life))
    return;
  if (s.instance_ids.contains(e.instance)) // The news of its load may have been lost.
    return on(p, replica_loaded{e.instance, e.life, e.endpoints, e.runtime, 0});
  const auto model = find(s.model_names, e.model.value);
  const auto node = s.devices[leader].node;
  if (model == none || s.models[model].removed || s.allocations.contains(e.grant.id))
    return dismiss(p, e, node);
  prefer_found(p, model, leader);
  const auto& spec = s.models[model].spec;
  const auto variant = std::find_if(spec.variants.begin(), spec.variants.end(),
                                    [&](const auto& one) { return one.content == e.weights; });
  auto devices = devices_of(s, e.grant);
  if (variant == spec.variants.end() || devices.size() != spec.devices_per_instance)
    return dismiss(p, e, node);
  const auto at
      = adopt_instance(p, e, model, static_cast<index>(variant - spec.variants.begin()), devices);
  open_endpoints(s, at, e.endpoints);
  p.tell(note::severity::info, s.devices[leader].spec.id.value,
         "replica of " + spec.name.value + " is taken over as it is");
  if (spec.idle_ttl_us > 0)
    arm(s, p.now + spec.idle_ttl_us, timer_kind::instance, at);
  ++s.models[model].releases;
  changed(s);
  attach_sought(p, e.instance);
}

void on(pass& p, const replica_unloaded& e) {
  const auto at = known_instance(p.s, e.instance, e.life);
  if (at == none || p.s.instances[at].state == instance_state::reserving)
    return;
  if (p.s.instances[at].state == instance_state::unloading)
    return forget(p, at);
  fail_instance(
      p, at,
      {{recovery::retry_elsewhere, "replica_unloaded", "its node unloaded it"}, false, true});
}

void on(pass& p, const replica_failed& e) {
  const auto at = known_instance(p.s, e.instance, e.life);
  if (at == none || p.s.instances[at].state == instance_state::reserving)
    return;
  fail_instance(p, at, {e.failure, true, true});
}

} // namespace consort::core
