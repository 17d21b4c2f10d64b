// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Carries out a scenario's faults on real processes, as scenarios/sim/fault_injector.hpp does on
/// simulated ones: SIGKILL, SIGSTOP, a new process, a relay that holds or breaks a link, a node's
/// fault menu. Each at its time, for its span, and all of them healed when the liveness phase
/// begins. Owned by the rehearsal, on its one thread.

#include "cli/live/cluster.hpp"
#include "scenarios/sim/event_heap.hpp"
#include "scenarios/sim/observer.hpp"

namespace consort::live {

class faults {
public:
  /// All that it is given outlives it. `clock` is the run's axis.
  faults(boost::asio::io_context& io, sim::event_heap& heap, cluster& processes,
         const sim::observer_list& watchers, std::function<time_us()> clock);

  void schedule(const std::vector<sim::scenario_fault>& planned);
  /// The liveness phase begins: everything is well again, and stays so.
  void heal_all();

private:
  void inject(const sim::scenario_fault& fault);
  void heal(const sim::scenario_fault& fault);
  void strike(const sim::scenario_fault& fault, const std::string& target, bool begins);
  void strike_node(const sim::scenario_fault& fault, const std::string& node, bool begins);
  void strike_device(const sim::scenario_fault& fault, const std::string& device, bool begins);
  void strike_compilers(const sim::scenario_fault& fault, const std::string& node, bool begins);
  void replace_scheduler(bool begins);
  task<void> upgrade(const sim::scenario_fault& fault);
  void tell(const sim::scenario_fault& fault, const std::string& target, bool begins);

  boost::asio::io_context& io_;
  sim::event_heap& heap_;
  cluster& processes_;
  const sim::observer_list& watchers_;
  std::function<time_us()> clock_;
  const std::vector<sim::scenario_fault>* planned_ = nullptr;
  std::map<std::string, node::simulated_troubles> menus_; ///< By node.
  bool over_ = false;
};

} // namespace consort::live
