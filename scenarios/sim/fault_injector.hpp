// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Carries out a scenario's faults and heals them: each at its time, for its span, and all of them
/// when the liveness phase begins. Healing ends every fault of that kind on the same target, and is
/// idempotent. Owned by one run, whose parts outlive it; single-threaded.

#include "scenarios/sim/gateway_model.hpp"
#include "scenarios/sim/node_model.hpp"
#include "scenarios/sim/scheduler_shell.hpp"

#include <memory>
#include <set>
#include <unordered_map>

namespace consort::sim {

/// The parts of a run that faults strike.
struct fault_world {
  event_heap& heap;
  network& links;
  scheduler_shell& scheduler;
  gateway_model& gateway;
  const std::vector<std::unique_ptr<node_model>>& nodes;
  const observer_list& watchers;
  std::function<void()> declare_models; ///< To a new scheduler.
};

class fault_injector {
public:
  explicit fault_injector(fault_world world) : world_(std::move(world)) {}

  /// Arms every fault. Requires: the nodes exist; `faults` outlives this.
  void schedule(const std::vector<scenario_fault>& faults);
  /// The liveness phase begins: everything is well again, and stays so.
  void heal_all();

private:
  void inject(const scenario_fault& fault);
  void heal(const scenario_fault& fault);
  void strike_link(const scenario_fault& fault, const std::string& target);
  void heal_link(const scenario_fault& fault, const std::string& target);
  void strike_node(const scenario_fault& fault, node_model& node);
  void heal_node(const scenario_fault& fault, node_model& node);
  void strike_device(const scenario_fault& fault, const std::string& target);
  void heal_device(const scenario_fault& fault, const std::string& target);
  void tell(const scenario_fault& fault, const std::string& target, bool begins);

  void upgrade(const scenario_fault& fault, std::size_t next);
  void stop_when_idle(const scenario_fault& fault, std::size_t which, time_us latest);

  void restart_scheduler();
  void lose_link_later(address at, duration_us span, bool only_if_still);
  [[nodiscard]] bool stands_still(address at) const;
  void reconnect(address at);
  void dial(address at);

  node_model& node_named(const std::string& target);
  [[nodiscard]] address address_of(const std::string& target);

  fault_world world_;
  const std::vector<scenario_fault>* faults_ = nullptr;
  std::unordered_map<std::string, std::size_t> places_; ///< Of nodes; looked up, never walked.
  std::set<address> lost_; ///< Nodes that stand still and whose link was given up meanwhile.
  /// Whose control link was cut without the scheduler having noticed yet.
  std::set<address> unnoticed_;
  bool replaced_ = false; ///< The gateway has not dialled the new scheduler yet.
  bool over_ = false;     ///< The liveness phase has begun.
};

} // namespace consort::sim
