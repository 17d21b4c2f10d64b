// SPDX-License-Identifier: Apache-2.0
#include "actors/caf_compat.hpp"
#include "actors/limits.hpp"
#include "actors/node_actors.hpp"
#include "actors/spawn.hpp"
#include "scheduler/limits.hpp"

#include <spdlog/spdlog.h>

#include <random>

namespace consort::actors {

namespace {

template <class State, class... Ts>
caf::actor spawn_worker(caf::event_based_actor* self, bool own_thread, Ts&&... args) {
  return own_thread ? spawn_blocking_state<State>(self->system(), std::forward<Ts>(args)...)
                    : spawn_state<State>(self->system(), std::forward<Ts>(args)...);
}

} // namespace

incarnation random_incarnation() {
  std::random_device source;
  const auto value = (std::uint64_t{source()} << 32) | source();
  return incarnation{value == 0 ? 1 : value};
}

door_state::door_state(caf::event_based_actor* self, node_options options)
    : self_(self),
      options_(std::move(options)),
      renew_every_us_(core::limits::lease_us / limits::renewals_per_lease) {
  own_.kind = messages::sender_kind::node;
  own_.sender = options_.agent->options().name.value;
  own_.life = options_.life;
}

door_state::~door_state() {
  stop_workers();
}

caf::behavior door_state::make_behavior() {
  spawn_workers();
  say_hello();
  post_self_after(self_, std::chrono::microseconds(renew_every_us_), renew_tick{});
  return {
      [this](const frame& incoming) { receive(incoming); },
      [this](const device_news& news) { relay(news); },
      [this](renew_tick) {
        renew();
        post_self_after(self_, std::chrono::microseconds(renew_every_us_), renew_tick{});
      },
  };
}

void door_state::stop_workers() {
  for (const auto& [id, worker] : compiles_)
    stop(worker);
  for (const auto& [id, worker] : devices_)
    stop(worker);
  if (telemetry_)
    stop(telemetry_);
  compiles_.clear();
  devices_.clear();
  leaders_.clear();
  telemetry_ = nullptr;
}

void door_state::spawn_workers() {
  const auto door = caf::actor_cast<caf::actor>(self_);
  for (const auto& device : options_.agent->plugins().devices())
    devices_[device.id] = spawn_worker<device_state>(self_, options_.own_threads, options_.agent,
                                                     device, own_.life, door);
  telemetry_ = spawn_worker<telemetry_state>(self_, options_.own_threads, options_.agent, devices_);
}

void door_state::receive(const frame& incoming) {
  const auto kind = static_cast<messages::frame_kind>(incoming.kind);
  if (kind == messages::frame_kind::hello_answer) {
    const auto answer = messages::decode_hello_answer(incoming.bytes);
    return answer ? welcomed(answer->body)
                  : spdlog::warn("node: dropped an answer: {}", answer.failure().message);
  }
  auto command = messages::decode_command(incoming.bytes);
  if (!command)
    return spdlog::warn("node: dropped a command: {}", command.failure().message);
  std::visit([this](const auto& what) { carry_out(what); }, command->body);
}

void door_state::say_hello() {
  messages::hello hello;
  hello.cluster = options_.cluster;
  hello.join_token = options_.join_token;
  post_frame(self_, options_.scheduler, to_frame(own_, hello));
}

void door_state::welcomed(const messages::hello_answer& answer) {
  if (answer.refusal)
    return spdlog::error("node: the scheduler refused it: {}", answer.refusal->message);
  greeted_ = true;
  options_.agent->gate().set_key(answer.ticket_key);
  core::node_joined joined;
  joined.node = options_.agent->options().name;
  joined.life = own_.life;
  joined.toolchains = options_.agent->plugins().toolchains();
  joined.attributes = node::host_attributes();
  report(joined);
  for (const auto& device : options_.agent->plugins().devices())
    report(core::device_advertised{device, own_.life});
  for (const auto& record : options_.agent->store().list())
    report(core::artifact_found{record, own_.life});
}

void door_state::renew() {
  if (greeted_)
    report(core::lease_renewed{options_.agent->options().name, own_.life});
  else
    say_hello();
}

void door_state::relay(const device_news& news) {
  if (const auto* ended = std::get_if<core::compile_finished>(&news.what))
    compiles_.erase(ended->compile);
  if (const auto* ended = std::get_if<core::compile_failed>(&news.what))
    compiles_.erase(ended->compile);
  if (greeted_) // Nothing is said before hello; what was missed is advertised then.
    report(news.what);
}

void door_state::report(const core::event& happened) {
  ++own_.sequence;
  post_frame(self_, options_.scheduler, to_frame(own_, happened));
}

void door_state::carry_out(const core::grant_lease& lease) {
  if (lease.life != own_.life)
    return;
  options_.agent->gate().set_lease(lease.life, lease.lease_epoch, lease.until);
  const auto left = lease.until - options_.agent->options().clock();
  renew_every_us_ = std::max(left / limits::renewals_per_lease, limits::renew_every_us_min);
}

void door_state::carry_out(const core::fence_node& fence) {
  if (fence.life != own_.life)
    return;
  spdlog::warn("node: fenced ({}); starting over under a new incarnation", fence.reason);
  stop_workers();
  for (const auto& [id, grant] : grants_)
    options_.agent->ledger().release(id, grant);
  grants_.clear();
  own_.life = random_incarnation();
  greeted_ = false;
  spawn_workers();
  say_hello();
}

void door_state::carry_out(const core::reserve_allocation& reserve) {
  const auto held = options_.agent->ledger().reserve(reserve.grant);
  if (!held)
    return report(core::allocation_refused{reserve.grant.id, reserve.node, own_.life,
                                           reserve.grant.fence, held.failure()});
  grants_[reserve.grant.id] = reserve.grant.fence;
  report(core::allocation_reserved{reserve.grant.id, reserve.node, own_.life, reserve.grant.fence});
}

void door_state::carry_out(const core::release_allocation& release) {
  options_.agent->ledger().release(release.allocation, release.fence);
  grants_.erase(release.allocation);
}

void door_state::carry_out(const core::load_replica& load) {
  if (load.grant.shares.empty())
    return report(core::replica_failed{
        load.instance, own_.life, {recovery::bug, "no_shares", "a load without device shares"}});
  leaders_[load.instance] = load.grant.shares.front().device;
  order_device(leaders_[load.instance], load);
}

void door_state::carry_out(const core::unload_replica& unload) {
  const auto found = leaders_.find(unload.instance);
  if (found == leaders_.end())
    return report(core::replica_unloaded{unload.instance, own_.life});
  order_device(found->second, unload);
  leaders_.erase(found);
}

void door_state::carry_out(const core::revoke_attempt& revoke) {
  options_.agent->attempts().revoke(revoke.attempt);
}

void door_state::carry_out(const core::start_compile& start) {
  if (compiles_.size() >= limits::compiles_max)
    return report(core::compile_failed{
        start.compile,
        own_.life,
        {recovery::retry_later, "compiles_full",
         "this node already runs " + std::to_string(limits::compiles_max) + " compiles"}});
  compiles_[start.compile]
      = spawn_worker<compile_state>(self_, options_.own_threads, options_.agent, start, own_.life,
                                    caf::actor_cast<caf::actor>(self_));
}

void door_state::carry_out(const core::cancel_compile& cancel) {
  const auto found = compiles_.find(cancel.compile);
  if (found == compiles_.end())
    return;
  stop(found->second);
  compiles_.erase(found);
}

void door_state::carry_out(const core::fetch_artifact& fetch) {
  report(core::artifact_lost{fetch.key, fetch.content, fetch.node, own_.life,
                             "it cannot be fetched from " + fetch.from.value
                                 + ": the nodes have no data ports in one process"});
}

void door_state::carry_out(const core::delete_artifact& remove) {
  const auto removed = options_.agent->store().remove(remove.content);
  if (!removed)
    spdlog::warn("node: kept artifact {}: {}", remove.content.value, removed.failure().message);
}

void door_state::order_device(const device_id& device, const core::command& what) {
  const auto found = devices_.find(device);
  if (found != devices_.end())
    return post(self_, found->second, device_order{what});
  if (const auto* load = std::get_if<core::load_replica>(&what))
    report(core::replica_failed{
        load->instance,
        own_.life,
        {recovery::retry_elsewhere, "device_unknown", device.value + " is not on this node"}});
}

} // namespace consort::actors
