// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Requests are conserved: what the core counts as submitted is what clients submitted, and at the
/// end it equals finished + failed + cancelled + rejected + expired, with nothing left inside.

#include "scenarios/sim/id_sets.hpp"
#include "scenarios/sim/observer.hpp"

#include <set>

namespace consort::sim {

class conservation_checker : public checker {
public:
  void on_event(const core::event& happened, time_us now) override;
  void on_command(const core::command& wanted, time_us now) override;
  void on_scheduler_lost(time_us now) override;
  void on_end(const core::snapshot& seen, time_us now) override;

private:
  void heard(const request_id& request);

  std::set<request_id> open_;   ///< In the books of the present scheduler.
  request_set closed_;          ///< Recorded for good: told of again they are not counted again.
  std::uint64_t submitted_ = 0; ///< To it, like recorded_.
  std::uint64_t recorded_ = 0;
};

} // namespace consort::sim
