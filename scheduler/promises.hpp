// SPDX-License-Identifier: Apache-2.0
#pragma once
/// How many promises of one model and class are kept, for profiles that pick by SLO: how many more
/// may be let off to save energy and money, or have to be made up for. Pure; one for each class,
/// owned by model_state.

#include "scheduler/limits.hpp"

#include <algorithm>
#include <cstdint>

namespace consort::core {

/// What was predicted of a request's promise when it was sent to its device.
enum class promised : std::uint8_t {
  nothing, ///< Nobody was in time, its profile does not look at it, or its stream went on.
  in_time,
  late, ///< By choice: who was in time cost more.
};

class promise_ledger {
public:
  /// Whether one more may come late by choice.
  [[nodiscard]] bool spares_one() const { return credit_pm_ >= 1000; }
  /// One is sent where it will.
  void waive() { credit_pm_ -= 1000; }
  /// A request ended that was predicted so. Who nobody could serve in time says nothing of how much
  /// room predictions need.
  void ended(promised predicted, bool in_time) {
    if (predicted == promised::nothing)
      return;
    credit_pm_ += 1000 - limits::slo_kept_pm;
    if (predicted == promised::late && in_time)
      credit_pm_ += 1000; // Nothing was let off after all.
    else if (predicted == promised::in_time && !in_time)
      credit_pm_ -= 1000;
    credit_pm_ = std::clamp(credit_pm_, -1000 * limits::slo_debt_max, 1000 * limits::slo_spare_max);
  }
  /// Of the promised gap between tokens, per mille, what may be predicted for who begins: those who
  /// join later, and prompts that are read in between, make gaps longer than they begin. Less, the
  /// more promises have to be made up for.
  [[nodiscard]] std::int64_t gap_pm() const {
    constexpr auto most = limits::slo_gap_pm, least = limits::slo_gap_pm_min;
    return most
           + std::min<std::int64_t>(credit_pm_, 0) * (most - least) / (1000 * limits::slo_debt_max);
  }
  /// Thousandths of promises that may be broken; owed below 0.
  [[nodiscard]] std::int64_t credit_pm() const { return credit_pm_; }

private:
  std::int64_t credit_pm_ = 0;
};

} // namespace consort::core
