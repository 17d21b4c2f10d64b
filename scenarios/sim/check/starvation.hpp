// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Waiting is bounded: once a request has waited for core::limits::starvation_us, no younger one of
/// the same model and selector that needs no less room is served before it, whatever its class.
/// Requests on their second attempt are left out: a failed device may be closed to them.

#include "scenarios/sim/observer.hpp"

#include <map>

namespace consort::sim {

class starvation_checker : public checker {
public:
  void on_event(const core::event& happened, time_us now) override;
  void on_command(const core::command& wanted, time_us now) override;
  void on_scheduler_lost(time_us) override { waiting_.clear(); }

private:
  struct waiter {
    time_us since = 0;
    std::uint64_t tokens = 0; ///< That it reserves.
    std::string external_id;
  };
  using lane = std::pair<std::string, std::string>; ///< Model and selector.

  void begin(const request_meta& meta, time_us now);
  void served(const request_id& request, time_us now);
  void forget(const request_id& request);

  std::map<lane, std::map<request_id, waiter>> waiting_;
  std::map<request_id, lane> lanes_;
};

} // namespace consort::sim
