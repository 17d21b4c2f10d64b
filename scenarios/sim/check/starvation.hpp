// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Waiting is bounded: once a request has waited for core::limits::starvation_us, no younger one of
/// the same model, selector and class that needs no less room is served before it; and the oldest
/// of all classes, which gets every core::limits::aged_every-th grant at least, is passed by at
/// most `passes_max` of other classes. Requests on their second attempt are left out: a failed
/// device may be closed to them.

#include "scenarios/sim/observer.hpp"
#include "scheduler/limits.hpp"

#include <map>

namespace consort::sim {

class starvation_checker : public checker {
public:
  /// Four turns, for grants that were decided before it began to starve and devices that it may not
  /// use.
  static constexpr std::uint32_t passes_max = 4 * core::limits::aged_every;

  void on_event(const core::event& happened, time_us now) override;
  void on_command(const core::command& wanted, time_us now) override;
  void on_scheduler_lost(time_us) override { waiting_.clear(); }

private:
  struct waiter {
    time_us since = 0;
    std::uint64_t tokens = 0; ///< That it reserves.
    std::string external_id;
    priority_class priority = priority_class::standard;
    std::uint32_t passed = 0; ///< By others of its lane, since it is the oldest and starves.
  };
  using lane = std::pair<std::string, std::string>; ///< Model and selector.

  void begin(const request_meta& meta, time_us now);
  void served(const request_id& request, time_us now);
  void forget(const request_id& request);

  std::map<lane, std::map<request_id, waiter>> waiting_;
  std::map<request_id, lane> lanes_;
};

} // namespace consort::sim
