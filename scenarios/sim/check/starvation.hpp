// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Waiting is bounded: once a request has waited for core::limits::starvation_us, no younger one of
/// the same model, selector, policy and class that needs no less room is served before it, but for
/// those with an earlier deadline; and the oldest of all, which gets every
/// core::limits::aged_every-th grant of its model at least, is passed by at most `passes_max` of
/// other classes or with earlier deadlines. Nobody is asked to wait for requests on their second
/// attempt: a failed device may be closed to them. But they keep their age, and those that came
/// before the oldest known have their turns before it, whatever they select: each such turn takes
/// back the passes between two turns. One that is told of again, which links may do, waits no more
/// than before.

#include "scenarios/sim/observer.hpp"
#include "scheduler/limits.hpp"

#include <deque>
#include <limits>
#include <map>
#include <set>

namespace consort::sim {

class starvation_checker : public checker {
public:
  /// Four turns, for grants that were decided before it began to starve and devices that it may not
  /// use.
  static constexpr std::uint32_t passes_max = 4 * core::limits::aged_every;
  /// The latest requests known, so that news of one that comes again is not taken for another.
  static constexpr std::size_t told_max = 65'536;

  void on_event(const core::event& happened, time_us now) override;
  void on_command(const core::command& wanted, time_us now) override;
  /// Its successor is told by the gateways who waits.
  void on_scheduler_lost(time_us) override {
    waiting_.clear();
    lanes_.clear();
  }

private:
  static constexpr time_us no_deadline = std::numeric_limits<time_us>::max();
  struct waiter {
    time_us since = 0;
    std::uint64_t tokens = 0; ///< That it reserves.
    std::string external_id;
    priority_class priority = priority_class::standard;
    time_us deadline = no_deadline;
    std::uint32_t passed = 0; ///< By others of its lane, since it is the oldest and starves, beyond
                              ///< those between turns of older ones.
  };
  using lane = std::pair<std::string, std::string>; ///< Model; selector and policy.

  void begin(const request_meta& meta, time_us now);
  /// Returns: whether it was not told of before.
  bool is_news(const request_id& request);
  void served(const request_id& request, time_us now);
  /// The turn by age of a model may have gone to that one, before all that came later.
  void give_turn(const ticket& granted);
  void forget(const request_id& request);

  std::map<lane, std::map<request_id, waiter>> waiting_;
  std::map<request_id, lane> lanes_;
  std::set<request_id> told_;
  std::deque<request_id> told_order_; ///< Oldest first.
};

} // namespace consort::sim
