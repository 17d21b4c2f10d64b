// SPDX-License-Identifier: Apache-2.0
#pragma once
/// The attempts of one host session: numbers them for the host, checks that what the host says
/// about them makes sense, and hands it to their sinks. Owned by host_link; single-threaded; does
/// no I/O and reads no clock.
///
/// Invariants: a number is used once; a sink gets `attempt_opened` first and exactly one terminal
/// event last; an attempt that was cancelled never ends as a device fault. A host that breaks the
/// order, names a number that is not live, answers a choice that nobody asked for, sends text that
/// is not UTF-8 or floods is reported as `host_protocol`, and the caller kills it.

#include "messages/attempt_service.hpp"
#include "messages/limits.hpp"
#include "node/runtimes/c_abi_runtime.hpp"

#include <bitset>
#include <deque>
#include <optional>
#include <unordered_map>

namespace consort::node {

class attempt_table {
public:
  explicit attempt_table(const c_abi_limits& bounds) : bounds_(bounds) {}

  /// Begins an attempt of `choices`, messages::limits::choices_max at most. Returns: its number for
  /// the host; `session_full` (retry later) or `attempt_repeated` (bug) otherwise, and then the
  /// sink is not kept.
  [[nodiscard]] result<std::uint64_t> add(const attempt_id& attempt,
                                          std::shared_ptr<attempt_sink> sink,
                                          std::uint32_t choices = messages::limits::choices_max);
  /// Returns: the number to cancel, or nothing when the attempt is not live or cancelled already.
  [[nodiscard]] std::optional<std::uint64_t> cancel(const attempt_id& attempt, time_us now);
  /// When the oldest unanswered cancel was sent.
  [[nodiscard]] std::optional<time_us> oldest_cancel();

  /// Delivers what the host said. Returns: `host_protocol` when it cannot be true; nothing was
  /// delivered then.
  [[nodiscard]] result<done> deliver(std::uint64_t request, attempt_event happened);
  /// Ends an attempt that never reached the host. Requires: it is live.
  void withdraw(std::uint64_t request, attempt_aborted why) { end(request, std::move(why)); }
  /// Ends every attempt: cancelled ones as such, the others with `failure`.
  void abort_all(const error& failure, bool device_fault);

  [[nodiscard]] std::size_t size() const { return live_.size(); }

private:
  struct live_attempt {
    attempt_id attempt;
    std::shared_ptr<attempt_sink> sink;
    std::optional<time_us> cancelled_at;
    bool opened = false;
    std::uint64_t events = 0;
    std::uint32_t choices = 0; ///< That were asked for.
    std::bitset<messages::limits::choices_max> choices_done;
  };

  [[nodiscard]] std::string objection(live_attempt& at, const attempt_event& happened) const;
  void end(std::uint64_t request, attempt_event last);

  const c_abi_limits bounds_;
  std::uint64_t last_number_ = 0;
  std::unordered_map<std::uint64_t, live_attempt> live_;
  std::map<attempt_id, std::uint64_t> numbers_;
  std::deque<std::pair<time_us, std::uint64_t>> cancels_; ///< Oldest first; ended ones linger.
};

} // namespace consort::node
