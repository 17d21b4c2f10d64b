// SPDX-License-Identifier: Apache-2.0
#include "cli/live/faults.hpp"

#include "cli/live/cluster_state.hpp"
#include "cli/live/limits.hpp"
#include "scenarios/limits.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>

#include <utility>

namespace consort::live {

namespace asio = boost::asio;
using sim::fault_kind;
using sim::fault_target;
using sim::scenario_fault;

namespace {

std::string node_part(const std::string& device) {
  return device.substr(0, device.find('/'));
}

std::string device_part(const std::string& device) {
  return device.substr(device.find('/') + 1);
}

} // namespace

faults::faults(asio::io_context& io, sim::event_heap& heap, cluster& processes,
               const sim::observer_list& watchers, std::function<time_us()> clock)
    : io_(io), heap_(heap), processes_(processes), watchers_(watchers), clock_(std::move(clock)) {}

void faults::schedule(const std::vector<scenario_fault>& planned) {
  planned_ = &planned;
  for (const auto& fault : planned)
    heap_.at(fault.at, [this, &fault] { inject(fault); });
}

void faults::heal_all() {
  over_ = true;
  for (const auto& fault : *planned_)
    heal(fault);
}

void faults::tell(const scenario_fault& fault, const std::string& target, bool begins) {
  watchers_.each([&](sim::observer& watcher) {
    watcher.on_fault(word_of(fault.kind).word, target, begins, clock_());
  });
}

void faults::inject(const scenario_fault& fault) {
  if (over_)
    return;
  if (fault.kind == fault_kind::upgrade)
    return asio::co_spawn(io_, upgrade(fault), asio::detached);
  if (fault.kind == fault_kind::scheduler)
    strike(fault, "", true);
  for (const auto& target : fault.targets)
    strike(fault, target, true);
  if (fault.span_us == 0)
    return;
  // A process that is to be back by then starts before.
  const bool starts = fault.kind == fault_kind::kill || fault.kind == fault_kind::restart;
  const auto ahead = starts ? processes_.startup_us() : 0;
  heap_.after(std::max<duration_us>(fault.span_us - ahead, 0), [this, &fault] { heal(fault); });
}

void faults::heal(const scenario_fault& fault) {
  if (fault.at > clock_())
    return;
  if (fault.kind == fault_kind::scheduler)
    strike(fault, "", false);
  for (const auto& target : fault.targets)
    strike(fault, target, false);
}

void faults::strike(const scenario_fault& fault, const std::string& target, bool begins) {
  tell(fault, target, begins);
  switch (word_of(fault.kind).target) {
  case fault_target::nothing: return replace_scheduler(begins);
  case fault_target::link: return processes_.cut(target, begins);
  case fault_target::node: return strike_node(fault, target, begins);
  case fault_target::device: return strike_device(fault, target, begins);
  }
}

void faults::replace_scheduler(bool begins) {
  asio::co_spawn(io_, begins ? processes_.kill_scheduler() : processes_.start_scheduler(),
                 asio::detached);
}

void faults::strike_node(const scenario_fault& fault, const std::string& node, bool begins) {
  switch (fault.kind) {
  case fault_kind::kill:
  case fault_kind::restart:
    return begins ? processes_.kill_node(node) : processes_.start_node(node);
  case fault_kind::pause: return processes_.freeze_node(node, begins);
  case fault_kind::partition:
    return processes_.hold_node(node, begins && fault.direction != sim::fault_direction::inbound,
                                begins && fault.direction != sim::fault_direction::outbound);
  case fault_kind::compile_fail:
  case fault_kind::compile_hang: return strike_compilers(fault, node, begins);
  case fault_kind::upgrade: return begins ? void() : processes_.start_node(node);
  default: return; // Others are refused before anything starts.
  }
}

void faults::strike_compilers(const scenario_fault& fault, const std::string& node, bool begins) {
  const auto struck = fault.kind == fault_kind::compile_hang ? node::compiler_trouble::hang
                      : fault.transient                      ? node::compiler_trouble::fail
                                                             : node::compiler_trouble::refuse;
  menus_[node].compilers = begins ? struck : node::compiler_trouble::none;
  processes_.trouble(node, menus_[node]);
}

void faults::strike_device(const scenario_fault& fault, const std::string& device, bool begins) {
  const auto node = node_part(device);
  auto& menu = menus_[node].devices[device_part(device)];
  switch (fault.kind) {
  case fault_kind::slow:
  case fault_kind::throttle:
    menu.factor = begins ? fault.factor : 1;
    menu.hot = begins && fault.kind == fault_kind::throttle;
    break;
  case fault_kind::crash:
    menu.crashes += begins ? 1 : 0;
    menu.crashing = begins && fault.span_us > 0;
    break;
  case fault_kind::oom: menu.full = begins; break;
  default: menu.status = begins ? fault.status : 0; menu.share = begins ? fault.share : 0;
  }
  processes_.trouble(node, menus_[node]);
}

/// As operators do it: drain, wait until nothing runs there, stop, start the new version, next.
task<void> faults::upgrade(const scenario_fault& fault) {
  for (const auto& node : fault.targets) {
    if (over_)
      co_return;
    tell(fault, node, true);
    // One that was away is still on its way back to a scheduler that began anew.
    const auto back = clock_() + limits::back_us_max;
    while (!over_ && clock_() < back && !co_await processes_.running_on(node))
      co_await rest(limits::idle_look);
    co_await processes_.set_draining(node, "drain");
    const auto latest = clock_() + sim::limits::drain_max_us;
    while (!over_ && clock_() < latest && (co_await processes_.running_on(node)).value_or(0) > 0)
      co_await rest(limits::idle_look);
    co_await processes_.end_node(node);
    co_await rest(std::chrono::milliseconds(fault.span_us / 1'000));
    processes_.start_node(node);
    co_await processes_.set_draining(node, "undrain");
    tell(fault, node, false);
    co_await rest(std::chrono::milliseconds(sim::limits::second_us / 1'000));
  }
}

} // namespace consort::live
