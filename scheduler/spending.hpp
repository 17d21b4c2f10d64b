// SPDX-License-Identifier: Apache-2.0
#pragma once
/// What is paid by the token, and what of the budget for REMOTE devices attempts take: as predicted
/// when they begin, as told when they end. The core's own; every attempt is settled exactly once,
/// through let_go. The hour's price of a device is charged by predicted time and stays charged.

#include "scheduler/state.hpp"

namespace consort::core {

// --- token_prices.cpp ---
struct token_rates {
  std::uint32_t prompt_pico = 0, output_pico = 0; ///< See endpoint_figures.
  bool guessed = false; ///< The device has prices, but none of this model: the dearest of them.
};
[[nodiscard]] token_rates token_rates_of(const core_state& s, index model, index device);

/// Of an hour's budget: what is counted as spent beyond what is, so that writing it down is rare.
inline constexpr std::int64_t remote_kept_parts = 64;
/// Between two notes that less is spent than was said: a burst of refunds is one.
inline constexpr duration_us remote_kept_pause_us = 1'000'000;

// --- spill.cpp ---
/// The budget as an earlier life left it. Once, before anything is spent.
void begin_spending(core_state& s);
/// See core::remote_spent_to_keep().
[[nodiscard]] std::optional<std::uint64_t> spending_to_keep(core_state& s);
/// Remote APIs may be used, but what may be spent on them is spent for now.
[[nodiscard]] bool remote_spent(const core_state& s);
/// When something may be spent again, at most limits::told_span_us_max from now. Requires:
/// remote_spent().
[[nodiscard]] time_us remote_back_at(const core_state& s);
/// An attempt is about to begin at a place of its model: takes what it is predicted to cost.
/// Requires: what its last attempt had taken is settled.
void charge_remote(core_state& s, index slot, index place, std::int64_t predicted_ns);
/// Its attempt is over: what was taken for tokens becomes what they cost. Requires: it holds its
/// endpoint still.
void settle_remote(core_state& s, index slot);

} // namespace consort::core
