// SPDX-License-Identifier: Apache-2.0
// Spill-over to REMOTE devices and back: whether a request is tried on the cluster's own devices
// first, and what may be spent on others'.
#include "scheduler/modules.hpp"

#include <algorithm>

namespace consort::core {

namespace {

constexpr std::int64_t hour_ms = 3'600'000;

std::int64_t budget_of(const core_state& s) {
  return static_cast<std::int64_t>(
      std::min(s.config.remote_budget_micros_per_hour, limits::money_micros_max));
}

/// An hour's budget comes back over an hour, a little every moment, and is never saved up beyond.
std::int64_t gained(const core_state& s) {
  const auto span_ms = std::clamp<std::int64_t>((s.now - s.remote_refilled_at) / 1000, 0, hour_ms);
  return std::min(budget_of(s) * span_ms / hour_ms, budget_of(s) - s.remote_left_micros);
}

void refill(core_state& s) {
  const auto more = gained(s);
  if (more == 0)
    return;
  s.remote_refilled_at = s.now;
  s.remote_left_micros += more;
}

} // namespace

bool remote_barred(const core_state& s) {
  if (s.config.remote == remote_use::never)
    return true;
  return s.config.remote_budget_micros_per_hour != 0 && s.remote_left_micros + gained(s) <= 0;
}

bool stays_first(const core_state& s, const request_row& r) {
  // A deadline is met by whoever meets it.
  return s.config.remote == remote_use::overflow && r.deadline_at == 0;
}

void charge_remote(core_state& s, index device, std::int64_t predicted_ns) {
  if (s.config.remote_budget_micros_per_hour == 0 || !is_remote(s, device))
    return;
  refill(s);
  const auto members = stages_of(s, device);
  std::int64_t price = 0;
  for (const auto at : {device, members[0], members[1]}) // Of a plan, whichever is REMOTE.
    if (at != none && s.devices[at].spec.type == resource_type::remote)
      price += static_cast<std::int64_t>(
          std::min(s.devices[at].spec.spec.cost_micros_per_hour, limits::money_micros_max));
  const auto span_ms = std::clamp<std::int64_t>(predicted_ns / 1'000'000, 1, hour_ms);
  s.remote_left_micros -= price * span_ms / hour_ms + 1;
}

} // namespace consort::core
