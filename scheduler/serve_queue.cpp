// SPDX-License-Identifier: Apache-2.0
// Who of those who wait is tried next: lanes by class and share, aged ones in their turn, and none
// of them in vain.
#include "scheduler/anew.hpp"
#include "scheduler/modules.hpp"

#include <algorithm>
#include <limits>

namespace consort::core {

namespace {

bool lane_known_blocked(const model_state& model, const outlook& seen, std::uint64_t version,
                        time_us now) {
  return seen.blocked_version == version && seen.blocked_releases == model.releases
         && now < seen.recheck_at;
}

void note_blocked(core_state& s, model_state& model, index selector, time_us now) {
  auto& seen = model.outlooks[selector];
  seen.blocked_version = s.version;
  seen.blocked_releases = model.releases;
  seen.recheck_at = model.recheck_at > now ? model.recheck_at : std::numeric_limits<time_us>::max();
}

/// Lanes that are known to be blocked are not tried.
void close_blocked_lanes(const core_state& s, const model_state& model, queue_walk& walk) {
  for (const auto& [key, lane] : model.queue.lanes()) {
    const auto seen = model.outlooks.find(key.selector);
    if (seen != model.outlooks.end() && lane_known_blocked(model, seen->second, s.version, s.now))
      walk.closed.push_back(key);
  }
}

bool is_closed(const queue_walk& walk, const lane_key& key) {
  return std::find(walk.closed.begin(), walk.closed.end(), key) != walk.closed.end();
}

struct next_one {
  std::optional<queue_head> head;
  bool aged = false;
};

/// Of the lanes that wait too long the one that does so longest, when it is such a lane's turn. One
/// that is blocked leaves it to the next: nobody starves for what others lack.
std::optional<queue_head> aged_head(const request_queue& queue, const queue_walk& walk,
                                    time_us now) {
  std::optional<queue_head> best;
  if (queue.aged_lane(now) == nullptr)
    return best;
  std::pair<time_us, std::uint64_t> since;
  for (const auto& [key, lane] : queue.lanes()) {
    const auto& [age, who] = *lane.by_age.begin();
    if (!starving(who, now) || (best && since < age) || is_closed(walk, key))
      continue;
    if (auto head = queue.head(key, true, walk.passed)) {
      best = std::move(head);
      since = age;
    }
  }
  return best;
}

next_one next_of(const request_queue& queue, const queue_walk& walk, time_us now) {
  if (auto head = aged_head(queue, walk, now))
    return {std::move(head), true};
  next_one best;
  for (const auto& [key, lane] : queue.lanes()) {
    if (is_closed(walk, key))
      continue;
    auto head = queue.head(key, false, walk.passed);
    if (head && (!best.head || goes_before(*head, *best.head)))
      best.head = std::move(head);
  }
  return best;
}

/// Nothing of the lane can start now. Who binds late waits by choice: others stand behind it only
/// when it is its turn by age.
void close_lane(core_state& s, model_state& model, const next_one& next, queue_walk& walk) {
  const auto& head = *next.head;
  if (starving(head.who, s.now) && !model.endpoints.empty() && (!head.key.late || next.aged))
    walk.blocked.push_back({head.key.selector, head.key.asks});
  note_blocked(s, model, head.key.selector, s.now);
  walk.closed.push_back(head.key);
}

} // namespace

void run_queue(pass& p, index at) {
  auto& s = p.s;
  auto& model = s.models[at];
  if (model.queue.empty())
    return;
  auto& walk = s.walk;
  walk.clear();
  close_blocked_lanes(s, model, walk);
  for (auto next = next_of(model.queue, walk, p.now); next.head;
       next = next_of(model.queue, walk, p.now)) {
    const auto slot = next.head->who.slot;
    switch (try_grant(p, slot, walk.blocked)) {
    case verdict::granted:
      dequeue(s, slot);
      model.queue.granted(next.aged, p.now);
      break;
    case verdict::impossible:
      if (forget_unshown(s.requests[slot])) // It is tried once more, as one that begins.
        model.placed_version = 0;
      else
        end_request(p, slot, impossible_ending(s, s.requests[slot]));
      break;
    case verdict::blocked: // Others of its lane may pass it where they may be served elsewhere.
      if (passed_by(s, s.requests[slot]) && walk.passed.size() < limits::lane_bypass_max)
        walk.passed.push_back(slot);
      else
        close_lane(s, model, next, walk);
    }
  }
}

} // namespace consort::core
