// SPDX-License-Identifier: Apache-2.0
#pragma once
/// The observer that writes down a run: one result per request, token gaps, counts. Keeps every
/// request of the run (limits::requests_max).

#include "scenarios/sim/observer.hpp"
#include "scenarios/sim/summary.hpp"

#include <map>

namespace consort::sim {

class recorder : public observer {
public:
  /// Writes into `summary`, which outlives it. Where tokens are `gathered`, engines tell the gaps.
  recorder(run_summary& summary, bool gathered) : summary_(summary), gathered_(gathered) {}

  void on_submitted(const request_meta& meta, time_us now) override;
  void on_command(const core::command& wanted, time_us now) override;
  void on_tokens(const request_id& request, const device_id& device, std::uint32_t count,
                 time_us now) override;
  void on_gaps(duration_us gap, std::uint64_t count) override;
  void on_answered(const client_answer& ended, time_us now) override;

private:
  request_result& result_of(const request_id& request);

  run_summary& summary_;
  bool gathered_;
  std::map<request_id, std::size_t> places_; ///< In summary_.requests.
  std::map<request_id, time_us> last_token_; ///< Of live streams.
};

} // namespace consort::sim
