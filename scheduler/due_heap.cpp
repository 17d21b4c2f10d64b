// SPDX-License-Identifier: Apache-2.0
#include "scheduler/due_heap.hpp"

namespace consort::core {

void due_heap::put(std::size_t place, entry value) {
  heap_[place] = value;
  place_[value.who] = static_cast<std::uint32_t>(place);
}

void due_heap::sift_up(std::size_t place, entry value) {
  while (place > 0) {
    const auto parent = (place - 1) / 2;
    if (!(value < heap_[parent]))
      break;
    put(place, heap_[parent]);
    place = parent;
  }
  put(place, value);
}

void due_heap::sift_down(std::size_t place, entry value) {
  for (;;) {
    auto child = 2 * place + 1;
    if (child >= heap_.size())
      break;
    if (child + 1 < heap_.size() && heap_[child + 1] < heap_[child])
      ++child;
    if (!(heap_[child] < value))
      break;
    put(place, heap_[child]);
    place = child;
  }
  put(place, value);
}

void due_heap::set(slot who, time_us at) {
  if (who >= place_.size())
    place_.resize(who + 1, absent);
  const entry value{at, who};
  if (place_[who] == absent) {
    heap_.push_back(value);
    return sift_up(heap_.size() - 1, value);
  }
  const auto place = place_[who];
  if (value < heap_[place])
    sift_up(place, value);
  else
    sift_down(place, value);
}

void due_heap::set_at_most(slot who, time_us at) {
  if (!contains(who) || at < heap_[place_[who]].at)
    set(who, at);
}

void due_heap::drop(slot who) {
  if (!contains(who))
    return;
  const auto place = place_[who];
  place_[who] = absent;
  const auto last = heap_.back();
  heap_.pop_back();
  if (last.who == who)
    return;
  if (place > 0 && last < heap_[(place - 1) / 2])
    sift_up(place, last);
  else
    sift_down(place, last);
}

std::optional<due_heap::entry> due_heap::first() const {
  if (heap_.empty())
    return std::nullopt;
  return heap_.front();
}

} // namespace consort::core
