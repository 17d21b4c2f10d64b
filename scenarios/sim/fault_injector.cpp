// SPDX-License-Identifier: Apache-2.0
#include "scenarios/sim/fault_injector.hpp"

#include "scenarios/sim/fault_parser.hpp"

#include <algorithm>
#include <cassert>
#include <utility>

namespace consort::sim {

namespace {

/// How often an upgrade looks whether a drained node is idle.
constexpr duration_us idle_check_us = 100'000;
/// For a node that returns to be in service before the next one goes.
constexpr duration_us upgrade_pause_us = limits::second_us;

} // namespace

void fault_injector::schedule(const std::vector<scenario_fault>& faults) {
  faults_ = &faults;
  for (std::size_t number = 0; number < world_.nodes.size(); ++number)
    places_[world_.nodes[number]->name()] = number;
  for (const auto& fault : faults)
    world_.heap.at(fault.at, [this, &fault] { inject(fault); });
}

void fault_injector::heal_all() {
  over_ = true;
  for (const auto& fault : *faults_)
    heal(fault);
}

node_model& fault_injector::node_named(const std::string& target) {
  return *world_.nodes[places_.at(target.substr(0, target.find('/')))];
}

address fault_injector::address_of(const std::string& target) {
  return target == gateway_word ? gateway_address
                                : static_cast<address>(first_node_address + places_.at(target));
}

void fault_injector::tell(const scenario_fault& fault, const std::string& target, bool begins) {
  world_.watchers.each([&](observer& watcher) {
    watcher.on_fault(word_of(fault.kind).word, target, begins, world_.heap.now());
  });
}

// --- which part is struck ---

void fault_injector::inject(const scenario_fault& fault) {
  if (over_)
    return;
  if (fault.kind == fault_kind::upgrade)
    return upgrade(fault, 0);
  if (word_of(fault.kind).target == fault_target::nothing)
    tell(fault, "", true);
  if (fault.kind == fault_kind::forget)
    return world_.gateway.forget_one();
  if (fault.kind == fault_kind::scheduler && world_.scheduler.running())
    world_.scheduler.kill();
  for (const auto& target : fault.targets) {
    tell(fault, target, true);
    switch (word_of(fault.kind).target) {
    case fault_target::node: strike_node(fault, node_named(target)); break;
    case fault_target::device: strike_device(fault, target); break;
    case fault_target::link: strike_link(fault, target); break;
    case fault_target::nothing: break;
    }
  }
  if (fault.span_us > 0)
    world_.heap.after(fault.span_us, [this, &fault] { heal(fault); });
}

void fault_injector::heal(const scenario_fault& fault) {
  if (fault.at > world_.heap.now() || fault.kind == fault_kind::forget)
    return;
  if (fault.kind == fault_kind::scheduler && !world_.scheduler.running()) {
    tell(fault, "", false);
    restart_scheduler();
  }
  for (const auto& target : fault.targets) {
    tell(fault, target, false);
    switch (word_of(fault.kind).target) {
    case fault_target::node: heal_node(fault, node_named(target)); break;
    case fault_target::device: heal_device(fault, target); break;
    case fault_target::link: heal_link(fault, target); break;
    case fault_target::nothing: break;
    }
  }
}

// --- links ---

void fault_injector::strike_link(const scenario_fault& fault, const std::string& target) {
  const auto at = address_of(target);
  auto& troubles = world_.links.troubles_of(at);
  switch (fault.kind) {
  case fault_kind::loss: troubles.loss = fault.share; break;
  case fault_kind::duplicate: troubles.duplicate = fault.share; break;
  case fault_kind::reorder: troubles.reorder_us = fault.by_us; break;
  default:
    assert(fault.kind == fault_kind::cut);
    world_.links.sever(at, scheduler_address);
    unnoticed_.insert(at);
    lose_link_later(at, fault.span_us, false);
  }
}

void fault_injector::heal_link(const scenario_fault& fault, const std::string& target) {
  const auto at = address_of(target);
  auto& troubles = world_.links.troubles_of(at);
  switch (fault.kind) {
  case fault_kind::loss: troubles.loss = 0; break;
  case fault_kind::duplicate: troubles.duplicate = 0; break;
  case fault_kind::reorder: troubles.reorder_us = 0; break;
  default: world_.links.join(at, scheduler_address); reconnect(at);
  }
}

/// A process whose link stood still for too long is one that lost it.
void fault_injector::lose_link_later(address at, duration_us span, bool only_if_still) {
  const auto silence = span > 0 ? std::min(span, limits::link_silence_us) : limits::link_silence_us;
  world_.heap.after(silence, [this, at, only_if_still] {
    if (only_if_still ? !stands_still(at) : unnoticed_.erase(at) == 0)
      return; // In the second case a newer link stands in the place of this one.
    if (only_if_still)
      lost_.insert(at);
    world_.scheduler.lose_link(at);
  });
}

bool fault_injector::stands_still(address at) const {
  const auto& node = *world_.nodes[at - first_node_address];
  return node.running() && (node.paused() || world_.links.is_cut(at));
}

/// A fresh link, once it is dialled.
void fault_injector::reconnect(address at) {
  world_.heap.after(limits::redial_us, [this, at] { dial(at); });
}

void fault_injector::dial(address at) {
  if (!world_.scheduler.running())
    return; // Its successor will be dialled.
  if (world_.links.is_severed(at, scheduler_address))
    return; // Nothing comes through: it is dialled when that heals.
  if (const auto heard = world_.links.end_heard(scheduler_address, at); heard > world_.heap.now())
    return world_.heap.at(heard, [this, at] { dial(at); });
  // As actors/scheduler_actor does: a gateway's new link says that its old one is gone, a node's
  // takes the place of its old one, and that the old one ends matters no more.
  const bool unnoticed = unnoticed_.erase(at) > 0;
  if (at != gateway_address) {
    if (!world_.links.is_cut(at))
      world_.nodes[at - first_node_address]->reconnect();
    return;
  }
  if (unnoticed)
    world_.scheduler.lose_link(at);
  world_.gateway.reconnect();
  // What ended before the gateway told is in nobody's books.
  if (std::exchange(replaced_, false))
    world_.watchers.each(
        [&](observer& watcher) { watcher.on_scheduler_replaced(world_.heap.now()); });
}

// --- the scheduler ---

void fault_injector::restart_scheduler() {
  world_.scheduler.start();
  world_.declare_models();
  replaced_ = true;
  unnoticed_.clear(); // It had none of the links that were cut.
  reconnect(gateway_address);
  for (std::size_t number = 0; number < world_.nodes.size(); ++number)
    reconnect(static_cast<address>(first_node_address + number));
}

// --- nodes ---

void fault_injector::strike_node(const scenario_fault& fault, node_model& node) {
  const auto at = address_of(node.name());
  switch (fault.kind) {
  case fault_kind::kill:
  case fault_kind::restart:
    if (node.running())
      node.kill();
    break;
  case fault_kind::pause:
    node.pause();
    lose_link_later(at, 0, true);
    break;
  case fault_kind::partition:
    world_.links.cut(at, fault.direction);
    lose_link_later(at, 0, true);
    break;
  case fault_kind::skew: node.set_skew(fault.by_us); break;
  case fault_kind::compile_fail:
    node.set_compilers(fault.transient ? compiler_trouble::fails : compiler_trouble::refuses);
    break;
  case fault_kind::compile_hang: node.set_compilers(compiler_trouble::hangs); break;
  case fault_kind::corrupt: node.corrupt_store(); break;
  default: assert(false);
  }
}

void fault_injector::heal_node(const scenario_fault& fault, node_model& node) {
  const auto at = address_of(node.name());
  switch (fault.kind) {
  case fault_kind::upgrade:
    world_.scheduler.apply(core::drain_changed{node.name(), false, "upgraded", 0});
    [[fallthrough]];
  case fault_kind::kill:
  case fault_kind::restart:
    if (!node.running())
      node.start();
    break;
  case fault_kind::pause:
    if (node.paused()) {
      // It wakes to a connection that was reset: nothing that it says arrives before it dials.
      if (lost_.erase(at) > 0)
        node.lose_link();
      reconnect(at);
    }
    node.resume();
    break;
  case fault_kind::partition:
    if (world_.links.is_cut(at)) {
      world_.links.heal(at);
      reconnect(at);
    }
    break;
  case fault_kind::skew: node.set_skew(0); break;
  case fault_kind::compile_fail:
  case fault_kind::compile_hang: node.set_compilers(compiler_trouble::none); break;
  default: break; // What rots stays rotten.
  }
}

/// As operators do it: drain, wait until nothing runs there, stop, start the new version, next.
void fault_injector::upgrade(const scenario_fault& fault, std::size_t next) {
  if (over_ || next >= fault.targets.size())
    return;
  const auto& target = fault.targets[next];
  tell(fault, target, true);
  world_.scheduler.apply(core::drain_changed{target, true, "rolling upgrade", limits::drain_us});
  stop_when_idle(fault, next, world_.heap.now() + limits::drain_max_us);
}

void fault_injector::stop_when_idle(const scenario_fault& fault, std::size_t which,
                                    time_us latest) {
  auto& node = node_named(fault.targets[which]);
  if (over_)
    return;
  if (node.running() && !node.idle() && world_.heap.now() < latest) {
    world_.heap.after(idle_check_us,
                      [this, &fault, which, latest] { stop_when_idle(fault, which, latest); });
    return;
  }
  if (node.running())
    node.kill();
  world_.heap.after(fault.span_us, [this, &fault, which, &node] {
    tell(fault, node.name(), false);
    heal_node(fault, node);
    world_.heap.after(upgrade_pause_us, [this, &fault, which] { upgrade(fault, which + 1); });
  });
}

// --- devices ---

void fault_injector::strike_device(const scenario_fault& fault, const std::string& target) {
  auto& node = node_named(target);
  const device_id device(target);
  switch (fault.kind) {
  case fault_kind::slow: node.set_slowness(device, fault.factor, false); break;
  case fault_kind::throttle: node.set_slowness(device, fault.factor, true); break;
  case fault_kind::crash: node.crash(device, fault.span_us > 0); break;
  case fault_kind::oom: node.exhaust(device, true); break;
  case fault_kind::storm: node.set_storm(device, fault.status, fault.share); break;
  default: assert(false);
  }
}

void fault_injector::heal_device(const scenario_fault& fault, const std::string& target) {
  auto& node = node_named(target);
  const device_id device(target);
  switch (fault.kind) {
  case fault_kind::slow:
  case fault_kind::throttle: node.set_slowness(device, 1, false); break;
  case fault_kind::crash: node.let_run(device); break;
  case fault_kind::oom: node.exhaust(device, false); break;
  default: node.set_storm(device, 0, 0); break;
  }
}

} // namespace consort::sim
