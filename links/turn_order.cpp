// SPDX-License-Identifier: Apache-2.0
#include "links/turn_order.hpp"

#include <limits>

namespace consort::links {

void turn_order::enter(id one, const std::string& key) {
  if (visitors_.size() >= limits::addresses_max && !visitors_.contains(key))
    forget_idle();
  const auto of = visitors_.try_emplace(key).first;
  guests_.emplace(one, guest{of});
  of->second.waiting.push_back(one);
  list(of->second);
}

void turn_order::leave(id one, bool well) {
  const auto found = guests_.find(one);
  if (found == guests_.end())
    return;
  const auto left = found->second;
  auto& own = left.of->second;
  guests_.erase(found);
  if (left.inside) {
    --own.inside;
    own.known = well;
    if (well && left.charged)
      strangers_.give(1);
  } else {
    own.waiting.remove(one);
  }
  list(own);
}

std::vector<turn_order::id> turn_order::call(time_us now) {
  std::vector<id> called;
  while (!ready_.empty()) {
    auto& own = *std::get<visitor*>(*ready_.begin());
    if (!own.known && !strangers_.try_take(1, now))
      break;
    auto& next = guests_.at(own.waiting.front());
    called.push_back(own.waiting.front());
    own.waiting.pop_front();
    next.inside = true;
    next.charged = !own.known;
    ++own.inside;
    if (next.charged)
      own.served_at = now;
    list(own);
  }
  return called;
}

std::optional<duration_us> turn_order::next(time_us now) {
  if (ready_.empty())
    return std::nullopt;
  return std::get<visitor*>(*ready_.begin())->known ? 0 : strangers_.until(1, now);
}

/// Requires: is called after every change of it.
void turn_order::list(visitor& one) {
  if (one.listed)
    ready_.erase(*one.listed);
  one.listed.reset();
  if (one.waiting.empty() || one.inside >= of_address_max_)
    return;
  constexpr auto never = std::numeric_limits<time_us>::min();
  one.listed = rank{!one.known, one.known ? never : one.served_at.value_or(never),
                    ~one.waiting.front(), &one};
  ready_.insert(*one.listed);
}

/// Strangers first: nobody becomes known without a certificate of ours.
void turn_order::forget_idle() {
  for (const bool known_too : {false, true}) {
    std::erase_if(visitors_, [&](const auto& entry) {
      const auto& one = entry.second;
      return one.waiting.empty() && one.inside == 0 && (known_too || !one.known);
    });
    if (visitors_.size() < limits::addresses_max)
      return;
  }
}

} // namespace consort::links
