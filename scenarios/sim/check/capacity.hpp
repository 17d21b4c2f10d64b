// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Nothing is placed beyond capacity: the shares that the core reserves on a device never exceed
/// its memory (a whole share excludes every other), and an endpoint never runs more sequences or
/// holds more KV tokens than it declared.

#include "scenarios/sim/observer.hpp"

#include <map>
#include <set>

namespace consort::sim {

class capacity_checker : public checker {
public:
  void on_event(const core::event& happened, time_us now) override;
  void on_command(const core::command& wanted, time_us now) override;
  void on_scheduler_lost(time_us now) override;
  void on_ticket_honoured(const ticket& permission, const ticket_reception& how,
                          time_us now) override;

private:
  void forget_node(const node_id& node);
  void forget(allocation_id which);
  void check_device(const device_id& device, time_us now);

  std::map<device_id, device_spec> devices_;
  std::map<node_id, incarnation> lives_;
  std::map<allocation_id, allocation> allocations_;        ///< Reserved and not released.
  std::map<device_id, std::set<allocation_id>> on_device_; ///< Of these.
  std::set<allocation_id> answered_;                       ///< Whose node said that it holds them.
};

} // namespace consort::sim
