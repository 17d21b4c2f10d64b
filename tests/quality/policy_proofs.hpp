// SPDX-License-Identifier: Apache-2.0
#pragma once
/// The aims of the policies' quality as experiments: fixed fleets of published figures, generated
/// requests, one function for each aim. The program policy_quality prints them at full size,
/// policy_quality_test holds them at a smaller one. Deterministic.

#include "tests/quality/policy_bounds.hpp"

namespace consort::quality {

/// A device of docs/PERFORMANCE.md's fleets by name. Requires: it is one of them.
[[nodiscard]] chip known_chip(const std::string& name);
/// H100, 2 A100, 2 L40S, 2 RNGD, Inferentia2, 2 L4.
[[nodiscard]] std::vector<chip> mixed_fleet();
/// A100, L40S, RNGD, Inferentia2; after 5 s without work they sleep at a fifth of their idle power,
/// and take 0.5 s at full power to wake.
[[nodiscard]] std::vector<chip> sleepy_fleet();

/// Conversations' lengths (about 1,000 in, 200 out, long tails), at `rate` a second, at random.
[[nodiscard]] std::vector<arrival> conversations(std::size_t count, double rate,
                                                 std::uint64_t seed);
/// Requests a second that `throughput` gets through when all of them wait from the start.
[[nodiscard]] double saturated_rate(const std::vector<chip>& fleet, std::size_t count);

struct first_token_proof {
  figures latency, least_loaded;
};
/// The mixed fleet at so much of its saturated rate.
[[nodiscard]] first_token_proof prove_first_tokens(double load, std::size_t count);

struct throughput_proof {
  double seconds = 0, static_seconds = 0; ///< Until all have ended.
};
/// Prompts to read and answers to write, as many of each, on A100, L40S and RNGD.
[[nodiscard]] throughput_proof prove_throughput(std::size_t each, std::size_t grains);

struct prefix_proof {
  double latency = 0, prefix_only = 0, all_seeing = 0, bound = 0; ///< Shares of prompt tokens.
  figures latency_run, all_seeing_run;
};
/// Sessions that grow turn by turn over shared beginnings, on the mixed fleet.
[[nodiscard]] prefix_proof prove_prefix(std::size_t sessions, double rate);

struct energy_proof {
  figures latency, hybrid;
  /// The best found of what keeps 0.95 of latency's promises, and of what keeps as many as hybrid;
  /// only when searched for.
  figures found, found_alike;
  double floor_joules = 0; ///< For the span of hybrid's run.
};
/// `plays`: of each search; 0 = none.
[[nodiscard]] energy_proof prove_energy(double load, std::size_t count, std::size_t plays,
                                        std::uint64_t seed = 11);

} // namespace consort::quality
