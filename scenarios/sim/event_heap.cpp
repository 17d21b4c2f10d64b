// SPDX-License-Identifier: Apache-2.0
#include "scenarios/sim/event_heap.hpp"

#include <algorithm>

namespace consort::sim {

namespace {

constexpr std::size_t children = 4; // Half as deep as two, and a line of cache holds most of them.

} // namespace

void event_heap::at(time_us when, action what) {
  std::uint32_t place = 0;
  if (unused_.empty()) {
    place = static_cast<std::uint32_t>(actions_.size());
    actions_.push_back(std::move(what));
  } else {
    place = unused_.back();
    unused_.pop_back();
    actions_[place] = std::move(what);
  }
  keys_.emplace_back();
  rise(keys_.size() - 1, {std::max(when, now_), ++scheduled_, place});
}

bool event_heap::run_next() {
  if (keys_.empty())
    return false;
  const auto next = keys_.front();
  const auto last = keys_.back();
  keys_.pop_back();
  if (!keys_.empty())
    sink(0, last);
  now_ = next.when;
  ++steps_;
  // Out of its place first: what it schedules may need it.
  auto what = std::move(actions_[next.place]);
  unused_.push_back(next.place);
  what();
  return true;
}

void event_heap::rise(std::size_t at, key moved) {
  while (at > 0) {
    const auto parent = (at - 1) / children;
    if (!moved.before(keys_[parent]))
      break;
    keys_[at] = keys_[parent];
    at = parent;
  }
  keys_[at] = moved;
}

void event_heap::sink(std::size_t at, key moved) {
  const auto size = keys_.size();
  for (;;) {
    const auto first = at * children + 1;
    if (first >= size)
      break;
    auto least = first;
    for (auto child = first + 1; child < std::min(first + children, size); ++child)
      if (keys_[child].before(keys_[least]))
        least = child;
    if (!keys_[least].before(moved))
      break;
    keys_[at] = keys_[least];
    at = least;
  }
  keys_[at] = moved;
}

} // namespace consort::sim
