// SPDX-License-Identifier: Apache-2.0
#pragma once
/// What a scenario promises its users, and the observer that counts whom it kept the promise to:
/// a share of arrivals, so that a refused request is a miss, and so is a gap over a failover. Keeps
/// one entry per live request, model and load under way. Single-threaded.

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
  void on_event(const core::event& happened, time_us now) override;
  void on_command(const core::command& wanted, time_us now) override;
  void on_tokens(const request_id& request, const device_id& device, std::uint32_t count,
                 time_us now) override;
  void on_answered(const client_answer& ended, time_us now) override;

  /// Share of all arrivals so far that got what was promised; nothing before the first. A client
  /// that left by itself counts for nothing.
  [[nodiscard]] std::optional<double> attainment() const;
  [[nodiscard]] std::uint64_t misses() const { return arrivals_ - kept_; }
  /// Of them, of requests that came before the first replica of their model had loaded, or while
  /// such a request still waited for its first token. More devices do not mend these.
  [[nodiscard]] std::uint64_t early_misses() const { return early_misses_; }

private:
  /// A model until its first replica has loaded, and those that came earlier are through.
  struct start {
    bool ready = false;
    std::uint64_t waiting = 0; ///< Of those that came earlier.
  };
  struct course {
    start* model = nullptr; ///< In starts_.
    bool counted = false;   ///< In its `waiting`.
    bool early = false;     ///< Came while it was not ready, or some waited.
    time_us submitted_at = 0;
    duration_us first_us_max = 0; ///< Promised to this one.
    time_us first_at = 0;
    time_us last_at = 0;
    duration_us gap_us = 0;
    std::uint32_t tokens = 0;
  };
  [[nodiscard]] bool kept(const course& one) const;
  static void wait_no_more(course& one);

  scenario_slo bounds_;
  std::map<request_id, course> live_;
  std::map<std::string, start> starts_;        ///< By model.
  std::map<instance_id, std::string> loading_; ///< Models.
  std::uint64_t arrivals_ = 0;
  std::uint64_t kept_ = 0;
  std::uint64_t early_misses_ = 0;
};

} // namespace consort::sim
