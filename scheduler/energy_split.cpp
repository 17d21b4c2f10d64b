// SPDX-License-Identifier: Apache-2.0
#include "scheduler/energy_split.hpp"

#include "scheduler/limits.hpp"

#include <algorithm>
#include <utility>

namespace consort::core {

namespace {

constexpr std::uint64_t uj_per_mj = 1'000;
constexpr unsigned weight_bits = 16; ///< A microsecond alone is a weight of 2^16.

/// `whole * part / all`, rounded down, without overflow: of large weights only the leading 31 bits
/// count. Requires: part <= all, all > 0.
std::uint64_t share_of(std::uint64_t whole, std::uint64_t part, std::uint64_t all) {
  while (all >= (std::uint64_t{1} << 31U)) {
    all >>= 1U;
    part >>= 1U;
  }
  return whole / all * part + whole % all * part / all;
}

/// Power times time: milliwatts and microseconds are nanojoules.
std::uint64_t uj_of(std::uint64_t mw, std::uint64_t us) {
  return mw / 1'000 * us + mw % 1'000 * us / 1'000;
}

std::uint64_t mw_of(std::uint64_t uj, std::uint64_t us) {
  return std::min(uj / us * 1'000 + uj % us * 1'000 / us, limits::power_mw_max);
}

} // namespace

void energy_split::expect_idle(std::uint64_t idle_mw) {
  sheet_mw_ = idle_mw > 0 ? std::optional(std::min(idle_mw, limits::power_mw_max)) : std::nullopt;
}

std::optional<std::uint64_t> energy_split::idle_mw() const {
  const auto seen = seen_idle_mw();
  return sheet_mw_ && seen ? std::min(sheet_mw_, seen) : sheet_mw_ ? sheet_mw_ : seen;
}

std::optional<std::uint64_t> energy_split::seen_idle_mw() const {
  if (!windows_mw_.empty())
    return *std::min_element(windows_mw_.begin(), windows_mw_.end());
  // A part of a window is better than nothing, but not than a sheet.
  return window_us_ > 0 && !sheet_mw_ ? std::optional(mw_of(window_uj_, window_us_)) : std::nullopt;
}

std::optional<std::uint64_t> energy_split::counted(std::uint64_t uj) const {
  return counts_ ? std::optional(uj / uj_per_mj) : std::nullopt;
}

void energy_split::advance(time_us now) {
  const auto span = static_cast<std::uint64_t>(std::max<duration_us>(now - at_, 0));
  at_ = std::max(at_, now);
  if (running_.empty())
    return;
  const auto each = (span << weight_bits) / running_.size();
  passed_ += each;
  busy_ += each * running_.size();
}

void energy_split::begin(const attempt_id& attempt, time_us now) {
  advance(now);
  running_[attempt] = {passed_};
}

std::optional<std::uint64_t> energy_split::end(const attempt_id& attempt, time_us now) {
  advance(now);
  const auto found = running_.find(attempt);
  if (found == running_.end())
    return std::nullopt;
  const auto one = found->second;
  running_.erase(found);
  const auto part = passed_ - one.from;
  const bool current = at_ - read_at_ <= limits::energy_estimate_us_max;
  if (!one.known || !active_mw_ || !current) {
    unknown_ += part;
    return std::nullopt;
  }
  const auto since_uj = uj_of(*active_mw_, part >> weight_bits);
  told_uj_ += since_uj;
  return one.charged_uj + since_uj;
}

void energy_split::read(time_us now, std::uint64_t energy_mj) {
  if (now < at_) { // Not waited for: nothing would be split until it is there again.
    skip(now);
    reading_mj_ = energy_mj;
    return;
  }
  advance(now);
  if (reading_mj_ == energy_mj)
    return;
  const auto before = std::exchange(reading_mj_, energy_mj);
  const auto span = at_ - std::exchange(read_at_, at_);
  // No device draws that much: a counter that jumped, or time that stood still.
  const bool believed = before && energy_mj > *before && span > 0
                        && (energy_mj - *before) / static_cast<std::uint64_t>(span)
                               <= limits::power_mw_max / 1'000'000;
  if (believed) {
    const auto drawn_uj = (energy_mj - *before) * uj_per_mj;
    if (busy_ == 0)
      see_idle(drawn_uj, span);
    idle_mw() ? split(drawn_uj, span) : lose_track();
  } else {
    lose_track();
  }
  begin_interval();
}

void energy_split::skip(time_us now) {
  lose_track();
  begin_interval();
  active_mw_.reset();
  at_ = read_at_ = now;
}

void energy_split::see_idle(std::uint64_t drawn_uj, duration_us span) {
  window_uj_ += drawn_uj;
  window_us_ += static_cast<std::uint64_t>(span);
  if (window_us_ < static_cast<std::uint64_t>(limits::energy_idle_window_us))
    return;
  const auto mean = mw_of(std::exchange(window_uj_, 0), std::exchange(window_us_, 0));
  if (windows_mw_.size() < limits::energy_idle_windows)
    windows_mw_.push_back(mean);
  else
    windows_mw_[window_next_] = mean;
  window_next_ = (window_next_ + 1) % limits::energy_idle_windows;
}

void energy_split::split(std::uint64_t drawn_uj, duration_us span) {
  counts_ = true;
  const auto floor_uj = std::min(uj_of(*idle_mw(), static_cast<std::uint64_t>(span)), drawn_uj);
  const auto idle_uj = busy_ == 0 ? drawn_uj : floor_uj;
  idle_uj_ += idle_uj;
  charged_uj_ += drawn_uj - idle_uj;
  if (busy_ == 0)
    owed_uj_ = 0;
  else
    charge(drawn_uj - idle_uj, span);
}

void energy_split::charge(std::uint64_t active_uj, duration_us span) {
  const auto most = static_cast<std::int64_t>(active_uj / 2);
  const auto made_up = std::clamp(owed_uj_, -most, most);
  owed_uj_ -= made_up;
  const auto given = static_cast<std::uint64_t>(static_cast<std::int64_t>(active_uj) + made_up);
  auto rest = static_cast<std::int64_t>(given);
  for (auto& [attempt, one] : running_) {
    const auto part = share_of(given, passed_ - one.from, busy_);
    one.charged_uj += part;
    rest -= static_cast<std::int64_t>(part);
  }
  rest -= static_cast<std::int64_t>(share_of(given, unknown_, busy_));
  owed_uj_ += rest - static_cast<std::int64_t>(told_uj_);
  // A moment of work in a long rest says little: what is not the engine's is most of it.
  const auto busy_us = busy_ >> weight_bits;
  const bool telling = busy_us >= static_cast<std::uint64_t>(span) / limits::energy_busy_share;
  if (busy_us > 0 && (telling || !active_mw_))
    active_mw_ = mw_of(active_uj, busy_us);
}

/// Whoever ran since the last reading drew nobody knows how much.
void energy_split::lose_track() {
  for (auto& [attempt, one] : running_)
    one.known = false;
  owed_uj_ = 0;
}

void energy_split::begin_interval() {
  for (auto& [attempt, one] : running_)
    one.from = 0;
  passed_ = busy_ = unknown_ = told_uj_ = 0;
}

} // namespace consort::core
