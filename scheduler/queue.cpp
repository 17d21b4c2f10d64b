// SPDX-License-Identifier: Apache-2.0
#include "scheduler/queue.hpp"

#include "scheduler/cost_model.hpp"
#include "scheduler/limits.hpp"

#include <algorithm>
#include <tuple>

namespace consort::core {

namespace {

constexpr std::int64_t use_max = std::int64_t{1} << 60U;

bool named(const std::vector<std::uint32_t>& slots, std::uint32_t slot) {
  return std::find(slots.begin(), slots.end(), slot) != slots.end();
}

/// Looked at of a lane, oldest first, for one of that tenant.
constexpr std::size_t aged_looks_max = 2 * limits::lane_bypass_max;

const request_queue::tenant_line::value_type* first_of(const request_queue::tenant_line& line,
                                                       const std::vector<std::uint32_t>& but_for) {
  for (const auto& one : line)
    if (!named(but_for, one.second.slot))
      return &one;
  return nullptr;
}

/// Nothing where the tenant's are not among the oldest of the lane.
const request_queue::aged_line::value_type* oldest_of(const request_queue::aged_line& by_age,
                                                      std::uint32_t tenant,
                                                      const std::vector<std::uint32_t>& but_for) {
  std::size_t seen = 0;
  for (const auto& one : by_age) {
    if (seen++ == aged_looks_max)
      break;
    if (one.second.tenant == tenant && !named(but_for, one.second.slot))
      return &one;
  }
  return nullptr;
}

} // namespace

std::int64_t request_queue::least_use() const {
  auto least = use_max;
  for (const auto& [key, lane] : lanes_)
    least = std::min(least, lane.order.begin()->first);
  return size_ == 0 ? floor_ : least;
}

request_queue::tenant_share& request_queue::share_of(const tenant_key& tenant) {
  auto& one = shares_[tenant.at];
  if (one.generation != tenant.generation && one.waiting == 0)
    one = {0, tenant.generation, 0};
  return one;
}

void request_queue::move_lines(std::uint32_t tenant, std::int64_t from, std::int64_t to) {
  for (auto& [key, lane] : lanes_)
    if (auto moved = lane.order.extract({from, tenant})) {
      moved.value().first = to;
      lane.order.insert(std::move(moved));
    }
}

void request_queue::add(const lane_key& key, const tenant_key& tenant, const queue_place& place,
                        const waiting_request& who) {
  auto& share = share_of(tenant);
  // Whoever had nothing waiting has no claim for the time before.
  if (share.waiting == 0)
    share.use = std::max(share.use, least_use());
  auto& lane = lanes_[key];
  auto& line = lane.lines[tenant.at];
  const waiting_request placed{who.slot, who.since, tenant.at, place.deadline};
  if (!line.emplace(place, placed).second)
    return;
  lane.order.emplace(share.use, tenant.at);
  lane.by_age.emplace(std::pair(who.since, place.sequence), placed);
  ++share.waiting;
  ++size_;
}

bool request_queue::remove(const lane_key& key, std::uint32_t tenant, const queue_place& place) {
  if (!contains(key, tenant, place))
    return false;
  auto& lane = lanes_.at(key);
  auto& share = shares_.at(tenant);
  auto& line = lane.lines.at(tenant);
  lane.by_age.erase({line.at(place).since, place.sequence});
  line.erase(place);
  if (line.empty()) {
    lane.lines.erase(tenant);
    lane.order.erase({share.use, tenant});
  }
  if (lane.lines.empty())
    lanes_.erase(key);
  --share.waiting;
  if (--size_ > 0)
    return true;
  floor_ = std::max(floor_, share.use);
  granted_at_ = 0;
  return true;
}

bool request_queue::contains(const lane_key& key, std::uint32_t tenant,
                             const queue_place& place) const {
  const auto lane = lanes_.find(key);
  if (lane == lanes_.end())
    return false;
  const auto line = lane->second.lines.find(tenant);
  return line != lane->second.lines.end() && line->second.contains(place);
}

std::optional<queue_head> request_queue::head(const lane_key& key, bool aged,
                                              const std::vector<std::uint32_t>& but_for) const {
  const auto found = lanes_.find(key);
  if (found == lanes_.end())
    return std::nullopt;
  for (const auto& [use, tenant] : found->second.order) {
    if (const auto* oldest = aged ? oldest_of(found->second.by_age, tenant, but_for) : nullptr)
      return queue_head{
          key, tenant, use, {oldest->second.deadline, oldest->first.second}, oldest->second};
    if (const auto* first = first_of(found->second.lines.at(tenant), but_for))
      return queue_head{key, tenant, use, first->first, first->second};
  }
  return std::nullopt;
}

const lane_key* request_queue::aged_lane(time_us now) const {
  if (since_aged_ + 1 < limits::aged_every)
    return nullptr;
  const std::pair<const lane_key, lane_state>* due = nullptr;
  for (const auto& one : lanes_) {
    const auto& oldest = *one.second.by_age.begin();
    if (starving(oldest.second, now)
        && (due == nullptr || oldest.first < due->second.by_age.begin()->first))
      due = &one;
  }
  return due == nullptr ? nullptr : &due->first;
}

void request_queue::granted(bool aged, time_us now) {
  since_aged_ = aged ? 0 : std::min(since_aged_ + 1, limits::aged_every);
  if (granted_at_ != 0)
    grant_gap_us_ = robust_mean(grant_gap_us_, std::max<duration_us>(now - granted_at_, 1));
  // With nobody left, the time to the next grant is how long nobody came, and no pace.
  granted_at_ = size_ == 0 ? 0 : now;
}

void request_queue::charge(const tenant_key& tenant, std::int64_t tokens) {
  auto& share = share_of(tenant);
  const auto before = share.use;
  if (size_ == 0 && tokens > 0) {
    // Nobody waits: nobody is behind.
    share.use = std::max(share.use, floor_);
    floor_ = share.use;
  }
  const auto parts = tokens * use_unit / std::max<std::int64_t>(tenant.weight, 1);
  share.use = std::clamp<std::int64_t>(share.use + parts, 0, use_max);
  if (share.waiting > 0)
    move_lines(tenant.at, before, share.use);
}

std::int64_t request_queue::use_of(const tenant_key& tenant) const {
  const auto known = shares_.find(tenant.at);
  return known == shares_.end() || known->second.generation != tenant.generation
             ? 0
             : known->second.use;
}

namespace {

/// About how many of the lane came before that one.
std::size_t came_before(const request_queue::lane_state& lane, std::uint64_t sequence) {
  const auto first = lane.by_age.begin()->first.second;
  const auto last = lane.by_age.rbegin()->first.second;
  if (sequence <= first)
    return 0;
  if (sequence >= last)
    return lane.by_age.size();
  return lane.by_age.size() * (sequence - first) / (last - first);
}

} // namespace

std::size_t request_queue::before(const lane_key& key) const {
  std::size_t count = 0;
  for (const auto& [other, lane] : lanes_)
    if (other.priority <= key.priority && (key.late || !other.late))
      count += lane.by_age.size();
  return count;
}

std::uint32_t request_queue::position(const lane_key& key, std::uint32_t tenant,
                                      const queue_place& place) const {
  std::size_t ahead = 0;
  for (const auto& [other, lane] : lanes_) {
    if (other.selector != key.selector || other == key)
      continue;
    if (other.priority < key.priority)
      ahead += lane.by_age.size();
    else if (other.priority == key.priority)
      ahead += came_before(lane, place.sequence);
  }
  const auto own = lanes_.find(key);
  if (own == lanes_.end() || !own->second.lines.contains(tenant))
    return static_cast<std::uint32_t>(ahead + 1);
  const auto& lane = own->second;
  const auto& line = lane.lines.at(tenant);
  const auto last = line.rbegin()->first;
  // Within its line: the last one counts them all, the first none; in between by the sequence.
  const auto span = std::max<std::uint64_t>(last.sequence - line.begin()->first.sequence, 1);
  const auto rank
      = place == last ? line.size()
        : place == line.begin()->first
            ? 1
            : 1
                  + (line.size() - 1)
                        * (place.sequence - std::min(place.sequence, line.begin()->first.sequence))
                        / span;
  // Lines take turns until the shorter ones are empty.
  std::size_t turns = std::min(rank, line.size());
  turns = line.size() == lane.by_age.size()
              ? turns
              : std::min(turns * lane.lines.size(), lane.by_age.size());
  return static_cast<std::uint32_t>(ahead + std::max<std::size_t>(turns, 1));
}

std::optional<duration_us> request_queue::predicted_drain(std::size_t count, time_us now) const {
  if (grant_gap_us_ == 0)
    return std::nullopt;
  // A grant that is overdue says that the pace has dropped.
  const auto overdue = granted_at_ == 0 ? 0 : (now - granted_at_) / 2;
  const auto gap
      = std::min<std::int64_t>(std::max(grant_gap_us_, overdue), limits::queue_timeout_us);
  return gap * static_cast<std::int64_t>(std::min<std::size_t>(count, limits::requests_max));
}

bool starving(const waiting_request& who, time_us now) {
  return now - who.since > limits::starvation_us;
}

bool goes_before(const queue_head& left, const queue_head& right) {
  return std::tuple(left.key.priority, left.use, left.place)
         < std::tuple(right.key.priority, right.use, right.place);
}

} // namespace consort::core
