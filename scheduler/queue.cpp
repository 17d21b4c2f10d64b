// SPDX-License-Identifier: Apache-2.0
#include "scheduler/queue.hpp"

#include "scheduler/limits.hpp"

#include <tuple>

namespace consort::core {

void request_queue::add(const lane_key& key, const queue_place& place, const waiting_request& who) {
  if (lanes_[key].emplace(place, who).second)
    ++size_;
}

bool request_queue::remove(const lane_key& key, const queue_place& place) {
  const auto found = lanes_.find(key);
  if (found == lanes_.end() || found->second.erase(place) == 0)
    return false;
  --size_;
  if (found->second.empty())
    lanes_.erase(found);
  return true;
}

std::uint32_t request_queue::position(const lane_key& key, const queue_place& place) const {
  std::uint32_t ahead = 1;
  for (const auto& [other, members] : lanes_) {
    if (other.selector != key.selector)
      continue;
    const auto rank = std::tuple(other.priority, !other.has_deadline);
    const auto own = std::tuple(key.priority, !key.has_deadline);
    if (rank < own)
      ahead += static_cast<std::uint32_t>(members.size());
    else if (rank == own)
      for (auto at = members.begin(); at != members.end() && at->first < place; ++at)
        ++ahead;
  }
  return ahead;
}

bool starving(const waiting_request& who, time_us now) {
  return now - who.since > limits::starvation_us;
}

bool goes_before(const lane_key& left, const queue_place& left_place,
                 const waiting_request& left_head, const lane_key& right,
                 const queue_place& right_place, const waiting_request& right_head, time_us now) {
  const bool left_starves = starving(left_head, now);
  const bool right_starves = starving(right_head, now);
  if (left_starves != right_starves)
    return left_starves;
  if (left_starves)
    return left_place.sequence < right_place.sequence;
  return std::tuple(left.priority, !left.has_deadline, left_place)
         < std::tuple(right.priority, !right.has_deadline, right_place);
}

} // namespace consort::core
