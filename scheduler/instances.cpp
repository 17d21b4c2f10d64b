// SPDX-License-Identifier: Apache-2.0
// Replicas: reserving -> loading -> ready -> unloading, or failed at any point. An instance with
// several ranks lives and dies as one.
#include "scheduler/adoption.hpp"
#include "scheduler/contexts.hpp"
#include "scheduler/handlers.hpp"
#include "scheduler/load_bars.hpp"
#include "scheduler/provenance.hpp"
#include "scheduler/replica_bounds.hpp"
#include "scheduler/spending.hpp"
#include "scheduler/units.hpp"
#include "scheduler/waiting.hpp"
#include "scheduler/weights.hpp"

#include <algorithm>
#include <limits>
#include <tuple>
#include <utility>

namespace consort::core {

namespace {

/// KV for all sequences where that much is free, else for as many as there is room for, at least
/// one. A server that takes its share of the device takes no more and no less.
device_share share_of(const device_state& device, const option& by) {
  const auto memory = device.spec.memory_bytes;
  // Without a known size there is nothing to divide.
  if (memory == 0)
    return {device.spec.id, true, 0};
  if (by.memory_share_pm != 0)
    return {device.spec.id, false, std::max(by.taken_bytes(memory), by.least_bytes)};
  return {device.spec.id, false, std::clamp(device.free_bytes(), by.least_bytes, by.need_bytes)};
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

/// What comes from elsewhere beside the option's artifact: the weights themselves, where an engine
/// is not made of them, and adapters.
bool weights_ready(pass& p, index model, const option& by, const std::vector<index>& devices) {
  const auto& variant = p.s.models[model].spec.variants[by.variant];
  std::vector<model_variant> wanted;
  if (by.artifact != none
      && p.s.artifacts[by.artifact].key.kind == artifact_kind::engine_architecture)
    wanted.push_back(variant);
  for (const auto& adapter : variant.adapters)
    if (weights_elsewhere(adapter.source))
      wanted.push_back(weights_of(adapter));
  bool ready = true, under_way = false;
  for (const auto& one : wanted)
    for (const auto device : devices)
      ready = weights_there(p, one, model, p.s.devices[device].node, under_way) && ready;
  return ready;
}

/// Nobody waits for what an earlier start compiled unless it is on its way.
bool cache_ready(pass& p, index model, const option& by, const std::vector<index>& devices) {
  const auto cache = cache_for(p.s, p.s.models[model].spec, by);
  bool ready = true;
  for (const auto device : devices)
    ready = (cache == none || !cache_comes(p, cache, model, p.s.devices[device].node)) && ready;
  return ready;
}

/// Tells each node that has an order for it, but for the one that said so itself.
void send_unload(pass& p, const instance_row& one, const std::string& reason, index but = none) {
  const auto entry = p.s.allocations.find(one.grant);
  if (one.state == instance_state::reserving || entry == p.s.allocations.end())
    return;
  for (const auto& member : entry->second.members)
    if (member.node != but && believed(p.s, member.node, member.life))
      p.send(unload_replica{p.s.nodes[member.node].id, one.id, reason});
}

/// Whether some node of it still has to say that it unloaded.
bool awaits_unload(const core_state& s, const instance_row& one) {
  const auto entry = s.allocations.find(one.grant);
  if (one.state == instance_state::reserving || entry == s.allocations.end())
    return false;
  const auto& members = entry->second.members;
  return std::any_of(members.begin(), members.end(), [&](const allocation_member& member) {
    const bool said
        = std::find(one.unloaded.begin(), one.unloaded.end(), member.node) != one.unloaded.end();
    return !said && believed(s, member.node, member.life);
  });
}

/// Second phase for one of its nodes, as it was or is ordered. Requires: its allocation is granted.
load_replica load_order(const core_state& s, const instance_row& one, std::uint32_t rank) {
  load_replica order;
  const auto& entry = s.allocations.at(one.grant);
  const auto node = entry.members[rank].node;
  const auto& spec = s.models[one.model].spec;
  order.node = s.nodes[node].id;
  order.instance = one.id;
  order.grant = entry.grant;
  order.model = spec.name;
  order.variant = spec.variants[one.variant];
  if (one.artifact != none)
    order.artifact = copy_for(s, one.artifact, node)->record;
  option by;
  by.device = one.devices.front();
  by.variant = one.variant;
  by.artifact = one.artifact;
  if (const auto cache = cache_for(s, spec, by); cache != none)
    if (const auto* copy = copy_for(s, cache, node))
      order.cache = copy->record;
  order.ways.tp = static_cast<std::uint32_t>(one.devices.size());
  order.rank = rank;
  order.ranks = static_cast<std::uint32_t>(entry.members.size());
  return order;
}

/// What it would load is gone.
bool outdated(const core_state& s, const instance_row& one) {
  const auto& variants = s.models[one.model].spec.variants;
  if (one.variant >= variants.size() || variants[one.variant].content != one.weights
      || variants[one.variant].adapters != one.adapters)
    return true;
  return one.artifact != none
         && std::any_of(one.devices.begin(), one.devices.end(), [&](index device) {
              return copy_for(s, one.artifact, s.devices[device].node) == nullptr;
            });
}

void close_endpoints(core_state& s, index instance) {
  auto& one = s.instances[instance];
  const auto places = std::exchange(one.places, {});
  if (places.empty())
    return;
  refresh_plans_with(s, instance); // They let go of them first.
  for (const auto place : places)
    s.models[one.model].endpoints.remove(place);
  judge_room(s, pair_of(s, one.model, one.devices.front()));
}

/// Power above idle and price of an instance, all its devices together.
void add_rates(const core_state& s, const instance_row& one, endpoint& to) {
  std::uint64_t price = 0;
  for (const auto device : one.devices)
    price += std::min(s.devices[device].spec.spec.cost_micros_per_hour, limits::price_micros_max);
  const auto active_mw = used_power_mw(s.pairs[to.pair].power, sheet_power_mw(s, one));
  to.active_mw = static_cast<std::uint32_t>(std::min(active_mw, limits::power_mw_max));
  to.price_micros = static_cast<std::uint32_t>(std::min(price, limits::price_micros_max));
  const auto tokens = token_rates_of(s, one.model, one.devices.front());
  to.prompt_pico = tokens.prompt_pico;
  to.output_pico = tokens.output_pico;
}

/// KV tokens for which its grant has room beside the weights; 0 = unknown.
std::uint64_t granted_kv(const core_state& s, const instance_row& one) {
  const auto grant = s.allocations.find(one.grant);
  const auto& variants = s.models[one.model].spec.variants;
  if (grant == s.allocations.end() || one.variant >= variants.size()
      || variants[one.variant].kv_bytes_per_token == 0)
    return 0;
  std::uint64_t bytes = 0;
  for (const auto& share : grant->second.grant.shares) {
    if (share.whole || share.memory_bytes > std::numeric_limits<std::uint64_t>::max() - bytes)
      return 0;
    bytes += share.memory_bytes;
  }
  const auto& variant = variants[one.variant];
  return (bytes - std::min(bytes, variant.weight_bytes)) / variant.kv_bytes_per_token;
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
  fresh.remote = is_remote(s, device);
  fresh.told = declared.sequences.value.has_value();
  fresh.kv_max = declared.kv_tokens.value.value_or(granted_kv(s, one));
  if (fresh.kv_max != 0 && fresh.kv_max < static_cast<std::uint64_t>(cache_clock::unbounded / 2))
    one.cache.kept
        = (fresh.rank == 0 ? 0 : one.cache.kept) + static_cast<std::int64_t>(fresh.kv_max);
  fresh.step_tokens = step_tokens_of(declared.step_tokens, 0);
  const auto& node = s.nodes[s.devices[device].node];
  if (node.losses > 0 && s.now - node.lost_at <= limits::flap_window_us)
    fresh.start_slowly();
  note_kv(s.models[one.model], fresh.kv_max);
  fresh.kind = kind_number(s, s.devices[device].spec) % 32;
  add_rates(s, one, fresh);
  one.places.push_back(endpoints.add(fresh));
}

} // namespace

void open_endpoints(core_state& s, index at, const std::vector<capacity_vector>& endpoints) {
  const auto ranks
      = std::clamp<std::size_t>(endpoints.size(), 1, limits::endpoints_per_instance_max);
  for (std::size_t rank = 0; rank < ranks; ++rank)
    open_endpoint(s, at, rank < endpoints.size() ? endpoints[rank] : capacity_vector{});
  // Who was full was another.
  const auto pair = pair_of(s, s.instances[at].model, s.instances[at].devices.front());
  s.pairs[pair].room = {};
  s.pairs[pair].full_error.clear();
  refresh_device(s, s.pairs[pair].device);
}

namespace {

/// Gives the devices back and forgets the row. Requires: no attempts.
void forget(pass& p, index instance) {
  auto& s = p.s;
  auto& one = s.instances[instance];
  assert(one.idle());
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

/// For who reads the events, as that it is ready.
void tell_unload(const pass& p, const instance_row& one) {
  const bool serves = one.state == instance_state::ready;
  p.tell(note::severity::info, p.s.devices[one.devices.front()].spec.id.value,
         (serves ? "unloads replica of " : "stops loading ") + p.s.models[one.model].spec.name.value
             + ": " + one.retire_reason);
}

void begin_unload(pass& p, index instance) {
  auto& one = p.s.instances[instance];
  assert(one.idle());
  close_endpoints(p.s, instance);
  if (!awaits_unload(p.s, one))
    return forget(p, instance);
  send_unload(p, one, one.retire_reason);
  tell_unload(p, one);
  one.state = instance_state::unloading;
  one.deadline = p.now + limits::unload_timeout_us;
  arm(p.s, one.deadline, timer_kind::instance, instance);
  changed(p.s);
}

/// Whether what was loaded may be to blame: not for what was refused before it was looked at.
bool blames_engine(const error& failure) {
  return failure.action != recovery::refuse || failure.code == "bad_model"
         || failure.code == "artifact_unfit";
}

/// Whether its device names another engine than was loaded: what it names itself is never given up.
bool stands_in(const core_state& s, const instance_row& one) {
  return std::any_of(s.models[one.model].options.begin(), s.models[one.model].options.end(),
                     [&one](const option& by) {
                       return by.device == one.devices.front() && by.variant == one.variant
                              && by.named != none && by.named != one.artifact;
                     });
}

/// A load failed for which the engine may be to blame. After enough of them no older one stands in:
/// what to load there is chosen anew.
void count_engine_failure(pass& p, const instance_row& one, pair_state& pair,
                          const error& failure) {
  if (++pair.engine_failures != limits::older_loads_max)
    return;
  changed_statically(p.s);
  if (one.artifact == none)
    return;
  const auto& entry = p.s.artifacts[one.artifact];
  const auto& device = p.s.devices[one.devices.front()];
  if (stands_in(p.s, one) && holds_held(entry, device.node))
    p.tell(note::severity::warning, device.spec.id.value,
           "gives up what " + maker_on(p.s, entry, device.node) + " built, which is held, after "
               + std::to_string(limits::older_loads_max)
               + " loads that failed: " + failure.message);
}

/// When the pair may be loaded again. What had served and died is no failed load and waits for
/// nothing: it served between any two such loads, and what dies again and again meets its breaker.
time_us next_load(pass& p, const instance_row& one, pair_state& pair) {
  if (one.proven)
    return p.now;
  return p.now
         + backoff(limits::load_backoff_min_us, limits::load_backoff_max_us, pair.load_failures++);
}

/// Backs off on the pair, removes what is refused time and again, and lets its breaker know when a
/// ready instance died.
void count_failure(pass& p, const instance_row& one, const instance_failure& how) {
  const auto& failure = how.failure;
  const auto at = pair_of(p.s, one.model, one.devices.front());
  auto& pair = p.s.pairs[at];
  pair.load_error = cut_text(failure.message, limits::load_error_bytes_max);
  pair.load_failed_at = p.now;
  // One that had served says nothing of another that did not load: of a version that replaces it.
  pair.load_retry_at = std::max(pair.load_retry_at, next_load(p, one, pair));
  if (pair.load_retry_at > p.now)
    arm(p.s, pair.load_retry_at, timer_kind::pair, at);
  if (blames_engine(failure))
    count_engine_failure(p, one, pair, failure);
  if (refuses_load(p.s, one, how))
    bar_load(p, at, one, failure, !blames_engine(failure));
  else if (const auto keeper = keeper_of_unfit(p.s, one, failure); !keeper.empty())
    bar_load(p, at, one,
             {failure.action, failure.code,
              "its engine is not built anew while " + keeper + " has it: " + failure.message},
             false);
  else if (one.state == instance_state::loading && failure.action != recovery::retry_later)
    ++pair.broken_loads;
  if (one.state == instance_state::ready)
    pair.fault_error = cut_text(failure.message, limits::fault_error_bytes_max);
  if (one.state == instance_state::ready && pair.fuse.failed(p.now))
    breaker_opened(p, at, failure.message);
}

index known_instance(const core_state& s, instance_id id, incarnation life) {
  const auto found = s.instance_ids.find(id);
  if (found == s.instance_ids.end())
    return none;
  const auto leader = s.instances[found->second].devices.front();
  return believed(s, s.devices[leader].node, life) ? found->second : none;
}

/// The node of the instance that lives this life; none when there is no such.
index member_node(const core_state& s, instance_id id, incarnation life) {
  const auto found = s.instance_ids.find(id);
  if (found == s.instance_ids.end())
    return none;
  const auto entry = s.allocations.find(s.instances[found->second].grant);
  if (entry == s.allocations.end())
    return none;
  for (const auto& member : entry->second.members)
    if (member.life == life && believed(s, member.node, life))
      return member.node;
  return none;
}

} // namespace

std::vector<index> ranks_for(const core_state& s, const model_state& model, const option& leader) {
  std::vector<index> chosen{leader.device};
  const auto free = [&](index device) {
    const auto& row = s.devices[device];
    const auto room = leader.room_bytes(row.spec.memory_bytes, row.foreign_bytes);
    const auto share = share_of(row, leader);
    return !may_be_told_of(s, device) && fits(s, share)
           && (share.whole || room <= row.free_bytes());
  };
  if (!takes_work(s, leader.device) || !stages_ready(s, model, leader.device)
      || !free(leader.device))
    return {};
  if (model.spec.devices_per_instance == 1)
    return chosen;
  // One that serves the model in another instance would do the work of two.
  const auto serves_it = [&](index device) {
    const auto& there = s.devices[device].instances;
    return std::any_of(there.begin(), there.end(), [&](index at) {
      const auto& one = s.instances[at];
      return &s.models[one.model] == &model && active(one) && !one.superseded;
    });
  };
  // Ranks on the leader's own node first: they talk faster.
  std::vector<index> nodes{s.devices[leader.device].node};
  const auto nodes_max = s.devices[leader.device].spec.capability.nodes_max;
  for (const bool near : {true, false})
    for (const auto& [name, device] : s.device_names) {
      const auto node = s.devices[device].node;
      const bool known = std::find(nodes.begin(), nodes.end(), node) != nodes.end();
      if (chosen.size() == model.spec.devices_per_instance || (node == nodes.front()) != near
          || (!known && nodes.size() >= nodes_max) || !may_join(s, leader.device, device)
          || !free(device) || serves_it(device))
        continue;
      chosen.push_back(device);
      if (!known)
        nodes.push_back(node);
    }
  if (chosen.size() < model.spec.devices_per_instance)
    chosen.clear();
  return chosen;
}

namespace {

void tell_of_stand_in(pass& p, const option& by) {
  const auto& used = p.s.artifacts[by.artifact];
  const auto& named = p.s.artifacts[by.named];
  const auto& device = p.s.devices[by.device];
  p.tell(note::severity::info, device.spec.id.value,
         "loads what " + maker_on(p.s, used, device.node) + " built: what "
             + named.key.profile.compiler_version + " makes of it is not there yet"
             + (named.last_error.empty() ? "" : ", " + named.last_error));
}

} // namespace

bool start_instance(pass& p, index model, const option& by) {
  auto& s = p.s;
  const auto devices = ranks_for(s, s.models[model], by);
  if (devices.empty() || (by.artifact != none && !copies_ready(p, by.artifact, devices))
      || !weights_ready(p, model, by, devices) || !cache_ready(p, model, by, devices))
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
  one.adapters = variant.adapters;
  one.context_tokens = variant.context_tokens;
  one.started_at = one.used_at = p.now;
  if (by.artifact != by.named)
    tell_of_stand_in(p, by);
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
    return fail_instance(p, instance,
                         {{recovery::retry_later, "load_outdated", "what to load is gone"}, false});
  const auto ranks = s.allocations.at(one.grant).members.size();
  for (std::uint32_t rank = 0; rank < ranks; ++rank)
    p.send(load_order(s, one, rank));
  one.content = one.artifact != none ? copy_for(s, one.artifact, node_of(s, one))->record.content
                                     : one.weights;
  one.state = instance_state::loading;
  one.deadline = p.now + load_timeout(s.devices[one.devices.front()].spec);
  one.ready_at = p.now + s.pairs[pair_of(s, one.model, one.devices.front())].speed.load_us;
  arm(s, one.deadline, timer_kind::instance, instance);
}

std::uint64_t sheet_power_mw(const core_state& s, const instance_row& one) {
  std::uint64_t sum_mw = 0;
  for (const auto device : one.devices)
    sum_mw += active_power_mw(s.devices[device].spec);
  return std::min(sum_mw, limits::power_mw_max);
}

void refresh_instance(core_state& s, index instance) {
  auto& one = s.instances[instance];
  auto& endpoints = s.models[one.model].endpoints;
  const bool plan = !s.devices[one.devices.front()].spec.stages.empty();
  if (plan || (!one.places.empty() && endpoints.at(one.places.front()).plan))
    link_stages(s, instance);
  for (const auto place : one.places) {
    auto& at = endpoints.at(place);
    const auto& pair = s.pairs[at.pair];
    const bool was_open = at.open;
    at.open
        = one.state == instance_state::ready && !one.retiring && pair.admits() && !at.shut
          && std::all_of(one.devices.begin(), one.devices.end(),
                         [&](index device) { return takes_work(s, device); })
          && (!at.plan
              || (at.whole() && endpoints.at(at.reads_at).open && endpoints.at(at.writes_at).open));
    // A node that was away looks the best of all: what waits must not fall upon it at once.
    // One that was full takes one more at first: that tells whether it has room again.
    if (at.open && !was_open && pair.room.since() != 0)
      at.ramp = at.seq_used + 1;
    else if (at.open && !was_open && one.ready_at < s.now)
      at.start_slowly();
    if (!at.plan) // Of a plan its members' count.
      add_rates(s, one, at);
    endpoints.refresh(place, pair.speed);
  }
  if (!plan && !s.plans.empty() && !one.places.empty())
    refresh_plans_with(s, instance);
}

void repeat_orders(pass& p, index node) {
  auto& s = p.s;
  forget_fetches_of(p, node);
  for (const auto device : s.nodes[node].devices)
    for (const auto at : s.devices[device].instances) {
      const auto& one = s.instances[at];
      const auto first = std::find_if(one.devices.begin(), one.devices.end(),
                                      [&](index each) { return s.devices[each].node == node; });
      const auto entry = s.allocations.find(one.grant);
      if (*first != device || entry == s.allocations.end())
        continue;
      const auto& members = entry->second.members;
      const auto member = std::find_if(members.begin(), members.end(),
                                       [&](const auto& each) { return each.node == node; });
      if (one.state == instance_state::loading && !outdated(s, one))
        p.send(load_order(s, one, static_cast<std::uint32_t>(member - members.begin())));
      else if (one.state == instance_state::unloading && believed(s, node, member->life))
        p.send(unload_replica{s.nodes[node].id, one.id, one.retire_reason});
    }
}

void retire(pass& p, index instance, std::string reason) {
  auto& one = p.s.instances[instance];
  if (one.retiring || one.state == instance_state::unloading)
    return;
  one.retiring = true;
  one.retire_reason = std::move(reason);
  refresh_instance(p.s, instance);
  if (!one.places.empty())
    judge_room(p.s, pair_of(p.s, one.model, one.devices.front()));
  if (one.idle())
    begin_unload(p, instance);
}

void became_idle(pass& p, index instance) {
  auto& one = p.s.instances[instance];
  one.used_at = p.now;
  if (one.retiring && one.state == instance_state::ready && one.idle())
    begin_unload(p, instance);
  else
    empty_drained(p, instance);
}

void fail_instance(pass& p, index instance, const instance_failure& how) {
  auto& one = p.s.instances[instance];
  const auto device = p.s.devices[one.devices.front()].spec.id;
  const auto model = p.s.models[one.model].spec.name;
  const bool unloading = one.state == instance_state::unloading;
  if (how.fault && !unloading) // A rank that ends because another was told to is none.
    count_failure(p, one, how);
  send_unload(p, one, how.failure.message, how.reporter);
  one.state = instance_state::failed;
  refresh_instance(p.s, instance);
  if (!unloading)
    p.tell(how.expected ? note::severity::info : note::severity::warning, device.value,
           "replica of " + model.value + (how.expected ? " ended: " : " failed: ")
               + how.failure.message);
  failover over;
  over.failure = how.failure;
  over.failure.action = recovery::retry_elsewhere;
  over.fault = false;
  fail_attempts(p, one.attempts, over);
  over.revoke = true; // Where their plan runs nobody knows yet.
  fail_attempts(p, one.staged, over);
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
  if (empty_drained(p, instance))
    return;
  const auto ttl = p.s.models[one.model].spec.idle_ttl_us;
  if (one.state != instance_state::ready || ttl <= 0)
    return;
  const bool idle = one.idle() && one.used_at + ttl <= p.now;
  if (idle && spare_of_any_version(p.s, one))
    return retire(p, instance, "idle for " + format_duration(ttl));
  arm(p.s, std::max(one.used_at, idle || !one.idle() ? p.now : 0) + ttl, timer_kind::instance,
      instance);
}

namespace {

/// What failed requests there is gone, and another took its place: who waits may go there again.
/// Who was only full there stays away from it as long as before.
void forgive_device(core_state& s, index model, index device) {
  for (index slot = 0; slot < s.requests.end(); ++slot) {
    if (!s.requests.holds(slot) || s.requests[slot].model != model
        || s.requests[slot].excluded.empty())
      continue;
    auto& r = s.requests[slot];
    if (std::find(r.shunned.begin(), r.shunned.end(), device) == r.shunned.end())
      std::erase(r.excluded, device);
  }
}

} // namespace

void on(pass& p, const replica_loaded& e) {
  auto& s = p.s;
  const auto at = known_instance(s, e.instance, e.life);
  if (at == none || s.instances[at].state != instance_state::loading)
    return;
  auto& one = s.instances[at];
  one.state = instance_state::ready;
  one.ready_at = one.used_at = p.now;
  one.runtime = e.runtime;
  note_context(s.models[one.model], e.runtime);
  auto& pair = s.pairs[pair_of(s, one.model, one.devices.front())];
  pair.load_failures = pair.engine_failures = pair.broken_loads = 0;
  lift_bars(s, pair, one);
  if (!pair.load_error.empty()) // Seldom: a million requests may wait.
    forgive_device(s, one.model, pair.device);
  pair.load_error.clear();
  if (one.artifact != none)
    s.artifacts[one.artifact].losses
        = 0; // A rebuild that loads is sound: the next is another case.
  if (e.load_us > 0 && e.load_us <= limits::load_timeout_us_max)
    pair.speed.load_us = robust_mean(pair.speed.load_us, e.load_us);
  open_endpoints(s, at, e.endpoints);
  ++s.counters.loads;
  p.tell(note::severity::info, s.devices[one.devices.front()].spec.id.value,
         "replica of " + s.models[one.model].spec.name.value + " is ready");
  if (s.models[one.model].spec.idle_ttl_us > 0)
    arm(s, p.now + s.models[one.model].spec.idle_ttl_us, timer_kind::instance, at);
  ++s.models[one.model].releases;
  changed(s);
  empty_drained(p, at); // It was ordered before.
}

void on(pass& p, const replica_unloaded& e) {
  const auto node = member_node(p.s, e.instance, e.life);
  if (node == none)
    return;
  const auto at = p.s.instance_ids.at(e.instance);
  auto& one = p.s.instances[at];
  if (one.state == instance_state::reserving)
    return;
  if (one.state != instance_state::unloading)
    return fail_instance(
        p, at,
        {{recovery::retry_elsewhere, "replica_unloaded", "its node unloaded it"}, false, node});
  one.unloaded.push_back(node);
  if (!awaits_unload(p.s, one))
    forget(p, at);
}

void on(pass& p, const replica_failed& e) {
  const auto node = member_node(p.s, e.instance, e.life);
  if (node == none)
    return;
  const auto at = p.s.instance_ids.at(e.instance);
  if (p.s.instances[at].state != instance_state::reserving)
    fail_instance(p, at, {e.failure, true, node});
}

} // namespace consort::core
