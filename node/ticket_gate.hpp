// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Who may run an attempt on this node: checks a ticket's seal, its fences (incarnation, epoch,
/// lease), its expiry, and that it was never used before. Owned by the agent; thread-safe. Times
/// are on the scheduler's axis; the agent translates. Remembers used attempts until they expire, at
/// most limits::used_tickets_max of them.

#include "scheduler/types.hpp"

#include <map>
#include <mutex>
#include <set>
#include <string>

namespace consort::node {

class ticket_gate {
public:
  /// The key of the scheduler's present life, from the answer to hello. Another key starts over:
  /// no lease, nothing used, since nothing sealed before can be opened any more.
  void set_key(std::string key);
  /// The current lease. Within one incarnation an older epoch is ignored; a later `until` of the
  /// same epoch extends it.
  void set_lease(incarnation life, epoch current, time_us until);
  /// Admits the ticket at most once. Refusals by code: `ticket_forged`, `ticket_used` (refuse);
  /// `ticket_no_key`, `ticket_stale_incarnation`, `ticket_stale_epoch`, `ticket_expired`,
  /// `lease_expired` (retry elsewhere); `ticket_memory_full` (retry later).
  [[nodiscard]] result<done> admit(const ticket& permission, time_us now);

private:
  [[nodiscard]] result<done> check(const ticket& permission, time_us now) const;
  void forget_expired(time_us now);

  std::mutex mutex_;
  std::string key_;
  incarnation life_;
  epoch epoch_;
  time_us lease_until_ = 0;
  std::set<attempt_id> used_;
  std::multimap<time_us, attempt_id> used_by_expiry_;
};

} // namespace consort::node
