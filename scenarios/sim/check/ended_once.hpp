// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Nothing is lost and nothing is answered twice: every submitted request is answered to its client
/// exactly once, recorded by the core exactly once (unless it ended while there was no scheduler,
/// or before its gateway's link let the core hear of it; what a scheduler recorded and died before
/// the client's gateway heard of is recorded by its successor, which cannot know), and a finished
/// one carries every token exactly once and in order, whatever happened to its attempts. That the
/// core gave up a gateway which comes back is no end.

#include "scenarios/sim/id_sets.hpp"
#include "scenarios/sim/observer.hpp"

#include <map>

namespace consort::sim {

class ended_once_checker : public checker {
public:
  void on_submitted(const request_meta& meta, time_us now) override;
  void on_event(const core::event& happened, time_us now) override;
  void on_command(const core::command& wanted, time_us now) override;
  void on_answered(const client_answer& ended, time_us now) override;
  void on_scheduler_lost(time_us now) override;
  void on_scheduler_replaced(time_us now) override;
  void on_end(const core::snapshot& seen, time_us now) override;

private:
  struct life {
    std::string external_id;
    std::uint32_t answers = 0;
    std::uint32_t records = 0;
    std::uint32_t unheard = 0; ///< Records of a scheduler that died before the client's end.
    bool told = false;         ///< The core heard of it.
    bool given_up = false;     ///< Recorded since its gateway was away for too long.
    bool excused = false;      ///< Ended while no scheduler could record it.
  };
  /// Of what was answered and recorded only this is kept.
  void close(const request_id& id);

  std::map<request_id, life> requests_; ///< Of which something is still to come.
  request_set closed_;
};

} // namespace consort::sim
