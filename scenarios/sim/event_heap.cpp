// SPDX-License-Identifier: Apache-2.0
#include "scenarios/sim/event_heap.hpp"

#include <algorithm>

namespace consort::sim {

bool event_heap::later(const entry& left, const entry& right) {
  return left.when != right.when ? left.when > right.when : left.sequence > right.sequence;
}

void event_heap::at(time_us when, action what) {
  entries_.push_back({std::max(when, now_), ++scheduled_, std::move(what)});
  std::push_heap(entries_.begin(), entries_.end(), later);
}

bool event_heap::run_next() {
  if (entries_.empty())
    return false;
  std::pop_heap(entries_.begin(), entries_.end(), later);
  const auto next = std::move(entries_.back());
  entries_.pop_back();
  now_ = next.when;
  ++steps_;
  next.what();
  return true;
}

} // namespace consort::sim
