// SPDX-License-Identifier: Apache-2.0
// Recomputes everything derived and compares. Slow on purpose: tests, simulation and fuzzing run it
// after every step.
#include "scheduler/modules.hpp"

#include <algorithm>
#include <tuple>

namespace consort::core {

namespace {

using violation = std::optional<std::string>;

std::string of(const char* what, std::uint64_t which) {
  return std::string(what) + " (" + std::to_string(which) + ")";
}

bool is_out(const request_row& r) {
  return r.phase == request_phase::ticketed || r.phase == request_phase::running;
}

/// What holds of any attempt that is believed in.
violation check_attempt(const core_state& s, index slot) {
  const auto& r = s.requests[slot];
  if (!s.instances.holds(r.instance) || s.instances[r.instance].model != r.model)
    return of("an attempt runs on an instance that is gone", slot);
  const auto& instance = s.instances[r.instance];
  if (r.listed >= instance.attempts.size() || instance.attempts[r.listed] != slot)
    return of("an attempt is not listed by its instance", slot);
  for (const auto& hold : r.stages)
    if (hold.instance != none
        && (!s.instances.holds(hold.instance) || hold.held.sequences == 0
            || hold.listed >= s.instances[hold.instance].staged.size()
            || s.instances[hold.instance].staged[hold.listed] != slot))
      return of("an attempt holds a stage that does not know of it", slot);
  const auto& node = s.nodes[s.devices[instance.devices.front()].node];
  if (!node.alive || instance.state != instance_state::ready)
    return of("an attempt is believed in on a node or instance that is not up", slot);
  return std::nullopt;
}

violation check_hedge_row(const core_state& s, index slot) {
  const auto& hedge = s.requests[slot];
  if (!s.requests.holds(hedge.twin) || s.requests[hedge.twin].twin != slot
      || s.requests[hedge.twin].is_hedge)
    return of("a hedge is not the one that its request knows", slot);
  const auto& r = s.requests[hedge.twin];
  if (!is_out(r) || !is_out(hedge) || hedge.held.sequences == 0)
    return of("a hedge runs beside nothing, or holds nothing", slot);
  if (r.tokens > 0 || hedge.tokens > 0)
    return of("a hedge runs although one of both has brought a token", slot);
  if (r.instance == hedge.instance)
    return of("a hedge runs where the attempt beside it does", slot);
  if (hedge.attempt != r.issued || hedge.attempt <= r.attempt)
    return of("a hedge has another number than its request's latest", slot);
  if (s.dues.contains(slot))
    return of("a hedge has a deadline of its own", slot);
  return check_attempt(s, slot);
}

violation check_request_row(const core_state& s, index slot) {
  const auto& r = s.requests[slot];
  if (r.is_hedge)
    return check_hedge_row(s, slot);
  if (r.twin != none && (!s.requests.holds(r.twin) || !s.requests[r.twin].is_hedge))
    return of("a request's hedge is gone", slot);
  const auto found = s.request_ids.find(r.meta.id);
  if (found == s.request_ids.end() || found->second != slot)
    return of("a live request is not found by its id", slot);
  if (!s.dues.contains(slot))
    return of("a live request has no deadline armed", slot);
  if (s.dues.at(slot) > next_due(s, r))
    return of("a request's deadline is armed too late", slot);
  if (!is_out(r) && (r.stages[0].instance != none || r.stages[1].instance != none))
    return of("a request holds a stage without an attempt", slot);
  if (!is_out(r) && r.reserved_micros != 0)
    return of("a request holds a part of the budget without an attempt", slot);
  if (is_out(r) != (r.instance != none) || is_out(r) != (r.held.sequences != 0))
    return of("a request holds an endpoint without an attempt, or the reverse", slot);
  if (r.attempt > r.issued || r.issued > limits::attempts_total_max)
    return of("a request has more attempts than allowed", slot);
  const bool queued = s.models[r.model].queue.contains(lane_of(s, r), r.tenant, place_of(r));
  if (queued != (r.phase == request_phase::waiting))
    return of("a request's phase and its place in the queue disagree", slot);
  const auto& again = s.models[r.model].again;
  if ((queued && r.issued > 0) != (std::find(again.begin(), again.end(), slot) != again.end()))
    return of("a request that waits for another attempt is not listed as such", slot);
  return is_out(r) ? check_attempt(s, slot) : std::nullopt;
}

violation check_requests(const core_state& s) {
  std::size_t waiting = 0, live = 0, queued = 0, hedges = 0;
  for (index slot = 0; slot < s.requests.end(); ++slot) {
    if (!s.requests.holds(slot))
      continue;
    hedges += s.requests[slot].is_hedge ? 1 : 0;
    live += s.requests[slot].is_hedge ? 0 : 1;
    const auto phase = s.requests[slot].phase;
    waiting += phase == request_phase::waiting || phase == request_phase::parked ? 1 : 0;
    queued += s.requests[slot].phase == request_phase::waiting ? 1 : 0;
    if (auto bad = check_request_row(s, slot))
      return bad;
  }
  if (live != s.request_ids.size() || live != s.dues.size())
    return of("live requests, their ids and deadlines differ in number", live);
  if (hedges != s.hedges)
    return of("the count of hedges is wrong", s.hedges);
  if (waiting != s.waiting)
    return of("the count of waiting requests is wrong", s.waiting);
  for (index at = 0; at < s.models.end(); ++at)
    queued -= s.models[at].queue.size();
  if (queued != 0)
    return "queues hold other requests than those that wait";
  const auto& seen = s.counters;
  if (seen.submitted
      != seen.finished + seen.failed + seen.cancelled + seen.rejected + seen.expired + live)
    return "submitted requests are not all ended or live";
  return std::nullopt;
}

violation check_gateways(const core_state& s) {
  std::map<index, std::pair<std::uint32_t, std::uint32_t>> counted;
  std::size_t adopted = 0;
  for (index slot = 0; slot < s.requests.end(); ++slot) {
    if (!s.requests.holds(slot))
      continue;
    const auto& r = s.requests[slot];
    counted[r.gateway].first += r.is_hedge ? 0 : 1;
    counted[r.gateway].second += is_out(r) ? 1 : 0;
    if (r.phase == request_phase::waiting && unreachable(s, r))
      return of("a request waits for a ticket that cannot reach its gateway", slot);
    if (r.phase != request_phase::adopted)
      continue;
    ++adopted;
    if (s.instance_ids.contains(r.sought)
        && s.instances[s.instance_ids.at(r.sought)].state == instance_state::ready
        && s.instances[s.instance_ids.at(r.sought)].model == r.model
        && r.rank < s.instances[s.instance_ids.at(r.sought)].places.size())
      return of("an adopted request does not know that its instance is here", slot);
  }
  if (adopted != s.sought.size())
    return of("adopted requests and the instances they seek differ in number", adopted);
  if (counted.size() != s.gateway_ids.size() || counted.size() != s.gateways.live())
    return "a gateway without requests is remembered, or the reverse";
  for (const auto& [id, at] : s.gateway_ids)
    if (s.gateways[at].requests != counted[at].first
        || s.gateways[at].running != counted[at].second)
      return of("a gateway counts its requests wrongly", id.value);
  return std::nullopt;
}

violation check_endpoint(const core_state& s, const model_state& model, index place) {
  const auto& at = model.endpoints.at(place);
  const auto& instance = s.instances[at.instance];
  if (at.rank >= instance.places.size() || instance.places[at.rank] != place)
    return of("an endpoint is not where its instance says", place);
  reservation sum;
  std::uint32_t batch = 0, reading = 0, staged = 0;
  for (const auto slot : instance.attempts) {
    const auto& r = s.requests[slot];
    if (r.rank != at.rank)
      continue;
    if (r.place != place || r.pair != at.pair)
      return of("an attempt is not where its endpoint is", place);
    sum.sequences += r.held.sequences;
    batch += r.meta.priority == priority_class::batch ? r.held.sequences : 0;
    sum.kv_tokens += r.held.kv_tokens;
    sum.work_ns += r.held.work_ns;
    sum.prefill_ns += r.held.prefill_ns;
    reading += r.held.prefill_ns != 0 ? 1 : 0;
  }
  if (at.rank == 0)
    for (const auto slot : instance.staged)
      for (const auto& hold : s.requests[slot].stages) {
        if (hold.instance != at.instance)
          continue;
        staged += hold.held.sequences;
        sum.kv_tokens += hold.held.kv_tokens;
        sum.work_ns += hold.held.work_ns;
        sum.prefill_ns += hold.held.prefill_ns;
        reading += hold.held.prefill_ns != 0 ? 1 : 0;
      }
  sum.sequences += staged;
  if (staged != at.seq_staged)
    return of("an endpoint counts otherwise what it does for plans", instance.id.value);
  if (sum.sequences != at.seq_used || sum.kv_tokens != at.kv_used || sum.work_ns != at.work_ns
      || sum.prefill_ns != at.prefill_ahead_ns || reading != at.reading || batch != at.batch_used)
    return of("an endpoint's ledger differs from its attempts", instance.id.value);
  const bool open = instance.state == instance_state::ready && !instance.retiring
                    && s.pairs[at.pair].admits() && !at.shut
                    && std::all_of(instance.devices.begin(), instance.devices.end(),
                                   [&](index device) { return takes_work(s, device); })
                    && (!at.plan
                        || (at.whole() && model.endpoints.at(at.reads_at).open
                            && model.endpoints.at(at.writes_at).open));
  if (open != at.open || (model.endpoints.room(place).seq_free >= 0) != open)
    return of("an endpoint is open when it should not be, or the reverse", instance.id.value);
  return std::nullopt;
}

/// Both sides of what plans hold of an instance.
violation check_staged(const core_state& s, index at) {
  const auto& one = s.instances[at];
  for (index listed = 0; listed < one.staged.size(); ++listed) {
    const auto slot = one.staged[listed];
    if (!s.requests.holds(slot) || s.requests[slot].instance == none)
      return of("a stage is held by a request without an attempt", one.id.value);
    const auto& holds = s.requests[slot].stages;
    if (std::none_of(holds.begin(), holds.end(), [&](const stage_hold& hold) {
          return hold.instance == at && hold.listed == listed;
        }))
      return of("a stage lists an attempt that holds nothing there", one.id.value);
  }
  return std::nullopt;
}

violation check_order(const core_state& s, const std::vector<index>& instances) {
  const auto turned
      = std::adjacent_find(instances.begin(), instances.end(), [&](index one, index next) {
          return s.instances[next].id <= s.instances[one].id;
        });
  if (turned != instances.end())
    return of("a model lists an instance out of order", s.instances[*turned].id.value);
  return std::nullopt;
}

violation check_instances(const core_state& s) {
  if (s.instance_ids.size() != s.instances.live())
    return "instances and their ids differ in number";
  for (const auto& [id, at] : s.instance_ids) {
    const auto& one = s.instances[at];
    const auto grant = s.allocations.find(one.grant);
    if (one.id != id || grant == s.allocations.end() || grant->second.grant.owner_instance != id)
      return of("an instance has no allocation of its own", id.value);
    const bool reserving = grant->second.grant.state == allocation_state::reserving;
    if (reserving != (one.state == instance_state::reserving))
      return of("an instance and its allocation are in different phases", id.value);
    if (grant->second.grant.shares.size() != one.devices.size())
      return of("an instance holds other devices than its allocation", id.value);
    for (const auto device : one.devices)
      if (!s.devices[device].present || !s.nodes[s.devices[device].node].alive)
        return of("an instance is believed in on a device that is gone", id.value);
    if (auto bad = check_staged(s, at))
      return bad;
    if (one.retiring && one.state == instance_state::ready && one.idle())
      return of("an instance should have been unloaded", id.value);
  }
  for (index at = 0; at < s.models.end(); ++at) {
    if (auto bad = check_order(s, s.models[at].instances))
      return bad;
    for (index place = 0; place < s.models[at].endpoints.size(); ++place)
      if (auto bad = s.models[at].endpoints.used(place) ? check_endpoint(s, s.models[at], place)
                                                        : std::nullopt)
        return bad;
  }
  return std::nullopt;
}

violation check_device_ledger(const core_state& s) {
  struct sums {
    std::uint64_t bytes = 0;
    std::uint32_t allocations = 0, whole = 0;
  };
  std::map<device_id, sums> promised;
  for (const auto& [id, entry] : s.allocations) {
    for (const auto& share : entry.grant.shares) {
      auto& sum = promised[share.device];
      ++sum.allocations;
      sum.whole += share.whole ? 1 : 0;
      sum.bytes += share.whole ? 0 : share.memory_bytes;
    }
    for (const auto& member : entry.members)
      if (!believed(s, member.node, member.life))
        return of("an allocation has a member that is gone", id.value);
    const bool owned = entry.grant.owner_compile
                           ? s.compiles.contains(entry.grant.owner_compile)
                           : s.instance_ids.contains(entry.grant.owner_instance);
    if (!owned)
      return of("an allocation has no owner", id.value);
  }
  for (const auto& [name, at] : s.device_names) {
    const auto& one = s.devices[at];
    const auto& sum = promised[one.spec.id];
    if (sum.bytes != one.promised_bytes || sum.allocations != one.allocations
        || sum.whole != one.whole)
      return "the ledger of " + name + " differs from its allocations";
    if (one.whole > 1 || (one.whole == 1 && one.allocations > 1))
      return name + " is held whole and by others";
  }
  return std::nullopt;
}

violation check_artifacts(const core_state& s) {
  std::map<index, std::uint32_t> builds;
  std::map<index, std::uint32_t> by_node;
  for (const auto& [id, build] : s.compiles) {
    if (++builds[build.artifact] > 1)
      return of("an artifact is built twice at once", id.value);
    if (s.artifacts[build.artifact].building != id)
      return of("a compile is not the one its artifact knows", id.value);
    if (!believed(s, build.node, build.life))
      return of("a compile is believed in on a node that is gone", id.value);
    ++by_node[build.node];
  }
  for (const auto& [key, at] : s.artifact_keys) {
    const auto& one = s.artifacts[at];
    if (one.building && !s.compiles.contains(one.building))
      return "artifact " + key.profile.name + " waits for a build that is gone";
    for (const auto& copy : one.copies)
      if (!s.nodes[copy.node].alive)
        return "artifact " + key.profile.name + " is believed to be on a node that is gone";
  }
  for (const auto& [name, at] : s.node_names)
    if (s.nodes[at].compiles != by_node[at] || s.nodes[at].compiles > limits::compiles_per_node_max)
      return "node " + name + " counts its compiles wrongly";
  return std::nullopt;
}

violation check_leases(const core_state& s) {
  for (const auto& [name, at] : s.node_names) {
    const auto& one = s.nodes[at];
    if (one.alive && one.lease_until <= s.now)
      return "node " + name + " is believed alive beyond its lease";
    if (one.lease_epoch.value > s.next_epoch)
      return "node " + name + " has an epoch that was never given out";
  }
  if (!s.timers.empty() && s.timers.first().at <= s.now)
    return "a timer that is due did not fire";
  if (const auto first = s.dues.first(); first && first->at <= s.now)
    return of("a request that is due was not looked at", first->who);
  return std::nullopt;
}

violation check_tenants(const core_state& s) {
  std::vector<std::pair<std::uint32_t, std::uint32_t>> counted(s.tenants.size());
  std::vector<std::uint32_t> batch(s.models.end(), 0);
  for (index slot = 0; slot < s.requests.end(); ++slot) {
    if (!s.requests.holds(slot))
      continue;
    const auto& r = s.requests[slot];
    counted[r.tenant].first += r.is_hedge ? 0 : 1;
    counted[r.tenant].second
        += r.phase == request_phase::waiting || r.phase == request_phase::parked ? 1 : 0;
    batch[r.model] += is_out(r) && r.meta.priority == priority_class::batch ? 1 : 0;
  }
  for (index at = 0; at < s.tenants.size(); ++at)
    if (s.tenants[at].live != counted[at].first || s.tenants[at].waiting != counted[at].second)
      return of("a tenant counts its requests wrongly", at);
  for (index at = 0; at < s.models.end(); ++at)
    if (s.models[at].batch_running != batch[at])
      return of("a model counts its batch work wrongly", at);
  return std::nullopt;
}

violation check_selectors(const core_state& s) {
  std::vector<std::uint32_t> users(s.selectors.end(), 0);
  for (index slot = 0; slot < s.requests.end(); ++slot)
    if (s.requests.holds(slot) && !s.requests[slot].is_hedge)
      ++users[s.requests[slot].selector];
  for (index at = 0; at < s.selectors.end(); ++at)
    if (s.selectors.holds(at) && s.selectors[at].users != users[at])
      return of("a selector counts its users wrongly", at);
  return std::nullopt;
}

} // namespace

std::optional<std::string> violation_of(const core_state& s) {
  for (const auto check : {check_requests, check_gateways, check_instances, check_device_ledger,
                           check_artifacts, check_leases, check_selectors, check_tenants})
    if (auto bad = check(s))
      return bad;
  return std::nullopt;
}

} // namespace consort::core
