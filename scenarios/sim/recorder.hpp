// SPDX-License-Identifier: Apache-2.0
#pragma once
/// The observer that writes down a run: one result per request, token gaps, counts. Keeps the first
/// limits::records_max requests, and counts the others.

#include "scenarios/limits.hpp"
#include "scenarios/sim/observer.hpp"
#include "scenarios/sim/random.hpp"
#include "scenarios/sim/summary.hpp"

#include <map>
#include <unordered_map>

namespace consort::sim {

class recorder : public observer {
public:
  /// Writes into `summary`, which outlives it. Where tokens are `gathered`, engines tell the gaps.
  recorder(run_summary& summary, bool gathered) : summary_(summary), gathered_(gathered) {}

  void on_submitted(const request_meta& meta, time_us now) override;
  void on_event(const core::event& happened, time_us now) override;
  void on_command(const core::command& wanted, time_us now) override;
  void on_tokens(const request_id& request, const device_id& device, std::uint32_t count,
                 time_us now) override;
  void on_gaps(duration_us gap, std::uint64_t count) override;
  void on_drawn(const attempt_id& attempt, std::optional<std::uint64_t> energy_mj,
                time_us now) override;
  void on_answered(const client_answer& ended, time_us now) override;
  void on_end(const core::snapshot& seen, time_us now) override;

private:
  struct live {
    std::size_t place = 0;     ///< In summary_.requests; records_max = kept here.
    request_result apart;      ///< Of those that are not kept.
    time_us last_token_at = 0; ///< Of its stream.
    device_id served_by;       ///< Whose tokens `counted` counts.
    std::uint64_t* counted = nullptr;
  };
  struct by_number {
    std::size_t operator()(const request_id& id) const {
      return static_cast<std::size_t>(core::mix(id.sequence ^ (id.gateway.value << 48U)));
    }
  };
  /// A device's last report; what it counts begins at 0 with each life of its node.
  struct last_report {
    node_id node;
    incarnation life;
    bool remote = false;
    std::uint64_t energy_mj = 0;
    std::uint64_t charged_mj = 0, idle_mj = 0;
    std::uint64_t micros = 0;
    std::uint64_t power_mw = 0;
  };
  request_result& result_of(live& one);
  struct build {
    node_id node;
    time_us began_at = 0;
  };
  void end_build(compile_id which, time_us now);
  void see_report(const core::device_reported& report);
  void count(const request_result& one);

  run_summary& summary_;
  bool gathered_;
  std::unordered_map<request_id, live, by_number> live_; ///< Not answered yet; never walked.
  std::unordered_map<std::string, last_report> reports_; ///< By device.
  std::map<compile_id, build> builds_;                   ///< Under way.
  std::uint64_t power_mw_ = 0;                           ///< Of all of them.
};

} // namespace consort::sim
