// SPDX-License-Identifier: Apache-2.0
#include "scenarios/sim/event_heap.hpp"

#include <algorithm>
#include <bit>

namespace consort::sim {

std::uint32_t event_heap::free_place() {
  if (unused_.empty()) {
    actions_.emplace_back();
    return static_cast<std::uint32_t>(actions_.size() - 1);
  }
  const auto place = unused_.back();
  unused_.pop_back();
  return place;
}

void event_heap::put(time_us when, std::uint32_t place) {
  // Somebody looked ahead at the next entry, and this one comes before it.
  if (when < floor_)
    lower_floor(when);
  ++size_;
  into_bucket({when, place});
}

void event_heap::into_bucket(key added) {
  const auto differs = static_cast<std::uint64_t>(added.when ^ floor_);
  const auto which = static_cast<std::size_t>(std::bit_width(differs));
  keys_[which].push_back(added);
  filled_ |= std::uint64_t{1} << which;
}

/// Brings the earliest entries into bucket 0. Requires: !empty().
void event_heap::settle() {
  if (taken_ < keys_[0].size())
    return;
  keys_[0].clear();
  taken_ = 0;
  filled_ &= ~std::uint64_t{1};
  const auto which = static_cast<std::size_t>(std::countr_zero(filled_));
  auto& spread = keys_[which];
  floor_ = spread.front().when;
  for (const auto& one : spread)
    floor_ = std::min(floor_, one.when);
  // All of them differ from the new floor in lower bits only: none comes back into this bucket.
  for (const auto& one : spread)
    into_bucket(one);
  spread.clear();
  filled_ &= ~(std::uint64_t{1} << which);
}

/// Every entry anew, which rarely happens: whoever looks ahead mostly runs what it saw.
void event_heap::lower_floor(time_us floor) {
  std::vector<key> all;
  all.reserve(size_);
  keys_[0].erase(keys_[0].begin(), keys_[0].begin() + static_cast<std::ptrdiff_t>(taken_));
  for (auto& bucket : keys_) {
    all.insert(all.end(), bucket.begin(), bucket.end());
    bucket.clear();
  }
  filled_ = 0;
  taken_ = 0;
  floor_ = floor;
  for (const auto& one : all)
    into_bucket(one);
}

time_us event_heap::next_time() {
  settle();
  return floor_;
}

bool event_heap::run_next() {
  if (size_ == 0)
    return false;
  settle();
  const auto next = keys_[0][taken_++];
  --size_;
  now_ = next.when;
  ++steps_;
  // In its place, which nothing that it schedules can get.
  actions_[next.place]();
  unused_.push_back(next.place);
  return true;
}

} // namespace consort::sim
