// SPDX-License-Identifier: Apache-2.0
#pragma once
/// What a scenario promises its users, and the observer that counts whom it kept the promise to:
/// a share of arrivals, so that a refused request is a miss, and so is a gap over a failover. Keeps
/// one entry per live request. Single-threaded.

#include "scenarios/sim/observer.hpp"

#include <map>

namespace consort::sim {

/// Bounds of one request. 0 = unbounded.
struct scenario_slo {
  duration_us ttft_us = 0;        ///< To the first token, whatever the prompt.
  duration_us ttft_per_1k_us = 0; ///< On top, per 1,000 prompt tokens.
  duration_us itl_us = 0;         ///< Mean gap between its tokens.
  duration_us gap_us = 0;         ///< Longest gap between its tokens.

  [[nodiscard]] bool given() const { return ttft_us > 0 || itl_us > 0 || gap_us > 0; }
};

class slo_watcher : public observer {
public:
  explicit slo_watcher(const scenario_slo& bounds) : bounds_(bounds) {}

  void on_submitted(const request_meta& meta, time_us now) override;
  void on_tokens(const request_id& request, const device_id& device, std::uint32_t count,
                 time_us now) override;
  void on_answered(const client_answer& ended, time_us now) override;

  /// Share of all arrivals so far that got what was promised; nothing before the first. A client
  /// that left by itself counts for nothing.
  [[nodiscard]] std::optional<double> attainment() const;

private:
  struct course {
    time_us submitted_at = 0;
    duration_us first_us_max = 0; ///< Promised to this one.
    time_us first_at = 0;
    time_us last_at = 0;
    duration_us gap_us = 0;
    std::uint32_t tokens = 0;
  };
  [[nodiscard]] bool kept(const course& one) const;

  scenario_slo bounds_;
  std::map<request_id, course> live_;
  std::uint64_t arrivals_ = 0;
  std::uint64_t kept_ = 0;
};

} // namespace consort::sim
