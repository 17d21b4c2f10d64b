// SPDX-License-Identifier: Apache-2.0
// The snapshot that operators see, in order of id.
#include "scheduler/modules.hpp"

#include <algorithm>

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

void view_nodes(const core_state& s, time_us now, snapshot& into) {
  for (const auto& [name, at] : s.node_names) {
    const auto& one = s.nodes[at];
    into.nodes.push_back({one.id, one.life, one.alive, one.draining, one.lease_epoch,
                          one.alive ? std::max<duration_us>(one.lease_until - now, 0) : 0,
                          one.data_address, one.toolchains, one.attributes});
  }
}

std::string breaker_word(const core_state& s, index device) {
  auto worst = breaker_state::closed;
  for (const auto& [name, model] : s.model_names) {
    const auto pair = s.models[model].pairs.find(device);
    if (pair != s.models[model].pairs.end())
      worst = s.pairs[pair->second].fuse.state() == breaker_state::closed
                  ? worst
                  : s.pairs[pair->second].fuse.state();
  }
  return std::string(word(worst));
}

void view_devices(const core_state& s, snapshot& into) {
  for (const auto& [name, at] : s.device_names) {
    const auto& one = s.devices[at];
    device_view view;
    view.spec = one.spec;
    view.reading = one.reading;
    view.alive = one.present && s.nodes[one.node].alive;
    view.draining = one.draining || s.nodes[one.node].draining;
    view.breaker = breaker_word(s, at);
    for (const auto instance : one.instances) {
      const auto& running = s.instances[instance];
      if (running.devices.front() == at)
        view.running += static_cast<std::uint32_t>(running.attempts.size());
      if (running.state == instance_state::ready)
        view.loaded.push_back(s.models[running.model].spec.name);
    }
    std::sort(view.loaded.begin(), view.loaded.end());
    into.devices.push_back(std::move(view));
  }
}

void view_replicas(const core_state& s, snapshot& into) {
  for (const auto& [id, at] : s.instance_ids) {
    const auto& one = s.instances[at];
    const auto& model = s.models[one.model];
    replica_view view;
    view.instance = id;
    view.model = model.spec.name;
    view.leader = s.devices[one.devices.front()].spec.id;
    for (const auto device : one.devices)
      view.devices.push_back(s.devices[device].spec.id);
    view.state = state_word(one.state);
    view.running = static_cast<std::uint32_t>(one.attempts.size());
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
    }
    into.replicas.push_back(std::move(view));
  }
}

void view_models(const core_state& s, snapshot& into) {
  for (const auto& [name, at] : s.model_names) {
    const auto& one = s.models[at];
    if (one.removed || one.spec.name.value != name)
      continue;
    model_view view;
    view.spec = one.spec;
    view.waiting = static_cast<std::uint32_t>(one.queue.size());
    for (const auto instance : one.instances) {
      const auto state = s.instances[instance].state;
      view.replicas_ready += state == instance_state::ready ? 1 : 0;
      view.replicas_loading
          += state == instance_state::reserving || state == instance_state::loading ? 1 : 0;
    }
    into.models.push_back(std::move(view));
  }
}

void view_artifacts(const core_state& s, time_us now, snapshot& into) {
  for (const auto& [key, at] : s.artifact_keys) {
    const auto& one = s.artifacts[at];
    artifact_view view;
    view.key = key;
    if (one.model != none)
      view.model = s.models[one.model].spec.name;
    view.state = state_of(one, now);
    view.builds = one.builds;
    view.last_error = one.last_error;
    for (const auto& copy : one.copies)
      view.nodes.push_back(s.nodes[copy.node].id);
    if (!one.copies.empty()) {
      view.content = one.copies.front().record.content;
      view.size_bytes = one.copies.front().record.size_bytes;
      view.quality = one.copies.front().record.quality;
    }
    if (one.building) {
      const auto& build = s.compiles.at(one.building);
      view.nodes.push_back(s.nodes[build.node].id);
      view.done_pm = build.done_pm;
      view.eta_us = build_left(s, build, now);
    }
    std::sort(view.nodes.begin(), view.nodes.end());
    into.artifacts.push_back(std::move(view));
  }
}

void view_requests(const core_state& s, time_us now, snapshot& into) {
  std::vector<std::pair<std::uint64_t, index>> live;
  for (index slot = 0; slot < s.requests.end(); ++slot)
    if (s.requests.holds(slot))
      live.emplace_back(s.requests[slot].sequence, slot);
  const auto shown = std::min(live.size(), limits::snapshot_requests_max);
  std::partial_sort(live.begin(), live.begin() + static_cast<std::ptrdiff_t>(shown), live.end());
  for (std::size_t at = 0; at < shown; ++at)
    into.requests.push_back(view_request(s, live[at].second, now));
}

} // namespace

request_view view_request(const core_state& s, index slot, time_us now) {
  const auto& r = s.requests[slot];
  request_view view;
  view.id = r.meta.id;
  view.external_id = cut(r.meta.external_id);
  view.model = s.models[r.model].spec.name;
  const bool running = r.phase == request_phase::ticketed || r.phase == request_phase::running;
  view.state = running ? "running" : r.told == nullptr ? "queued" : r.told;
  if (running)
    view.device = s.devices[r.last_device].spec.id;
  view.attempts = r.attempt;
  view.age_us = std::max<duration_us>(now - r.submitted_at, 0);
  return view;
}

snapshot view_all(const core_state& s, time_us now) {
  snapshot all;
  all.cluster = s.config.cluster;
  all.now = now;
  all.policy = profile_name(s.config.policy);
  view_nodes(s, now, all);
  view_devices(s, all);
  view_replicas(s, all);
  view_models(s, all);
  view_artifacts(s, now, all);
  view_requests(s, now, all);
  all.queue_depth = s.waiting;
  all.queue_depth_max = s.waiting_max;
  all.counters = s.counters;
  return all;
}

} // namespace consort::core
