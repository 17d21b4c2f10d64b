// SPDX-License-Identifier: Apache-2.0
#include "links/holds.hpp"

#include <algorithm>
#include <array>

namespace consort::links {

namespace {

/// Doublings beyond which any hold is at its longest; keeps the shift in range.
constexpr unsigned hold_doublings_max = 16;

} // namespace

bool is_offence(const std::string& code) {
  constexpr std::array offences
      = {"peer_too_fast", "wrong_kind", "wrong_name", "bad_frame", "frame_too_large"};
  return std::find(offences.begin(), offences.end(), code) != offences.end();
}

std::optional<error> holds::judge(const entry& one, const peer_identity& who, time_us now) const {
  if (now >= one.held_until)
    return std::nullopt;
  const auto left_ms = (one.held_until - now) / 1'000 + 1;
  return error{recovery::retry_later, "held_off",
               "the " + std::string(name_of(who.role)) + " `" + who.name
                   + "` broke the protocol or its limits and is held off for another "
                   + std::to_string(left_ms) + " ms; its own log says what it did"};
}

/// Null when there is no room: memory goes before the record of a name that nothing vouches for.
holds::entry* holds::find(const peer_identity& who, time_us now) {
  auto key = std::pair(who.role, who.name);
  if (const auto known = entries_.find(key); known != entries_.end())
    return &known->second;
  if (entries_.size() >= limits::holders_max)
    forget_calm(now);
  if (entries_.size() >= limits::holders_max)
    return nullptr;
  return &entries_.try_emplace(std::move(key), limits_).first->second;
}

void holds::forget_calm(time_us now) {
  for (auto at = entries_.begin(); at != entries_.end();) {
    auto& one = at->second;
    const bool calm = now >= one.held_until && one.joins.full(now) && one.slips.full(now);
    at = calm ? entries_.erase(at) : std::next(at);
  }
}

std::optional<error> holds::held(const peer_identity& who, time_us now) {
  const std::lock_guard lock(mutex_);
  const auto known = entries_.find(std::pair(who.role, who.name));
  return known == entries_.end() ? std::nullopt : judge(known->second, who, now);
}

std::optional<error> holds::judge_join(const peer_identity& who, time_us now) {
  const std::lock_guard lock(mutex_);
  auto* const one = find(who, now);
  if (one == nullptr)
    return std::nullopt;
  if (auto refusal = judge(*one, who, now))
    return refusal;
  if (one->joins.try_take(1, now))
    return std::nullopt;
  return error{recovery::retry_later, "joins_too_often",
               "the " + std::string(name_of(who.role)) + " `" + who.name
                   + "` joins again and again; is its name in use twice?"};
}

void holds::slipped(const peer_identity& who, time_us now) {
  const std::lock_guard lock(mutex_);
  auto* const one = find(who, now);
  if (one != nullptr && !one->slips.try_take(1, now))
    hold(*one, now);
}

void holds::offended(const peer_identity& who, time_us now) {
  const std::lock_guard lock(mutex_);
  if (auto* const one = find(who, now))
    hold(*one, now);
}

void holds::hold(entry& one, time_us now) {
  if (now < one.held_until)
    return; // Of what it had begun before.
  if (now >= one.held_until + limits_.hold_longest)
    one.times = 0;
  const auto doubled = limits_.hold_first << std::min(one.times, hold_doublings_max);
  one.held_until = now + std::min(doubled, limits_.hold_longest);
  ++one.times;
}

std::size_t holds::names() const {
  const std::lock_guard lock(mutex_);
  return entries_.size();
}

std::vector<held_peer> holds::held_now(time_us now) const {
  const std::lock_guard lock(mutex_);
  std::vector<held_peer> out;
  for (const auto& [who, one] : entries_)
    if (now < one.held_until)
      out.push_back({who.first, who.second, one.held_until - now});
  return out;
}

} // namespace consort::links
