// SPDX-License-Identifier: Apache-2.0
#pragma once
/// How long a crowd takes: those of a model who wait, or where nobody does, one more who came now
/// and stands behind all whom engines hold. From that follows which device is loaded for those who
/// wait, and when one more is loaded although nobody waits here: requests are in engines that slow
/// down under them.
///
/// All is of the model's usual request, and linear: a carrier ends the first of a crowd after
/// `first_ns`, each further one later by what reading its prompt and one more in the batch take,
/// and who finds no place later by its share of a full batch's time. A crowd takes the time in
/// which all carriers together end it. Pure functions of the core's state, but for relieve().

#include "scheduler/state.hpp"

#include <span>

namespace consort::core {

/// Worth one more replica: at most this share of the time without it, its load or build included.
inline constexpr std::int64_t crowd_gain_pm = 700;
/// Between two looks at a model's crowds: more would say the same.
inline constexpr duration_us crowd_look_us = limits::second_us / 10;
/// Late by less, a load may be ready any moment: nobody knew how long it takes, and where it is on
/// its way others are not begun for that alone.
inline constexpr duration_us late_load_us = limits::starvation_us;

/// A replica, or a device that may have one, as it serves a crowd from now on. Every span is at
/// least 1 ns.
struct carrier {
  std::int64_t first_ns = 1;
  std::int64_t more_ns = 1; ///< Later, for each further one that has a place at once,
  std::int64_t turn_ns = 1; ///< and for each that takes the place of another.
  std::int64_t places = 0;  ///< How many have one; 0 = the first waits, and first_ns says so.

  /// When the last of so many would have ended there. Requires: at least 1.
  [[nodiscard]] std::int64_t ends_after(std::int64_t crowd) const;
  /// How many would have ended by then, at most so many.
  [[nodiscard]] std::int64_t ended_by(std::int64_t span_ns, std::int64_t crowd) const;
};

/// When all of a crowd would have ended, shared out so that it is soonest; no more than a part in
/// 64 late. Requires: somebody carries, the crowd is at least 1.
[[nodiscard]] std::int64_t time_of(std::int64_t crowd, std::span<const carrier> carriers);

/// One more carrier of several that could be, and the time with it.
struct addition {
  std::size_t which = 0;
  std::int64_t time_ns = 0;
};
/// The one with which the crowd ends soonest, ties to the first. Requires: there is one, and as
/// time_of().
[[nodiscard]] addition best_addition(std::int64_t crowd, std::span<const carrier> carriers,
                                     std::span<const carrier> more);

[[nodiscard]] work_size usual_size(const model_state& model);
/// A device where the model is not ready yet, `setup_us` from now on.
[[nodiscard]] carrier carrier_of(const core_state& s, const prospect& one, duration_us setup_us);
/// A place of the model's table, with those who are there. Requires: it is open.
[[nodiscard]] carrier carrier_at(const core_state& s, index model, index place);

/// Prospects by when they would have ended so many, ties by device id. Requires: `crowd` >= 1.
[[nodiscard]] std::vector<index> ranked(const core_state& s, const outlook& seen,
                                        std::int64_t crowd, time_us now);

/// A ticket was issued: if its engine is so full that one more replica might be worth it, the model
/// is looked at.
void note_crowd(core_state& s, const request_row& r);
/// Loads the model once more, or builds for that, where a crowd would end clearly sooner with it.
/// What was waited in vain counts: a crowd that lasted as long as a load takes has paid for it. One
/// at a time, where there is room, never on a remote API, and not while a version is replaced.
void relieve(pass& p, index model);

} // namespace consort::core
