// SPDX-License-Identifier: Apache-2.0
#pragma once
/// One trace on one fleet under one policy of the shipped core, in virtual time: feeds the core
/// what nodes and gateways would tell, and does what it commands. Or, beside it, the same engines
/// under a rule that sees all of them. Deterministic: same arguments, same figures. Not a test.

#include "scheduler/core.hpp"
#include "tests/quality/policy_fleet.hpp"

#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace consort::quality {

/// What became of the requests that count.
struct figures {
  double span_s = 0; ///< From the first one's submission to the last one's end.
  double tokens = 0, joules = 0, money = 0;
  double slo_share = 0, cached_share = 0, busy_share = 0, fairness = 1;
  double first_p50_ms = 0, first_p99_ms = 0, gap_p50_ms = 0, gap_p99_ms = 0;
  std::vector<double> tokens_by_engine;
  /// Of the meters of the whole run: what attempts were told that they drew, and what is idle.
  /// Without a scheduler nobody is told.
  double told_share = 0, idle_share = 0;
  std::vector<std::size_t> engine_of; ///< By arrival, those that do not count too.
};

struct outcome {
  time_us submitted = 0, granted = 0, first = 0, ended = 0;
  std::uint32_t cached = 0, attempt = 0;
  std::size_t engine = 0;
  bool refused = false;
};

/// Requests before number `skip` are played, and count nothing: the core learns from them.
[[nodiscard]] figures play_policy(const std::vector<chip>& fleet,
                                  const std::vector<arrival>& arrivals, const std::string& policy,
                                  std::size_t skip = 0);

/// Which engine takes a request at its arrival. May look at all engines as they are.
using hindsight_rule = std::function<std::size_t(const std::vector<engine>&, const arrival&)>;
/// The same without a scheduler: every request goes to an engine as it comes.
[[nodiscard]] figures play_rule(const std::vector<chip>& fleet,
                                const std::vector<arrival>& arrivals, const hindsight_rule& rule,
                                std::size_t skip = 0);

} // namespace consort::quality
