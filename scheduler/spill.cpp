// SPDX-License-Identifier: Apache-2.0
// Spill-over to REMOTE devices and back: whether a request is tried on the cluster's own devices
// first, and what may be spent on others'.
#include "scheduler/modules.hpp"
#include "scheduler/spending.hpp"

#include <algorithm>
#include <utility>

namespace consort::core {

namespace {

constexpr std::int64_t hour_ms = 3'600'000;

std::int64_t budget_of(const core_state& s) {
  return static_cast<std::int64_t>(
      std::min(s.config.remote_budget_micros_per_hour, limits::money_micros_max));
}

/// An hour's budget comes back over an hour, a little every moment, and is never saved up beyond
/// what is lacking. What was overspent may take hours. Requires: a budget above 0.
std::int64_t back_within(std::int64_t budget, duration_us span_us, std::int64_t lacking) {
  const auto span_ms = std::max<std::int64_t>(span_us / 1000, 0);
  const auto hours = std::min(span_ms / hour_ms, lacking / budget + 1); // No more are needed.
  return std::min(budget * hours + budget * (span_ms % hour_ms) / hour_ms, lacking);
}

/// Requires: there is a budget.
std::int64_t gained(const core_state& s) {
  const auto budget = budget_of(s);
  return back_within(budget, s.now - s.remote_refilled_at, budget - s.remote_left_micros);
}

void refill(core_state& s) {
  if (budget_of(s) == 0)
    return;
  const auto more = gained(s);
  if (more == 0 && s.remote_left_micros < budget_of(s)) // A part of a micro is not lost.
    return;
  s.remote_refilled_at = s.now;
  s.remote_left_micros += more;
}

} // namespace

void begin_spending(core_state& s) {
  const auto budget = budget_of(s);
  if (budget == 0)
    return;
  const auto told
      = static_cast<std::int64_t>(std::min(s.config.remote_spent_micros, limits::money_micros_max));
  s.remote_kept_micros = told - back_within(budget, s.config.remote_spent_age_us, told);
  s.remote_left_micros = budget - s.remote_kept_micros;
}

std::optional<std::uint64_t> spending_to_keep(core_state& s) {
  const auto budget = budget_of(s);
  if (budget == 0)
    return std::nullopt;
  const auto spent = std::max<std::int64_t>(budget - s.remote_left_micros - gained(s), 0);
  const auto since = s.now - s.remote_kept_at;
  const auto counted = s.remote_kept_micros - back_within(budget, since, s.remote_kept_micros);
  const auto beyond = budget / remote_kept_parts + 1;
  const bool too_much = spent + 2 * beyond < counted && since >= remote_kept_pause_us;
  if (spent <= counted && !too_much)
    return std::nullopt;
  s.remote_kept_micros = spent == 0 ? 0 : spent + beyond;
  s.remote_kept_at = s.now;
  return static_cast<std::uint64_t>(s.remote_kept_micros);
}

bool remote_barred(const core_state& s) {
  if (s.config.remote == remote_use::never)
    return true;
  return s.config.remote_budget_micros_per_hour != 0 && s.remote_left_micros + gained(s) <= 0;
}

bool remote_spent(const core_state& s) {
  return s.config.remote != remote_use::never && remote_barred(s);
}

time_us remote_back_at(const core_state& s) {
  constexpr std::int64_t hours_max = limits::told_span_us_max / 1000 / hour_ms + 1;
  const auto budget = budget_of(s);
  const auto need = 1 - s.remote_left_micros;
  const auto part_ms = (need % budget * hour_ms + budget - 1) / budget;
  const auto at
      = s.remote_refilled_at + (std::min(need / budget, hours_max) * hour_ms + part_ms) * 1000;
  return std::min(at, s.now + limits::told_span_us_max);
}

bool stays_first(const core_state& s, const request_row& r) {
  // A deadline is met by whoever meets it.
  return s.config.remote == remote_use::overflow && r.deadline_at == 0;
}

namespace {

/// What so many tokens cost, by the prices that scores go by. A bound rather than the bill: nobody
/// knows what of a prompt is in a provider's cache.
std::int64_t tokens_micros(const endpoint& at, std::int64_t prompt, std::int64_t output) {
  constexpr std::int64_t picos = 1'000'000;
  const auto bounded = [](std::int64_t tokens) { return std::min(tokens, scored_tokens_max); };
  return (bounded(prompt) * at.prompt_pico + bounded(output) * at.output_pico + picos - 1) / picos;
}

bool counts(const core_state& s, index device) {
  return s.config.remote_budget_micros_per_hour != 0 && is_remote(s, device);
}

/// What so long a stay at an endpoint costs by the hour's price of whichever of its devices is
/// REMOTE.
std::int64_t stay_micros(const core_state& s, const endpoint& at, std::int64_t span_ms) {
  const auto members = stages_of(s, at.device);
  std::int64_t price = 0;
  for (const auto one : {at.device, members[0], members[1]}) // Of a plan, whichever is REMOTE.
    if (one != none && s.devices[one].spec.type == resource_type::remote)
      price += static_cast<std::int64_t>(
          std::min(s.devices[one].spec.spec.cost_micros_per_hour, limits::money_micros_max));
  return price * std::clamp<std::int64_t>(span_ms, 1, hour_ms) / hour_ms + 1;
}

} // namespace

void charge_remote(core_state& s, index slot, index place, std::int64_t predicted_ns) {
  auto& r = s.requests[slot];
  const auto& at = s.models[r.model].endpoints.at(place);
  r.reserved_micros = 0;
  r.paid_micros = -1;
  if (!counts(s, at.device))
    return;
  refill(s);
  r.reserved_micros = stay_micros(s, at, predicted_ns / 1'000'000)
                      + tokens_micros(at, r.size.prompt_tokens,
                                      std::int64_t{r.size.output_tokens} * r.meta.choices);
  s.remote_left_micros -= r.reserved_micros;
}

void settle_remote(core_state& s, index slot) {
  auto& r = s.requests[slot];
  const auto reserved = std::exchange(r.reserved_micros, 0);
  const auto& at = s.models[r.model].endpoints.at(r.place);
  if (reserved == 0 && !counts(s, at.device))
    return;
  refill(s);
  // Nobody tells what a stream cost that was cut off: its prompt, and what came of the answer.
  const auto paid
      = r.paid_micros >= 0 ? r.paid_micros : tokens_micros(at, r.size.prompt_tokens, r.tokens);
  s.remote_left_micros += reserved - paid - stay_micros(s, at, (s.now - r.granted_at) / 1000);
}

} // namespace consort::core
