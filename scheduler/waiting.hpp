// SPDX-License-Identifier: Apache-2.0
#pragma once
/// What one request waits for, who cannot help it, and how it ends then. Pure functions of the
/// core's state, of which the rows that they are given must be part.

#include "scheduler/modules.hpp"

#include <optional>
#include <string>
#include <vector>

namespace consort::core {

struct wait_words {
  const char* state = "queued";
  std::string reason;
  time_us eta_at = 0;       ///< When it may start; 0 = unknown.
  time_us again_at = 0;     ///< When what failed, and is told of, is tried again; 0 = nothing is.
  awaited_device awaited{}; ///< What the reason says, where it waits by choice.
};
/// How long until then, as it is told: never below 0 or above limits::told_span_us_max.
[[nodiscard]] duration_us time_left(time_us at, time_us now);
/// What its selector's outlook says, or what is true of that very request where fewer may serve it.
/// Requires: the outlook is up to date.
[[nodiscard]] wait_words why_waits(const core_state& s, const request_row& r, time_us now);
/// What it waits for by choice although somebody could begin it, or what the first of its lane
/// does; nothing where neither does, or when that is over. Requires: the prospects of the outlook
/// are up to date; its words need not be.
[[nodiscard]] std::optional<wait_words> chosen_wait(const core_state& s, const request_row& r,
                                                    const outlook& seen, time_us now);
/// Requires: there is such a device.
[[nodiscard]] std::string awaited_words(const core_state& s, const awaited_device& awaited);
/// Of one model on one device, whose breaker is not closed: which, since what and until when.
[[nodiscard]] std::string breaker_words(const core_state& s, const pair_state& pair, time_us now);
/// The same of one that said that it is full.
[[nodiscard]] std::string full_words(const core_state& s, const pair_state& pair, time_us now);
/// Of the device of the selector that may be the first to have room again for the model; where none
/// is full, of the one whose breaker is the first to let somebody through. When the first of either
/// may serve. Without words when there is none.
[[nodiscard]] wait_words held_back(const core_state& s, index model, index selector, time_us now);
/// Where nobody but remote APIs may serve the selector now, and their budget is used up: that, and
/// when some of it is back. Without words otherwise.
[[nodiscard]] wait_words spent_for(const core_state& s, index model, index selector, time_us now);
/// Of the budget for remote APIs. Requires: remote_spent().
[[nodiscard]] std::string spent_words(const core_state& s, time_us now);
/// Those of the prospects that may be used now: what costs money only while some is left.
[[nodiscard]] std::vector<prospect> affordable(const core_state& s, index model,
                                               std::vector<prospect> among);
/// As endpoint_table::least_wait_ns, of those that may be used now: not remote APIs whose budget is
/// used up, nor degraded devices where the selector's policy wants healthy ones; then O(endpoints).
[[nodiscard]] std::optional<std::int64_t> usable_wait_ns(core_state& s, index model, index selector,
                                                         time_us now);
/// The devices of the selector that are part of an instance which another one leads; empty when
/// none is.
[[nodiscard]] std::string led_elsewhere(const core_state& s, index model, index selector);
/// The attempt was turned away for want of room: nothing is sent there for a while, of nobody.
/// `wait_us`: as who did so asked for; 0 = it did not. Requires: it has its instance.
void note_full(pass& p, const request_row& r, const std::string& why, duration_us wait_us);
/// After a change of what its instances say of their fullness, or of which there are: it is full
/// when all of them are, and what was known of it goes with the last.
void judge_room(core_state& s, index pair);
/// Whether nothing is wrong but that whoever it was sent to last had no room.
[[nodiscard]] bool only_full(const request_row& r);
/// Whether the last of its attempts went wrong otherwise than by being turned away.
[[nodiscard]] bool has_failed(const request_row& r);
/// How it ends when it was turned away as often as it may be.
[[nodiscard]] ending turned_away(core_state& s, index slot, time_us now);
/// The devices that are there and could serve the selector but take no work, each with the reason,
/// to be put behind other words; empty when there is none.
[[nodiscard]] std::string unfit_devices(const core_state& s, index model, index selector);
/// Whether it is known when what is loaded there can be: not while its build is late and silent.
[[nodiscard]] bool eta_known(const core_state& s, const option& by, time_us now);
/// Of weights that are on their way, to be put behind other words: whereto, and how much is there;
/// empty when none are.
[[nodiscard]] std::string fetch_words(const core_state& s, const option& by);
/// What keeps all of the prospects given from being begun: of the first, where each of them lacks
/// weights or an engine that cannot be made yet. Requires: there is one.
[[nodiscard]] wait_words held_up_words(const core_state& s, index model,
                                       const std::vector<prospect>& among, time_us now);
/// The same of loads that lack neither: of the one that may be begun first. Requires: there is one.
[[nodiscard]] wait_words load_waits(const core_state& s, index model,
                                    const std::vector<prospect>& among, time_us now);
/// What became of a load or build.
struct past_failure {
  std::string words;    ///< To be put behind others; empty when none failed.
  time_us again_at = 0; ///< When it is tried again; 0 = now, or not by itself.
};
/// Of the last one there.
[[nodiscard]] past_failure failed_before(const core_state& s, index model, const option& by);
/// What became of that of the prospects given which failed last; empty when none did.
[[nodiscard]] std::string latest_failure(const core_state& s, index model,
                                         const std::vector<prospect>& among);
/// When the first of them is tried again that failed; 0 = one waits for something else, which may
/// come at any time.
[[nodiscard]] time_us next_try_at(const core_state& s, index model,
                                  const std::vector<prospect>& among);
/// When the first of them is asked again, where every device that is up and may serve the selector
/// broke at its last limits::load_tries_max loads of the model and rests; nothing while there is
/// hope. Requires: the outlook is up to date.
[[nodiscard]] std::optional<time_us> all_rest_until(const core_state& s, index model,
                                                    index selector, time_us now);
/// Nobody waits for that: 503 with the words of each and the time of the next try, for all who had
/// no attempt before. Requires: all_rest_until() says so.
[[nodiscard]] ending broken_ending(const core_state& s, index model, index selector,
                                   time_us again_at, time_us now);
[[nodiscard]] ending gateway_502(const char* code, const std::string& what, const error& last);
/// Nobody may take it over now or ever: 502, `not_resumable` where nobody may continue what was
/// already sent, else `device_failed`.
[[nodiscard]] ending nobody_left(const core_state& s, const request_row& r, const error& last);
/// It waited long enough for another attempt.
[[nodiscard]] ending nobody_in_time(core_state& s, index slot, time_us now);

} // namespace consort::core
