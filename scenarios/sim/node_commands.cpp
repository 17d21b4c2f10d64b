// SPDX-License-Identifier: Apache-2.0
// What a simulated node does about each command of the core.
#include "scenarios/sim/node_state.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <cstdio>
#include <numeric>
#include <utility>

namespace consort::sim {

namespace {

/// Bytes per second between two stores.
constexpr double transfer_bytes_per_s = 100e6;
/// Per mille at which a compiler says how far it is.
constexpr std::array<std::uint32_t, 3> progress_marks{250, 500, 750};

std::string_view node_of(const device_share& share) {
  return std::string_view(share.device.value).substr(0, share.device.value.find('/'));
}

/// Bytes of weights that a node loads of an instance: those of its own devices.
std::uint64_t part_of(const allocation& grant, const std::string& node,
                      const model_variant& variant) {
  const auto own = std::count_if(grant.shares.begin(), grant.shares.end(),
                                 [&](const auto& share) { return node_of(share) == node; });
  return variant.weight_bytes * static_cast<std::uint64_t>(own) / grant.shares.size();
}

/// A stand-in for SHA-256: 64 hex digits that depend on the key alone.
digest content_of(const artifact_key& key) {
  std::string text;
  auto state = fold(fold(fold_start, key.binds), key.profile.name);
  state = fold(fold(state, key.profile.target), key.profile.compiler_version);
  for (int part = 0; part < 4; ++part) {
    state = core::mix(state);
    std::array<char, 17> digits{};
    std::snprintf(digits.data(), digits.size(), "%016llx", static_cast<unsigned long long>(state));
    text += digits.data();
  }
  return digest(text);
}

} // namespace

void node_model::obey(const core::command& wanted) {
  std::visit(
      [this](const auto& body) {
        if constexpr (requires { this->on(body); })
          on(body);
      },
      wanted);
}

void node_model::on(const core::grant_lease& granted) {
  // A grant to an earlier life, late on the wire, must not revive its epoch.
  if (granted.life != life_)
    return;
  greeted_ = true;
  lease_epoch_ = granted.lease_epoch;
  lease_until_ = granted.until;
}

/// Drops everything and says hello under a new incarnation; clients' streams break.
void node_model::on(const core::fence_node& fenced) {
  if (fenced.life != life_)
    return;
  for (const auto& [attempt, stream] : streams_)
    world_.links.close(at_, gateway_address, stream);
  drop_all_work();
  say_hello();
}

std::optional<std::string> node_model::why_not(const allocation& grant) const {
  for (const auto& share : grant.shares) {
    const auto found = std::find_if(devices_.begin(), devices_.end(),
                                    [&](const device& one) { return one.spec.id == share.device; });
    if (found == devices_.end())
      continue; // Another node's share.
    if (found->out_of_memory)
      return share.device.value + " has no memory left: somebody else uses it";
    // The node has the last word on its memory: it counts every share it holds.
    std::uint64_t used = share.whole ? found->spec.memory_bytes : share.memory_bytes;
    for (const auto& [id, held] : allocations_)
      for (const auto& other : held.shares)
        if (other.device == share.device && id != grant.id)
          used += other.whole ? found->spec.memory_bytes : other.memory_bytes;
    if (used > found->spec.memory_bytes)
      return share.device.value + " has not enough memory left";
  }
  return std::nullopt;
}

void node_model::on(const core::reserve_allocation& wanted) {
  const auto& grant = wanted.grant;
  const node_id me(description_.name);
  if (const auto reason = why_not(grant)) {
    tell(core::allocation_refused{
        grant.id, me, life_, grant.fence, {recovery::retry_elsewhere, "no_memory", *reason}});
    return;
  }
  allocations_[grant.id] = grant;
  tell(core::allocation_reserved{grant.id, me, life_, grant.fence});
}

void node_model::on(const core::release_allocation& released) {
  allocations_.erase(released.allocation);
}

void node_model::on(const core::load_replica& wanted) {
  // An order that was repeated because its link dropped.
  if (loading_.count(wanted.instance) != 0 || instances_.count(wanted.instance) != 0)
    return;
  const auto fail = [&](recovery action, const char* code, const std::string& why) {
    tell(core::replica_failed{wanted.instance, life_, {action, code, why}});
  };
  if (allocations_.count(wanted.grant.id) == 0)
    return fail(recovery::retry_later, "no_allocation", "the allocation is not held here");
  if (wanted.artifact && !verify(wanted.artifact->content))
    return fail(recovery::retry_later, "no_artifact",
                "this store has no good copy of the artifact");
  const auto& shares = wanted.grant.shares;
  const auto mine = std::find_if(shares.begin(), shares.end(), [this](const device_share& share) {
    return node_of(share) == description_.name;
  });
  assert(mine != shares.end());
  const auto& own = device_of(mine->device);
  loading_[wanted.instance] = wanted.grant;
  keep_awake(wanted.grant);
  const auto alone_us
      = load_us_of(*own.model, part_of(wanted.grant, description_.name, wanted.variant));
  const auto load_us = static_cast<duration_us>(static_cast<double>(alone_us) * own.slowness);
  after(load_us, [this, wanted, load_us] {
    // Of other ranks the work is the leader's model's affair.
    if (wanted.rank == 0)
      return finish_load(wanted, load_us);
    loading_.erase(wanted.instance);
    keep_awake(wanted.grant);
  });
}

void node_model::keep_awake(const allocation& grant) {
  const auto now = world_.heap.now();
  for (auto& one : devices_)
    for (const auto& share : grant.shares)
      if (share.device == one.spec.id)
        one.busy_at = now;
}

/// The devices of a grant as one: those of a node split each layer, nodes follow each other.
device_model_ptr node_model::joined_devices(const allocation& grant) const {
  const auto& leader = grant.shares.front();
  const auto found = std::find_if(devices_.begin(), devices_.end(),
                                  [&](const device& one) { return one.spec.id == leader.device; });
  if (grant.shares.size() == 1)
    return found->model;
  std::set<std::string_view> nodes;
  for (const auto& share : grant.shares)
    nodes.insert(node_of(share));
  auto made = *found->model;
  const auto count = static_cast<std::uint32_t>(grant.shares.size());
  made.group.pp *= static_cast<std::uint32_t>(nodes.size());
  made.group.tp *= count / static_cast<std::uint32_t>(nodes.size());
  made.memory_bytes *= count;
  made.tdp_mw *= count;
  made.idle_mw *= count;
  return std::make_shared<const device_model>(std::move(made));
}

engine::callbacks node_model::engine_calls(const device_id& leader) {
  engine::callbacks calls;
  calls.now = [this] { return world_.heap.now(); };
  calls.after = [this](duration_us delay, engine_action what) { after(delay, std::move(what)); };
  calls.on_tokens = [this](const attempt_id& attempt, std::uint32_t first, std::uint32_t count) {
    const auto found = streams_.find(attempt);
    if (found == streams_.end())
      return;
    attempt_tokens made{0, "w ", std::vector<std::int32_t>(count), {}};
    std::iota(made.token_ids.begin(), made.token_ids.end(), static_cast<std::int32_t>(first));
    send_event(found->second, std::move(made));
  };
  if (world_.delivery == token_delivery::gathered)
    calls.on_gaps = [this](duration_us gap, std::uint64_t count) {
      world_.watchers.each([&](observer& watcher) { watcher.on_gaps(gap, count); });
    };
  calls.on_widest = [this](const device_model& on, std::uint32_t sequences, std::uint32_t tokens) {
    world_.watchers.each([&](observer& watcher) { watcher.on_widest(on, sequences, tokens); });
  };
  calls.on_energy = [this, leader](double mj) { device_of(leader).energy_mj += mj; };
  calls.on_finished = [this, leader](const engine_sequence& done) {
    auto& served_by = device_of(leader);
    auto drawn_uj = served_by.split.end(done.attempt, world_.heap.now());
    if (hand_on(done, drawn_uj))
      return;
    const auto drawn_mj = energy_mj_of(drawn_uj);
    tell_drawn(done.attempt, drawn_mj);
    const auto& terms = served_by.model->remote;
    served_by.cost_micros
        += (static_cast<double>(terms.micros_per_1k_input) * done.prompt_tokens
            + static_cast<double>(terms.micros_per_1k_output) * done.output_tokens)
           / 1'000;
    const auto found = streams_.find(done.attempt);
    if (found == streams_.end())
      return;
    // Simulated outputs always end at their drawn length.
    send_event(found->second, attempt_choice_done{0, "length"});
    send_event(found->second,
               attempt_completed{{done.prompt_tokens, done.output_tokens, done.cached_tokens},
                                 done.batch_max,
                                 done.waited_us,
                                 drawn_mj});
    streams_.erase(found);
  };
  return calls;
}

void node_model::finish_load(const core::load_replica& wanted, duration_us load_us) {
  loading_.erase(wanted.instance);
  keep_awake(wanted.grant);
  if (allocations_.count(wanted.grant.id) == 0)
    return; // Released while loading.
  const auto& share = wanted.grant.shares.front();
  const auto& leader = device_of(share.device);
  if (leader.crashes || leader.out_of_memory)
    return tell(core::replica_failed{wanted.instance,
                                     life_,
                                     {recovery::retry_elsewhere,
                                      leader.crashes ? "runtime_died" : "out_of_memory",
                                      "the runtime did not survive loading"}});
  std::uint64_t memory = 0;
  for (const auto& each : wanted.grant.shares)
    memory += each.whole ? leader.spec.memory_bytes : each.memory_bytes;
  // What the weights leave is KV cache.
  const auto room = memory > wanted.variant.weight_bytes ? memory - wanted.variant.weight_bytes : 0;
  const auto kv_tokens = room / std::max<std::uint64_t>(wanted.variant.kv_bytes_per_token, 1);
  auto runs = std::make_unique<engine>(
      joined_devices(wanted.grant), model_of(wanted.model).shape, kv_tokens, world_.delivery,
      random_source(chance_.bits(), "engine"), engine_calls(share.device));
  runs->set_slowness(leader.slowness);
  core::replica_loaded loaded;
  loaded.instance = wanted.instance;
  loaded.life = life_;
  loaded.runtime = leader.spec.capability.runtime;
  loaded.load_us = load_us;
  loaded.endpoints = {runs->capacity()};
  instances_[wanted.instance]
      = {wanted.grant,   wanted.model,
         wanted.variant, wanted.artifact ? wanted.artifact->content : digest{},
         leader.spec.id, std::move(runs)};
  tell(loaded);
}

void node_model::on(const core::unload_replica& wanted) {
  if (instances_.count(wanted.instance) != 0) {
    abort_attempts(wanted.instance, {recovery::retry_elsewhere, "unloaded", wanted.reason}, false);
    instances_.erase(wanted.instance);
  }
  tell(core::replica_unloaded{wanted.instance, life_});
}

void node_model::on(const core::revoke_attempt& revoked) {
  const auto found = streams_.find(revoked.attempt);
  if (found == streams_.end())
    return;
  forget_attempt(revoked.attempt);
  world_.links.close(at_, gateway_address, found->second);
  streams_.erase(found);
}

void node_model::on(const core::start_compile& wanted) {
  // An order that was repeated.
  if (!compiling_.insert(wanted.compile).second)
    return;
  const auto wants = std::find_if(devices_.begin(), devices_.end(), [&](const device& one) {
    return one.model->build_profile == wanted.key.profile.name;
  });
  if (wants != devices_.end())
    wants->building[wanted.compile] = world_.heap.now();
  if (compilers_ == compiler_trouble::hangs) {
    hanging_.insert(wanted.compile);
    return after(limits::build_timeout_us, [this, which = wanted.compile] {
      if (hanging_.erase(which) != 0)
        give_up_compile(which, "stopped: it took too long");
    });
  }
  duration_us took_us = limits::second_us;
  for (const auto& one : devices_)
    if (one.model->build_profile == wanted.key.profile.name)
      took_us = compile_us_of(*one.model, wanted.source.weight_bytes);
  for (const auto mark : progress_marks)
    after(took_us * mark / 1'000, [this, wanted, mark] {
      if (compiling_.count(wanted.compile) != 0)
        tell(core::compile_progressed{wanted.compile, life_, mark});
    });
  after(took_us, [this, wanted, took_us] { finish_compile(wanted, took_us); });
}

void node_model::finish_compile(const core::start_compile& wanted, duration_us took_us) {
  // Cancelled in the meantime.
  if (!end_build(wanted.compile))
    return;
  if (compilers_ == compiler_trouble::fails || compilers_ == compiler_trouble::refuses) {
    const auto action
        = compilers_ == compiler_trouble::refuses ? recovery::refuse : recovery::retry_later;
    return tell(core::compile_failed{
        wanted.compile, life_, {action, "compile_failed", "the compiler exited with status 1"}});
  }
  artifact_record record;
  record.key = wanted.key;
  record.content = content_of(wanted.key);
  record.node = node_id(description_.name);
  // Half of f16, as 8-bit weights are.
  record.size_bytes = wanted.source.weight_bytes / 2;
  record.build_us = took_us;
  keep(record);
  tell(core::compile_finished{wanted.compile, life_, record});
}

void node_model::count_builds(device& one) {
  const auto now = world_.heap.now();
  for (auto& [number, counted_at] : one.building)
    one.building_mj += static_cast<double>(one.model->compile_mw)
                       * static_cast<double>(now - std::exchange(counted_at, now)) / 1e6;
}

bool node_model::end_build(compile_id which) {
  for (auto& one : devices_) {
    count_builds(one);
    one.building.erase(which);
  }
  return compiling_.erase(which) != 0;
}

/// Fresh bytes replace whatever was there, rotten or not.
void node_model::keep(const artifact_record& record) {
  rotten_.erase(record.content);
  store_[record.content] = record;
}

void node_model::on(const core::cancel_compile& cancelled) {
  end_build(cancelled.compile);
  hanging_.erase(cancelled.compile);
}

std::optional<artifact_record> node_model::hand_out(const digest& content) {
  if (!running_ || paused_ || world_.links.is_cut(at_) || !verify(content))
    return std::nullopt;
  return store_.at(content);
}

void node_model::on(const core::fetch_artifact& wanted) {
  // The holder is asked over a data link of its own, which is no part of the simulated network.
  auto* holder = world_.find_node(wanted.from);
  const auto found = holder ? holder->hand_out(wanted.content) : std::nullopt;
  if (!found) {
    return after(limits::second_us, [this, wanted] {
      tell(core::fetch_failed{wanted.key,
                              wanted.content,
                              node_id(description_.name),
                              life_,
                              {recovery::retry_elsewhere, "fetch_failed", "no good copy came"}});
    });
  }
  const auto took = static_cast<duration_us>(static_cast<double>(found->size_bytes) * 1e6
                                             / transfer_bytes_per_s);
  after(took, [this, record = *found]() mutable {
    record.node = node_id(description_.name);
    keep(record);
    tell(core::artifact_found{record, life_});
  });
}

void node_model::on(const core::delete_artifact& wanted) {
  const auto found = store_.find(wanted.content);
  if (found == store_.end())
    return;
  tell(core::artifact_lost{found->second.key, wanted.content, node_id(description_.name), life_,
                           "deleted as told"});
  store_.erase(found);
}

} // namespace consort::sim
