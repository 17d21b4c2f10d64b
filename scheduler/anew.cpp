// SPDX-License-Identifier: Apache-2.0
#include "scheduler/anew.hpp"

#include "scheduler/dispatch.hpp"

#include <algorithm>

namespace consort::core {

namespace {

/// Requires: nothing of it was shown. `r` is a copy, of which devices are taken out in turn.
bool nobody_goes_on(const core_state& s, request_row r, const failover& how) {
  for (const auto device : r.shunned) // They are only full.
    std::erase(r.excluded, device);
  const bool any = possible_for(s, r);
  if (!any || !(how.exclude || how.died))
    return !any;
  r.excluded.push_back(r.last_device);
  if (possible_for(s, r))
    return false;
  r.emitted = 0;
  const bool asked_again = how.spare_last || how.died; // Or what is loaded there next.
  return !asked_again || possible_for(s, r);
}

} // namespace

bool begins_anew(const core_state& s, const request_row& r, const failover& how) {
  if (r.emitted == 0 || r.meta.streaming)
    return false;
  if (!r.meta.resumable)
    return true;
  return s.now >= s.returning_until && nobody_goes_on(s, r, how);
}

bool forget_unshown(request_row& r) {
  if (r.emitted == 0 || r.meta.streaming)
    return false;
  r.emitted = 0;
  r.counted = false;
  return true;
}

void note_text(const core_state& s, request_row& r, std::uint32_t tokens) {
  r.emitted = std::max(r.emitted, tokens);
  if (begins_anew(s, r, {}))
    forget_unshown(r);
}

} // namespace consort::core
