// SPDX-License-Identifier: Apache-2.0
// Tenants: who shares fairly with whom, and what each used. Known by name for as long as there is
// room; the row of whoever was idle longest goes to a new one.
#include "scheduler/modules.hpp"

#include <algorithm>

namespace consort::core {

namespace {

/// A free row, or that of who was idle longest; none while all have live requests.
index tenant_room(core_state& s) {
  if (s.tenants.size() < limits::tenants_max) {
    s.tenants.emplace_back();
    return static_cast<index>(s.tenants.size() - 1);
  }
  index idlest = none;
  for (index at = 0; at < s.tenants.size(); ++at)
    if (s.tenants[at].live == 0
        && (idlest == none || s.tenants[at].used_at < s.tenants[idlest].used_at))
      idlest = at;
  if (idlest != none)
    s.tenant_names.erase(s.tenants[idlest].id.value);
  return idlest;
}

/// What the request took of its model: what it is known to have, or is expected to.
std::int64_t used_tokens(const request_row& r, const ending& how) {
  if (how.outcome == request_outcome::finished)
    return std::int64_t{how.usage.prompt_tokens} + how.usage.completion_tokens;
  const auto emitted = std::max(r.emitted, r.tokens);
  return emitted == 0 ? 0 : std::int64_t{r.size.prompt_tokens} + emitted;
}

} // namespace

index enter_tenant(core_state& s, const tenant_id& id, time_us now) {
  auto at = find(s.tenant_names, id.value);
  if (at == none) {
    at = tenant_room(s);
    if (at == none) // All rows are in use: strangers share the first.
      at = 0;
    else {
      auto& row = s.tenants[at];
      const auto weight = s.config.tenant_weights.find(id.value);
      row = {id,
             weight == s.config.tenant_weights.end() ? 1U : std::max(weight->second, 1U),
             0,
             0,
             row.generation + 1,
             now};
      s.tenant_names.emplace(id.value, at);
    }
  }
  ++s.tenants[at].live;
  s.tenants[at].used_at = now;
  return at;
}

tenant_key key_of_tenant(const core_state& s, const request_row& r) {
  const auto& row = s.tenants[r.tenant];
  return {r.tenant, row.generation, row.weight};
}

void charge_expected(core_state& s, index slot) {
  auto& r = s.requests[slot];
  if (r.charged > 0) // A further attempt is not its tenant's doing.
    return;
  r.charged
      = std::int64_t{r.size.prompt_tokens} + std::int64_t{r.size.output_tokens} * r.meta.choices;
  s.models[r.model].queue.charge(key_of_tenant(s, r), r.charged);
}

void leave_tenant(core_state& s, index slot, const ending& how) {
  auto& r = s.requests[slot];
  if (r.charged > 0)
    s.models[r.model].queue.charge(key_of_tenant(s, r), used_tokens(r, how) - r.charged);
  --s.tenants[r.tenant].live;
}

} // namespace consort::core
