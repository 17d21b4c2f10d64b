// SPDX-License-Identifier: Apache-2.0
#include "scheduler/endpoints.hpp"

#include "scheduler/limits.hpp"

#include <algorithm>
#include <cassert>
#include <limits>

namespace consort::core {

std::uint32_t backlog_of(std::uint32_t sequences) {
  return std::max<std::uint32_t>(
      1, static_cast<std::uint32_t>(std::uint64_t{sequences} * limits::endpoint_backlog_pm / 1000));
}

duration_us endpoint::worst_gap(time_us now) const {
  return std::max(worst_gap_us - (now - worst_gap_at) / limits::worst_gap_decay,
                  limits::report_period_us);
}

void endpoint::saw_gap(duration_us gap, time_us now) {
  worst_gap_us = std::min(std::max(gap, worst_gap(now)), limits::stall_max_us);
  worst_gap_at = now;
}

void endpoint_table::insert(index place, const endpoint& one) {
  all_.insert(all_.begin() + place, one);
  paces_.insert(paces_.begin() + place, endpoint_pace{});
  rooms_.insert(rooms_.begin() + place, endpoint_room{});
  ids_.insert(ids_.begin() + place, one.id);
  lower_floors_from(place);
}

void endpoint_table::erase(index place) {
  assert(all_[place].seq_used == 0 && all_[place].kv_used == 0);
  all_.erase(all_.begin() + place);
  paces_.erase(paces_.begin() + place);
  rooms_.erase(rooms_.begin() + place);
  ids_.erase(ids_.begin() + place);
  lower_floors_from(place);
}

void endpoint_table::lower_floor(index block) {
  const auto first = block * pace_block;
  const auto end = std::min<std::size_t>(first + pace_block, paces_.size());
  auto floor = paces_[first];
  for (std::size_t at = first + 1; at < end; ++at) {
    floor.queue_ns = std::min(floor.queue_ns, paces_[at].queue_ns);
    floor.prefill_ns = std::min(floor.prefill_ns, paces_[at].prefill_ns);
    floor.itl_ns = std::min(floor.itl_ns, paces_[at].itl_ns);
  }
  floors_[block] = floor;
}

/// Places at and behind this one have moved.
void endpoint_table::lower_floors_from(index place) {
  floors_.resize((paces_.size() + pace_block - 1) / pace_block);
  for (auto block = place / pace_block; block < floors_.size(); ++block)
    lower_floor(block);
}

void endpoint_table::refresh(index place, const speed_estimate& speed) {
  const auto& one = all_[place];
  auto& pace = paces_[place];
  auto& room = rooms_[place];
  const auto used = one.seq_used + one.seq_foreign;
  const bool full = used >= one.seq_max;
  pace.queue_ns
      = one.open ? queue_term(full, one.prefill_ahead_ns, one.work_ns, one.seq_max) : term_ns_max;
  pace.prefill_ns = speed.prefill_ns;
  pace.itl_ns = speed.itl_ns(std::min(used + 1, one.seq_max));
  lower_floor(place / pace_block);
  // An idle endpoint takes any request: only the engine knows whether it is too long.
  const bool idle = one.seq_used == 0;
  room.kv_free = one.kv_max == 0 || idle ? std::numeric_limits<std::int64_t>::max()
                                         : static_cast<std::int64_t>(one.kv_max)
                                               - static_cast<std::int64_t>(one.kv_used);
  const auto left = std::int64_t{one.seq_max} + backlog_of(one.seq_max) - used;
  room.seq_free = !one.open ? -1
                  : idle    ? std::numeric_limits<std::int32_t>::max()
                            : static_cast<std::int32_t>(std::max<std::int64_t>(left, 0));
  room.device = one.device;
  room.samples = speed.samples;
}

void endpoint_table::reserve(index place, const reservation& held) {
  auto& one = all_[place];
  one.seq_used += held.sequences;
  one.kv_used += held.kv_tokens;
  one.work_ns += held.work_ns;
  one.prefill_ahead_ns += held.prefill_ns;
}

void endpoint_table::release(index place, const reservation& held) {
  auto& one = all_[place];
  assert(one.seq_used >= held.sequences && one.kv_used >= held.kv_tokens);
  one.seq_used -= held.sequences;
  one.kv_used -= held.kv_tokens;
  one.work_ns -= held.work_ns;
  one.prefill_ahead_ns -= held.prefill_ns;
}

void endpoint_table::first_token(index place, reservation& held) {
  all_[place].prefill_ahead_ns -= held.prefill_ns;
  held.prefill_ns = 0;
}

} // namespace consort::core
