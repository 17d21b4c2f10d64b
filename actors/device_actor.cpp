// SPDX-License-Identifier: Apache-2.0
#include "actors/caf_compat.hpp"
#include "actors/limits.hpp"
#include "actors/node_actors.hpp"
#include "node/energy_book.hpp"
#include "node/unfit_engine.hpp"
#include "scheduler/formats.hpp"
#include "scheduler/weights.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <tuple>
#include <utility>

namespace consort::actors {

device_state::device_state(caf::event_based_actor* self, node::agent* agent, device_spec device,
                           incarnation life, caf::actor door, bool disk)
    : self_(self),
      agent_(agent),
      device_(std::move(device)),
      life_(life),
      door_(std::move(door)),
      disk_(disk),
      meter_(device_.spec.cost_micros_per_hour) {
  // Its meter begins at 0, of which what was charged before is no part.
  agent_->attempts().forget_charges(device_.id);
}

device_state::~device_state() {
  unload_all();
}

caf::behavior device_state::make_behavior() {
  return {
      [this](const device_order& order) { obey(order.what); },
      [this](const device_described& now) { describe(now.spec); },
      [this](inventory_wanted) { tell_inventory(); },
      [this](const load_prepared& ready) { prepared(ready); },
      [this](const session_opened& outcome) { opened(outcome); },
      [this](const session_died& death) { died(death); },
      [this](const cache_kept& kept) {
        tell(core::artifact_found{kept.record, life_});
      },
      [this](const device_sample& read) { sample(read); },
  };
}

void device_state::obey(const core::command& what) {
  if (const auto* wanted = std::get_if<core::load_replica>(&what))
    load(*wanted);
  else if (const auto* unwanted = std::get_if<core::unload_replica>(&what))
    unload(unwanted->instance);
  else if (std::holds_alternative<core::fence_node>(what))
    unload_all();
}

void device_state::load(const core::load_replica& wanted) {
  if (instances_.contains(wanted.instance))
    return;
  auto& entry = instances_[wanted.instance];
  entry.order = wanted;
  entry.began_at = agent_->options().steady();
  for (const auto* held : {&wanted.artifact, &wanted.cache})
    if (*held)
      entry.pins.push_back(agent_->store().pin((*held)->content));
  entry.runtime = agent_->plugins().runtime_of(device_.id, wanted.variant.format,
                                               wanted.artifact ? wanted.artifact->key.profile.name
                                                               : std::string());
  std::optional<node::cache_order> cache;
  if (entry.runtime && entry.runtime->cache_bytes_max() > 0)
    cache = {cache_key_of(wanted), entry.runtime->cache_bytes_max(), wanted.cache};
  on_disk([agent = agent_, self = caf::actor_cast<caf::actor>(self_), wanted,
           cache = std::move(cache)] {
    post_from_outside(
        self, load_prepared{wanted.instance, std::make_shared<const result<node::prepared_load>>(
                                                 agent->prepare(wanted, cache))});
  });
}

/// What its server compiles at its start, as the core knows it; nothing when that is not kept.
std::optional<artifact_key> device_state::cache_key_of(const core::load_replica& wanted) const {
  if (wanted.artifact && !core::is_weights(wanted.artifact->key.profile))
    return std::nullopt;
  for (const auto& one : device_.capability.caches)
    if (core::runs_format(one.reads, wanted.variant.format))
      return cache_key(wanted.variant, one.profile,
                       static_cast<std::uint32_t>(wanted.grant.shares.size()));
  return std::nullopt;
}

/// Reads gigabytes: not while readings and cancels wait.
void device_state::on_disk(std::function<void()> work) {
  disk_ ? agent_->on_disk(std::move(work)) : work();
}

void device_state::prepared(const load_prepared& ready) {
  const auto at = instances_.find(ready.instance);
  if (at == instances_.end())
    return; // Unloaded meanwhile.
  auto& entry = at->second;
  const auto& wanted = entry.order;
  const auto self = caf::actor_cast<caf::actor>(self_);
  const auto refuse = [&](const error& failure) {
    post(self_, self, session_opened{wanted.instance, nullptr, failure});
  };
  const auto& found = *ready.found;
  if (!found) {
    if (wanted.artifact
        && (found.failure().code == "artifact_corrupt"
            || found.failure().code == "artifact_missing"))
      tell(core::artifact_lost{wanted.artifact->key, wanted.artifact->content, device_.node, life_,
                               found.failure().message});
    return refuse(found.failure());
  }
  if (entry.runtime == nullptr)
    return refuse(
        {recovery::refuse, "no_runtime", device_.id.value + ": its plugin brings no runtime"});
  if (const auto known = unused_by_.find(entry.runtime.get()); known != unused_by_.end())
    return refuse(known->second);
  entry.cache = found->cache;
  const auto request = request_for(wanted, *found);
  entry.opening = true;
  entry.runtime->open(
      request,
      [self, instance = wanted.instance](result<std::shared_ptr<node::runtime_session>> outcome) {
        post_from_outside(self, outcome ? session_opened{instance, *outcome, {}}
                                        : session_opened{instance, nullptr, outcome.failure()});
      },
      [self, instance = wanted.instance](const error& failure) {
        post_from_outside(self, session_died{instance, failure});
      });
}

node::session_request device_state::request_for(const core::load_replica& wanted,
                                                const node::prepared_load& found) const {
  node::session_request request{wanted.instance, device_,    wanted.model,
                                wanted.variant,  found.path, wanted.variant.context_tokens};
  request.place
      = node::place_of(wanted.grant, agent_->plugins().devices(), wanted.rank, wanted.ranks);
  for (const auto& share : wanted.grant.shares)
    if (share.device == device_.id && !share.whole)
      request.memory_bytes = share.memory_bytes;
  request.weights_path = found.weights_path;
  request.adapters = found.adapters;
  if (found.cache)
    request.cache_path = found.cache->path();
  return request;
}

/// What its server has compiled is there once it is ready.
void device_state::keep_cache(const std::shared_ptr<node::server_cache>& cache) {
  on_disk([self = caf::actor_cast<caf::actor>(self_), cache, device = device_.id] {
    auto kept = cache->keep();
    if (!kept)
      spdlog::warn("{}: what its server compiled is not kept: {}", device.value,
                   kept.failure().message);
    else if (*kept)
      post_from_outside(self, cache_kept{**kept});
  });
}

void device_state::opened(const session_opened& outcome) {
  const auto found = instances_.find(outcome.instance);
  if (found == instances_.end())
    return; // Unloaded while it was loading: the session ends with this message.
  const auto load_us = agent_->options().steady() - found->second.began_at;
  if (found->second.order.artifact)
    agent_->store().note_load(found->second.order.artifact->content, device_.id.value, load_us,
                              outcome.session ? "" : outcome.failure.message);
  if (!outcome.session) {
    const auto artifact = found->second.order.artifact;
    instances_.erase(found);
    if (artifact && node::unfit_engine(*artifact, outcome.failure))
      drop(*artifact, outcome.failure.message);
    return tell(core::replica_failed{outcome.instance, life_, outcome.failure});
  }
  found->second.session = outcome.session;
  if (found->second.cache && found->second.order.rank == 0)
    keep_cache(found->second.cache);
  if (found->second.order.rank != 0) { // Its leader takes the requests, and says that all is well.
    if (found->second.untold)
      tell(inventory_of(outcome.instance, found->second));
    return;
  }
  const auto& grant = found->second.order.grant;
  agent_->attempts().attach(outcome.instance, outcome.session, device_.id,
                            node::meters_of(grant, agent_->plugins().devices()));
  if (found->second.untold) // Ordered by a scheduler that another may have replaced.
    return tell(inventory_of(outcome.instance, found->second));
  core::replica_loaded ready;
  ready.instance = outcome.instance;
  ready.life = life_;
  ready.endpoints.push_back(outcome.session->stats().capacity);
  ready.runtime = outcome.session->capabilities();
  ready.load_us = load_us;
  tell(std::move(ready));
}

/// The engine will not have it: it is built anew, once, as any artifact that went bad.
void device_state::drop(const artifact_record& artifact, const std::string& why) {
  const auto& named = device_.capability.build_profiles;
  // An older engine that stood in for another fits its own version still.
  if (!core::is_weights(artifact.key.profile)
      && std::none_of(named.begin(), named.end(),
                      [&](const runnable_build& by) { return by.profile == artifact.key.profile; }))
    return;
  if (const auto gone = agent_->store().forget(artifact.content, artifact.key); !gone)
    spdlog::warn("{}: artifact {} stays: {}", device_.id.value, artifact.content.value,
                 gone.failure().message);
  else
    tell(core::artifact_lost{artifact.key, artifact.content, device_.node, life_, why});
}

void device_state::died(const session_died& death) {
  agent_->attempts().detach(death.instance);
  if (instances_.erase(death.instance) > 0)
    tell(core::replica_failed{death.instance, life_, death.failure});
}

void device_state::unload(instance_id instance) {
  agent_->attempts().detach(instance);
  stop_loading(instance);
  if (instances_.erase(instance) > 0)
    tell(core::replica_unloaded{instance, life_});
}

core::replica_found device_state::inventory_of(instance_id instance, const loaded& what) const {
  core::replica_found found;
  found.instance = instance;
  found.node = device_.node;
  found.life = life_;
  found.grant = what.order.grant;
  found.model = what.order.model;
  found.weights = what.order.variant.content;
  if (what.order.artifact)
    found.artifact = what.order.artifact->content;
  found.endpoints.push_back(what.session->stats().capacity);
  found.runtime = what.session->capabilities();
  found.adapters = what.order.variant.adapters;
  return found;
}

void device_state::tell_inventory() {
  for (auto& [instance, what] : instances_)
    if (what.session)
      tell(inventory_of(instance, what));
    else
      what.untold = true;
}

void device_state::unload_all() {
  for (const auto& [instance, held] : instances_) {
    agent_->attempts().detach(instance);
    stop_loading(instance);
  }
  instances_.clear();
}

/// Nobody holds a session of it yet, whose end would be its end.
void device_state::stop_loading(instance_id instance) {
  const auto found = instances_.find(instance);
  if (found != instances_.end() && found->second.opening && !found->second.session)
    found->second.runtime->abandon(instance);
}

/// The plugins were read again: whatever was wrong with an engine may be mended.
void device_state::describe(const device_spec& now) {
  device_ = now;
  unused_by_.clear();
}

std::set<instance_id> device_state::open_instances() const {
  std::set<instance_id> open;
  for (const auto& [instance, held] : instances_)
    if (held.session)
      open.insert(instance);
  return open;
}

/// What runs here does not run on the device: it is ended, and its engine is not tried again. Those
/// of whom nothing is asked at the moment are not known to be at fault.
void device_state::expose() {
  const error why{recovery::retry_elsewhere, "device_unused",
                  device_.id.value
                      + ": its engine generates, and the device does nothing: the "
                        "engine computes elsewhere. Mend its driver or its back-end, "
                        "then send SIGHUP"};
  std::vector<instance_id> ended;
  for (const auto& [instance, held] : instances_)
    if (held.session && held.session->stats().sequences_running > 0) {
      unused_by_.emplace(held.runtime.get(), why);
      ended.push_back(instance);
    }
  if (!ended.empty()) // Their last answer may have ended just now.
    spdlog::error("{}", why.message);
  for (const auto instance : ended)
    died({instance, why});
}

namespace {

/// A vendor's words may be anything; what the wire would refuse would cost the whole report.
std::string clean_reason(std::string text) {
  text.resize(std::min(text.size(), limits::health_reason_bytes_max));
  for (auto& c : text)
    if (c < ' ' || c > '~')
      c = '?';
  return text;
}

} // namespace

/// Which server of a stage is given up, by one of its instances, in words; empty = none is.
std::string device_state::missed_stage() const {
  for (const auto& [instance, held] : instances_)
    if (const auto now = held.session ? held.session->stats() : node::session_stats{};
        now.stage_given_up)
      return now.stage_missed;
  return {};
}

/// Only a reading says how the device is: while none came it is as it was.
void device_state::judge(device_reading& reading, bool known) {
  if (known)
    read_ = {reading.health, clean_reason(reading.health_reason)};
  std::tie(reading.health, reading.health_reason) = read_;
  if (!unused_by_.empty() && reading.health == device_health::healthy) {
    reading.health = device_health::degraded;
    reading.health_reason = unused_by_.begin()->second.message;
  }
  if (const auto missed = missed_stage();
      !missed.empty() && reading.health == device_health::healthy) {
    reading.health = device_health::degraded;
    reading.health_reason = clean_reason(missed);
  }
  const auto before = std::exchange(logged_, {reading.health, reading.health_reason});
  if (before.first == reading.health && before.second.empty() == reading.health_reason.empty())
    return;
  if (!reading.health_reason.empty())
    spdlog::warn("node: {}: {}", device_.id.value, reading.health_reason);
  else if (reading.health == device_health::healthy)
    spdlog::info("node: {}: a reading says that it is well", device_.id.value);
}

void device_state::sample(const device_sample& read) {
  core::device_reported report;
  report.device = device_.id;
  report.life = life_;
  report.reading = read.reading;
  count_into(report.reading);
  // Readings of what is simulated are made up.
  if (read.fresh && !device_.simulated
      && use_.look(agent_->options().steady(), report.reading.engine.value_or(engine_counters{}),
                   read.reading, device_.spec.idle_mw, open_instances()))
    expose();
  judge(report.reading, read.known);
  report.running = agent_->attempts().running(device_.id);
  for (const auto& [instance, held] : instances_)
    if (held.session && held.order.rank == 0)
      report.endpoints.emplace_back(instance, held.session->stats().capacity);
  tell(std::move(report));
}

/// Adds what the device itself cannot tell.
void device_state::count_into(device_reading& reading) {
  const auto now = agent_->options().steady();
  // No board draws nothing: one that says so could not be read.
  const bool powered = reading.power_mw.value_or(0) > 0;
  meter_.pass(now - metered_at_.value_or(now), powered ? reading.power_mw : std::nullopt);
  metered_at_ = now;
  std::map<instance_id, node::session_stats> engines;
  for (const auto& [instance, held] : instances_)
    if (held.session)
      engines.emplace(instance, held.session->stats());
  meter_.count(std::move(engines));
  reading.engine = meter_.engines();
  reading.cost_micros = meter_.cost_micros();
  // One counter is not followed by another: a device that counts is silent while it is not read.
  counts_energy_ = counts_energy_ || reading.energy_mj;
  // So is one whose counter is made of its power, which stands still meanwhile.
  if (!counts_energy_ && powered)
    reading.energy_mj = meter_.energy_mj();
  else if (!counts_energy_)
    agent_->attempts().skip_charge(device_.id);
  agent_->attempts().charge(device_, reading);
}

void device_state::tell(core::event happened) {
  post(self_, door_, device_news{std::move(happened)});
}

} // namespace consort::actors
