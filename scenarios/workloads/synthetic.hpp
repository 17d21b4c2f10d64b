// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Workloads that are drawn instead of recorded. Each owns its chance, forked from the run's seed,
/// so that a further workload shifts no other. Rates are per second of virtual time.

#include "scenarios/sim/random.hpp"
#include "scenarios/workloads/arrival.hpp"

#include <map>
#include <string>
#include <vector>

namespace consort::sim {

enum class arrival_process : std::uint8_t {
  poisson,
  gamma,   ///< Gaps of a Gamma distribution: `cv` above 1 is burstier than Poisson.
  bursts,  ///< Poisson at `peak_rate` for `on_us`, at `rate` for `off_us`, in turn.
  diurnal, ///< Poisson whose rate is a wave of `period_us`: rate * (1 + depth * sin).
  stages,  ///< Poisson, one rate after the other.
  closed,  ///< `clients` that each send again `think_us` (exponential) after an answer.
};

struct synthetic_settings {
  arrival_process process = arrival_process::poisson;
  double rate = 1;
  double cv = 1;
  double peak_rate = 1;
  duration_us on_us = 0;
  duration_us off_us = 0;
  std::vector<std::pair<double, duration_us>> stages; ///< Rate, and for how long.
  double depth = 0;                                   ///< 0 to 1.
  duration_us period_us = 0;
  std::uint32_t clients = 0;
  distribution think_s{distribution::kind::constant, 0, 0};
  distribution input;  ///< Prompt tokens; of a session's turn what is new in it.
  distribution output; ///< Tokens generated.

  /// A common beginning (system prompt, document) shared by all of one group.
  std::uint32_t prefix_groups = 0;  ///< 0 = none.
  std::uint32_t prefix_tokens = 0;  ///< Its length, on top of `input`.
  std::uint32_t prefix_prompts = 0; ///< Whole prompts of each group, asked again and again; 0 = new
                                    ///< ones every time.
  double prefix_skew = 0;           ///< Exponent of a Zipf law over groups; 0 = all alike.
  std::uint32_t block_tokens = 16;  ///< Of the hashes.

  /// A conversation: the next turn comes `think_s` after an answer, with all before it as prefix.
  std::uint32_t turns = 1;
};

class synthetic_source final : public arrival_source {
public:
  synthetic_source(const synthetic_settings& settings, std::uint64_t seed, const std::string& name,
                   time_us from, time_us until);

  [[nodiscard]] result<std::optional<arrival>> next() override;
  [[nodiscard]] std::optional<arrival> ended(const arrival& done, time_us now) override;

private:
  /// What a conversation has said so far.
  struct talk {
    std::uint32_t group = 0;
    std::uint32_t tokens = 0; ///< Prompt and answers together.
    std::uint32_t turns = 0;
    std::vector<std::uint64_t> prefix;
  };

  time_us gap();
  double rate_at(time_us now) const;
  arrival draw(time_us at);
  arrival turn(std::uint64_t session, talk& of, time_us at);
  std::uint32_t draw_group();
  void extend(std::vector<std::uint64_t>& prefix, std::uint64_t salt, std::uint32_t tokens) const;

  synthetic_settings settings_;
  random_source arrivals_;
  random_source sizes_;
  time_us at_;
  time_us until_;
  std::uint32_t started_ = 0; ///< Of a closed loop's clients.
  std::uint64_t sessions_ = 0;
  std::vector<double> group_weights_;   ///< Cumulated.
  std::map<std::uint64_t, talk> talks_; ///< Of sessions with turns to come.
};

/// A drawn span in microseconds, from 0 to just beyond the longest run: a rate of next to nothing
/// or a broad distribution draws spans that no integer holds.
[[nodiscard]] duration_us drawn_span_us(double seconds);
/// Draws from a Gamma distribution of mean 1 (Marsaglia and Tsang).
[[nodiscard]] double draw_gamma(random_source& chance, double shape);
/// Draws from a Weibull distribution of that shape and scale.
[[nodiscard]] double draw_weibull(random_source& chance, double shape, double scale);

} // namespace consort::sim
