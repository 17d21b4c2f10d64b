// SPDX-License-Identifier: Apache-2.0
#include "actors/caf_compat.hpp"
#include "actors/limits.hpp"
#include "actors/link_actors.hpp"
#include "actors/node_actors.hpp"
#include "actors/plugin_report.hpp"
#include "actors/spawn.hpp"
#include "scheduler/limits.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <random>
#include <utility>

namespace consort::actors {

namespace {

template <class State, class... Ts>
caf::actor spawn_worker(caf::event_based_actor* self, bool own_thread, Ts&&... args) {
  return own_thread ? spawn_blocking_state<State>(self->system(), std::forward<Ts>(args)...)
                    : spawn_state<State>(self->system(), std::forward<Ts>(args)...);
}

/// A fetch that ended as the scheduler hears of it: `otherwise` with the reason when it failed.
core::event end_of_fetch(const result<artifact_record>& got, core::fetch_failed otherwise) {
  if (got.ok())
    return core::artifact_found{*got, otherwise.life};
  otherwise.failure = got.failure();
  return otherwise;
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
      renew_every_us_(core::limits::lease_us / limits::renewals_per_lease),
      probe_retry_us_(limits::probe_retry_us_min) {
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
  retry_probes();
  post_self_after(self_, std::chrono::microseconds(renew_every_us_), renew_tick{});
  return {
      [this](const frame& incoming) { receive(incoming); },
      [this](const device_news& news) { relay(news); },
      [this](link_restored) {
        greeted_ = false;
        say_hello();
      },
      [this](link_lost) { greeted_ = false; },
      [this](reload_wanted) { want_reload(nullptr); },
      [this](const leave_wanted& wanted) { leave(wanted); },
      [this](const plugins_changed& change) { apply(*change.what); },
      [this](probe_tick) {
        probe_retry_set_ = false;
        want_reload(nullptr);
      },
      [this](renew_tick) {
        renew();
        post_self_after(self_, std::chrono::microseconds(renew_every_us_), renew_tick{});
      },
  };
}

void door_state::stop_workers() {
  for (const auto& [id, build] : compiles_)
    stop(build.worker);
  for (const auto& [id, worker] : devices_)
    stop(worker);
  if (telemetry_)
    stop(telemetry_);
  compiles_.clear();
  devices_.clear();
  hosted_.clear();
  telemetry_ = nullptr;
}

void door_state::spawn_workers() {
  for (const auto& device : options_.agent->plugins().devices())
    spawn_device(device);
  spawn_telemetry();
}

void door_state::spawn_device(const device_spec& device) {
  devices_[device.id]
      = spawn_worker<device_state>(self_, options_.own_threads, options_.agent, device, own_.life,
                                   caf::actor_cast<caf::actor>(self_), options_.own_threads);
}

void door_state::spawn_telemetry() {
  telemetry_ = spawn_worker<telemetry_state>(self_, options_.own_threads, options_.agent, devices_,
                                             caf::actor_cast<caf::actor>(self_));
}

/// Devices that went are lost, with what runs on them; all others go on.
void door_state::apply(const node::inventory_change& change) {
  spdlog::info("node: read the plugins again: {} devices came, {} went{}", change.appeared.size(),
               change.gone.size(), change.toolchains ? ", other compilers" : "");
  for (const auto& id : change.gone) {
    if (const auto found = devices_.find(id); found != devices_.end())
      stop(found->second);
    devices_.erase(id);
    std::erase_if(hosted_, [&](const auto& one) { return one.second.device == id; });
    options_.agent->ledger().remove_device(id);
    const core::event lost = core::device_lost{id, own_.life, change.why_gone.at(id)};
    greeted_ ? report(lost) : hold(lost);
  }
  for (const auto& device : options_.agent->plugins().devices()) {
    options_.agent->ledger().set_device(device);
    if (const auto known = devices_.find(device.id); known != devices_.end())
      post(self_, known->second, device_described{device});
    else
      spawn_device(device);
  }
  stop(telemetry_);
  spawn_telemetry();
  if (greeted_)
    advertise();
  if (!change.plugins_gone.empty()) // It is known by then that nobody here builds that any more.
    end_builds_of_nobody();
  tell_reloaded(change);
  retry_probes();
}

/// A plugin that went takes its compilers along. One that is still there and does not name its
/// compiler for now, as its version could not be asked, loses no build of an hour for that.
void door_state::end_builds_of_nobody() {
  const auto known = options_.agent->toolchains();
  for (auto at = compiles_.begin(); at != compiles_.end();) {
    if (std::find(known.begin(), known.end(), at->second.by) != known.end()) {
      ++at;
      continue;
    }
    stop(at->second.worker);
    const core::event ended = core::compile_failed{
        at->first,
        own_.life,
        {recovery::retry_elsewhere, "compiler_gone", "its plugin was taken out while it ran"}};
    at = compiles_.erase(at);
    greeted_ ? report(ended) : hold(ended);
  }
}

/// A tool that failed may only have been slow, or its driver not up yet: it is asked again, ever
/// later, until it answers.
void door_state::retry_probes() {
  const auto plugins = options_.agent->plugins().plugins();
  const bool failed = std::any_of(plugins.begin(), plugins.end(),
                                  [](const auto& one) { return one.probe_failed; });
  if (!failed)
    probe_retry_us_ = limits::probe_retry_us_min;
  if (!failed || std::exchange(probe_retry_set_, true))
    return;
  post_self_after(self_, std::chrono::microseconds(probe_retry_us_), probe_tick{});
  probe_retry_us_ = std::min(2 * probe_retry_us_, limits::probe_retry_us_max);
}

/// Looks at the plugin folders, or once more when that is going on. `by` hears what came of it.
void door_state::want_reload(const messages::query* by) {
  auto& waiting = reloading_ ? reload_next_ : reload_for_;
  if (by != nullptr && waiting.size() < limits::reloads_waiting_max)
    waiting.push_back(*by); // Others hear nothing, and give up in time.
  reload_again_ = reloading_;
  if (std::exchange(reloading_, true))
    return;
  reload_began_ = options_.agent->options().steady();
  post(self_, telemetry_, reload_wanted{});
}

void door_state::tell_reloaded(const node::inventory_change& change) {
  messages::query_answer answer;
  auto& report = answer.reloads.emplace_back();
  report.node = options_.agent->options().name;
  report.answered = true;
  report.took_us = std::max<duration_us>(options_.agent->options().steady() - reload_began_, 0);
  report.plugins_came = change.plugins_came;
  report.plugins_gone = change.plugins_gone;
  for (const auto& device : change.appeared)
    report.devices_came.push_back(device.id.value);
  for (const auto& id : change.gone)
    report.devices_gone.push_back(id.value);
  report.compilers = change.toolchains;
  for (const auto& complaint : change.complaints)
    report.complaints.push_back(complaint.message);
  for (auto* list : {&report.plugins_came, &report.plugins_gone, &report.devices_came,
                     &report.devices_gone, &report.complaints})
    list->resize(std::min(list->size(), limits::reload_names_max));
  for (const auto& asked : std::exchange(reload_for_, std::exchange(reload_next_, {}))) {
    answer.number = asked.number;
    answer.gateway = asked.reload->gateway;
    ++own_.sequence;
    post_frame(self_, options_.scheduler, to_frame(own_, answer));
  }
  reloading_ = false;
  if (std::exchange(reload_again_, false))
    want_reload(nullptr);
}

/// From what the inventory knows, which waits for no probe: it may be that one hangs.
void door_state::tell_plugins(const messages::query& by) {
  const auto& inventory = options_.agent->plugins();
  messages::query_answer answer;
  answer.number = by.number;
  answer.gateway = by.plugins->gateway;
  answer.plugins.push_back(
      report_plugins(options_.agent->options().name, inventory.plugins(), inventory.claims()));
  ++own_.sequence;
  post_frame(self_, options_.scheduler, to_frame(own_, answer));
}

void door_state::answer_query(const frame& incoming) {
  const auto asked = messages::decode_query(incoming.bytes);
  if (asked && asked->body.reload)
    return want_reload(&asked->body);
  if (asked && asked->body.plugins)
    return tell_plugins(asked->body);
  spdlog::warn("node: dropped a query that is not for nodes");
}

void door_state::receive(const frame& incoming) {
  const auto kind = static_cast<messages::frame_kind>(incoming.kind);
  if (kind == messages::frame_kind::query)
    return answer_query(incoming);
  if (kind == messages::frame_kind::hello_answer) {
    const auto answer = messages::decode_hello_answer(incoming.bytes);
    return answer ? welcomed(answer->body, answer->from.life)
                  : spdlog::warn("node: dropped an answer: {}", answer.failure().message);
  }
  auto command = messages::decode_command(incoming.bytes);
  if (!command)
    return spdlog::warn("node: dropped a command: {}", command.failure().message);
  std::visit([this](const auto& what) { carry_out(what); }, command->body);
}

void door_state::say_hello() {
  if (gone_)
    return;
  messages::hello hello;
  hello.cluster = options_.cluster;
  hello.join_token = options_.join_token;
  post_frame(self_, options_.scheduler, to_frame(own_, hello));
}

void door_state::welcomed(const messages::hello_answer& answer, incarnation scheduler_life) {
  if (answer.refusal) { // Perhaps of a link that was welcome before.
    greeted_ = false;
    if (refused_ != answer.refusal->message) // It tries for ever.
      spdlog::error("node: the scheduler refused it: {}", answer.refusal->message);
    refused_ = answer.refusal->message;
    return;
  }
  greeted_ = true;
  refused_.clear();
  // The key first: what an earlier scheduler granted is void before its dates are read on a new
  // axis.
  options_.agent->gate().set_key(answer.ticket_key);
  if (options_.on_scheduler_time)
    options_.on_scheduler_time(answer.scheduler_now);
  if (scheduler_life != scheduler_life_) {
    ends_held_.clear(); // Another scheduler knew what they are about.
    forget_old_grants();
  }
  scheduler_life_ = scheduler_life;
  advertise();
}

/// Everything that a scheduler must know of this node, whatever it knew before.
void door_state::advertise() {
  core::node_joined joined;
  joined.node = options_.agent->options().name;
  joined.life = own_.life;
  joined.returning = std::exchange(greeted_before_, true);
  joined.data_address = options_.data_address;
  joined.toolchains = options_.agent->toolchains();
  joined.attributes = options_.agent->attributes();
  joined.attributes.merge(options_.agent->plugin_reasons());
  report(joined);
  // Before the devices: what is asked of them then finds their engines, and none is built anew.
  for (const auto& record : options_.agent->store().current())
    report(core::artifact_found{record, own_.life});
  for (const auto& device : options_.agent->plugins().devices())
    report(core::device_advertised{device, own_.life});
  for (const auto& [id, device] : devices_)
    post(self_, device, inventory_wanted{});
  for (const auto& end : ends_held_)
    report(end);
  ends_held_.clear();
  if (leaving_)
    tell_leaving(false);
}

void door_state::leave(const leave_wanted& wanted) {
  leaving_ = true;
  if (greeted_)
    tell_leaving(wanted.gone);
  gone_ = gone_ || wanted.gone;
  if (wanted.said)
    post(self_, options_.scheduler, wanted);
}

void door_state::tell_leaving(bool gone) {
  report(core::node_lost{options_.agent->options().name, own_.life, gone, "stopped", false, true});
}

/// A scheduler that took another's place knows of instances that are loaded, not of grants that
/// were still on their way to one.
void door_state::forget_old_grants() {
  std::set<allocation_id> in_use;
  for (const auto& [instance, hosted] : hosted_)
    in_use.insert(hosted.allocation);
  for (auto it = grants_.begin(); it != grants_.end();) {
    if (in_use.contains(it->first)) {
      ++it;
      continue;
    }
    options_.agent->ledger().release(it->first, it->second);
    it = grants_.erase(it);
  }
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
  if (const auto* ended = std::get_if<core::replica_failed>(&news.what))
    hosted_.erase(ended->instance);
  if (greeted_) // Nothing is said before hello; what was missed is advertised then.
    report(news.what);
  else
    hold(news.what);
}

/// Only ends need keeping: what goes on is advertised at the welcome.
void door_state::hold(const core::event& happened) {
  const bool end = std::holds_alternative<core::compile_finished>(happened)
                   || std::holds_alternative<core::compile_failed>(happened)
                   || std::holds_alternative<core::replica_failed>(happened)
                   || std::holds_alternative<core::replica_unloaded>(happened)
                   || std::holds_alternative<core::device_lost>(happened);
  if (end && ends_held_.size() < limits::ends_held_max)
    ends_held_.push_back(happened);
}

void door_state::report(const core::event& happened) {
  if (gone_)
    return;
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
  greeted_before_ = false;
  greeted_ = false;
  spawn_workers();
  if (reloading_) // Whoever was about to look is gone.
    post(self_, telemetry_, reload_wanted{});
  say_hello();
}

void door_state::carry_out(const core::reserve_allocation& reserve) {
  const auto held = options_.agent->ledger().reserve(reserve.grant);
  if (!held)
    return report(core::allocation_refused{reserve.grant.id, reserve.node, own_.life,
                                           reserve.grant.fence, held.failure()});
  core::allocation_reserved answer{reserve.grant.id, reserve.node, own_.life, reserve.grant.fence};
  // The leader offers a place where the ranks of other nodes meet it.
  const auto here = [this](const device_share& one) { return devices_.contains(one.device); };
  const auto& shares = reserve.grant.shares;
  if (here(shares.front()) && !std::all_of(shares.begin(), shares.end(), here)) {
    auto free = node::rendezvous_address(options_.data_address);
    if (!free) {
      options_.agent->ledger().release(reserve.grant.id, reserve.grant.fence);
      return report(core::allocation_refused{reserve.grant.id, reserve.node, own_.life,
                                             reserve.grant.fence, free.failure()});
    }
    answer.rendezvous = *std::move(free);
  }
  grants_[reserve.grant.id] = reserve.grant.fence;
  report(answer);
}

void door_state::carry_out(const core::release_allocation& release) {
  options_.agent->ledger().release(release.allocation, release.fence);
  grants_.erase(release.allocation);
}

void door_state::carry_out(const core::load_replica& load) {
  if (load.grant.shares.empty())
    return report(core::replica_failed{
        load.instance, own_.life, {recovery::bug, "no_shares", "a load without device shares"}});
  const auto& shares = load.grant.shares;
  const auto mine = std::find_if(shares.begin(), shares.end(), [this](const device_share& one) {
    return devices_.contains(one.device);
  });
  const auto& device = mine == shares.end() ? shares.front().device : mine->device;
  hosted_[load.instance] = {device, load.grant.id};
  order_device(device, load);
}

void door_state::carry_out(const core::unload_replica& unload) {
  const auto found = hosted_.find(unload.instance);
  if (found == hosted_.end())
    return report(core::replica_unloaded{unload.instance, own_.life});
  order_device(found->second.device, unload);
  hosted_.erase(found);
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
      = {spawn_worker<compile_state>(self_, options_.own_threads, options_.agent, start, own_.life,
                                     caf::actor_cast<caf::actor>(self_)),
         start.key.profile};
}

void door_state::carry_out(const core::cancel_compile& cancel) {
  const auto found = compiles_.find(cancel.compile);
  if (found == compiles_.end())
    return;
  stop(found->second.worker);
  compiles_.erase(found);
}

void door_state::carry_out(const core::fetch_artifact& fetch) {
  core::fetch_failed failed{
      fetch.key,
      fetch.content,
      fetch.node,
      own_.life,
      {recovery::retry_elsewhere, "no_data_port", "this node cannot fetch: it has no data port"}};
  if (options_.fetcher == nullptr)
    return report(failed);
  options_.fetcher->fetch(
      {fetch.content, fetch.key, fetch.from, fetch.from_address},
      [door = caf::actor_cast<caf::actor>(self_), failed](const result<artifact_record>& got) {
        post_from_outside(door, device_news{end_of_fetch(got, failed)});
      });
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
  const auto* load = std::get_if<core::load_replica>(&what);
  if (load == nullptr)
    return;
  hosted_.erase(load->instance);
  report(core::replica_failed{
      load->instance,
      own_.life,
      {recovery::retry_elsewhere, "device_unknown", device.value + " is not on this node"}});
}

} // namespace consort::actors
