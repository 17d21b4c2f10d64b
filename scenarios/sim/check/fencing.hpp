// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Work is placed only where it may run: a ticket is granted only on a lease that holds, under the
/// node's newest incarnation and epoch, and honoured only by a node of that incarnation and epoch,
/// before its expiry, once.

#include "scenarios/sim/id_sets.hpp"
#include "scenarios/sim/observer.hpp"

#include <map>

namespace consort::sim {

class fencing_checker : public checker {
public:
  void on_event(const core::event& happened, time_us now) override;
  void on_command(const core::command& wanted, time_us now) override;
  void on_ticket_honoured(const ticket& permission, const ticket_reception& how,
                          time_us now) override;

private:
  struct lease {
    incarnation life;
    epoch lease_epoch;
    time_us until = 0;
  };
  std::map<node_id, lease> leases_;
  attempt_set honoured_;
};

} // namespace consort::sim
