// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Who drew what one meter counted: shares of it to the attempts that ran, the rest to nobody. One
/// per meter, which may be a board of several devices. Pure, in integers, reads no clock; a node
/// and the simulator use the same. Single-threaded.
///
/// Assumptions: a meter counts energy; between two readings its idle power is the same as ever.
///
/// Idle power is the spec sheet's, or the least mean of the last windows of seconds in which
/// nothing ran (limits::energy_idle_windows) if that is less or the sheet is silent; until the
/// first of them is full, what there is of it stands in for a silent sheet. Single readings are too
/// early or too late, and strangers come and go. Nobody knows it: nothing is split.
///
/// Algorithm, at each reading that moved: idle power times time is idle; all else is active, and
/// shared by the attempts that ran since the reading before. An attempt's weight is its time in the
/// engine, each moment of it divided by how many ran then: that much is known of every runtime, and
/// what ran alone pays alone. Tokens would need prices of their own for prompts, caches and
/// answers. With nobody there, everything is idle: loads, compiles and strangers draw it.
///
/// An attempt that ends between readings is told what it was charged so far, and for the time since
/// the active power of before. By how much that was wrong shows at the next reading, and is charged
/// to those who ran then, of each reading at most half of what was active; after a reading that
/// nobody ran before it is let go. So what attempts are told adds up to what is charged, but for
/// what ended unknown or was let go.
///
/// Formula: charged + idle = growth of the meter over the readings that were split, exactly.

#include "scheduler/ids.hpp"
#include "scheduler/limits.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

namespace consort::core::limits {

/// Without attempts, of which one mean is taken: single seconds lie.
inline constexpr duration_us energy_idle_window_us = 10 * second_us;
/// Of so many the least is idle power; older ones are forgotten, and it may rise again.
inline constexpr std::size_t energy_idle_windows = 60;

} // namespace consort::core::limits

namespace consort::core {

class energy_split {
public:
  /// Of the spec sheet; 0 = it is silent.
  explicit energy_split(std::uint64_t idle_mw = 0) { expect_idle(idle_mw); }

  /// Another spec sheet.
  void expect_idle(std::uint64_t idle_mw);
  /// An attempt reached the engine, or left it. Times that go back count as none. Returns: what it
  /// drew, microjoules; nothing when that is unknown, or the attempt.
  void begin(const attempt_id& attempt, time_us now);
  std::optional<std::uint64_t> end(const attempt_id& attempt, time_us now);
  /// The meter's counter now. One that did not move says nothing yet; one that went back was set to
  /// 0, and who drew what before is unknown. So it is where time went back.
  void read(time_us now, std::uint64_t energy_mj);
  /// Until now the meter stood still because nobody read what it counts: who drew what is unknown,
  /// and what it grows by from here was drawn from here on.
  void skip(time_us now);

  /// Nothing until a reading was split.
  [[nodiscard]] std::optional<std::uint64_t> charged_mj() const { return counted(charged_uj_); }
  [[nodiscard]] std::optional<std::uint64_t> idle_mj() const { return counted(idle_uj_); }
  /// Of a device with nobody on it; nothing = unknown.
  [[nodiscard]] std::optional<std::uint64_t> idle_mw() const;
  /// Told too little (or too much, below 0) to those who ended; the next readings make up for it.
  [[nodiscard]] std::int64_t owed_uj() const { return owed_uj_; }
  [[nodiscard]] std::size_t running() const { return running_.size(); }

private:
  /// Microseconds of the engine, divided by who shared them, in 2^16 parts.
  using weight = std::uint64_t;
  struct share {
    weight from = 0; ///< Of `passed_`, when it came or at the last reading.
    std::uint64_t charged_uj = 0;
    bool known = true;
  };
  [[nodiscard]] std::optional<std::uint64_t> counted(std::uint64_t uj) const;
  void advance(time_us now);
  [[nodiscard]] std::optional<std::uint64_t> seen_idle_mw() const;
  void see_idle(std::uint64_t drawn_uj, duration_us span);
  void split(std::uint64_t drawn_uj, duration_us span);
  void charge(std::uint64_t active_uj, duration_us span);
  void lose_track();
  void begin_interval();

  std::optional<std::uint64_t> sheet_mw_; ///< Idle.
  std::vector<std::uint64_t> windows_mw_; ///< Idle, of the last full windows; a ring.
  std::size_t window_next_ = 0;           ///< The ring's oldest, once it is full.
  std::uint64_t window_uj_ = 0;           ///< Of the window that is not full.
  std::uint64_t window_us_ = 0;
  std::map<attempt_id, share> running_;
  time_us at_ = 0;            ///< Up to when weights are counted.
  weight passed_ = 0;         ///< Since the last reading, of one that was there all the time.
  weight busy_ = 0;           ///< Likewise, of all together.
  weight unknown_ = 0;        ///< Of `busy_`, of those who ended and could not be told.
  std::uint64_t told_uj_ = 0; ///< Since the last reading, to those who ended.
  std::optional<std::uint64_t> reading_mj_; ///< The last.
  time_us read_at_ = 0;
  std::optional<std::uint64_t> active_mw_; ///< Latest mean while somebody ran.
  std::int64_t owed_uj_ = 0;
  std::uint64_t charged_uj_ = 0, idle_uj_ = 0;
  bool counts_ = false; ///< A reading was split.
};

} // namespace consort::core
