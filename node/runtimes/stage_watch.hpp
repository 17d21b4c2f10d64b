// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Whether the server of one stage of a request (it encodes, or it prefills) is worth asking. The
/// next stage can do its work too, so that its failures cost nobody an answer, only time: after
/// limits::stage_failures_max in a row it is left alone for limits::stage_pause_us, twice as long
/// each time up to limits::stage_pause_us_max, then one request tries it. Owned by the session's
/// link; single-threaded; reads no clock.

#include "node/limits.hpp"

#include <cstdint>
#include <optional>
#include <string>

namespace consort::node {

class stage_watch {
public:
  /// `name` as people say it: `prefill`; `where` it is: `10.0.0.7:8100`.
  explicit stage_watch(std::string name) : name_(std::move(name)) {}
  void place(std::string where) { where_ = std::move(where); }

  /// Whether this request is to ask it. One that is not counts as missed; one that is ends with
  /// answered(), failed() or left().
  [[nodiscard]] bool may_ask(time_us now);
  /// It answered, or refused the request itself, which is an answer too.
  void answered();
  /// `why`: what it said or did; `wait`: how long it asked to be left alone, if it did.
  void failed(time_us now, const std::string& why, std::optional<duration_us> wait = std::nullopt);
  /// The request ended before the stage did: nothing is known by it.
  void left() { trying_ = false; }

  /// What there is to be told, once: that it is given up, or that it is back. Empty = nothing.
  [[nodiscard]] std::string take_news();
  /// Why it did not do its part the last time; empty once it does.
  [[nodiscard]] const std::string& missed() const { return missed_; }
  /// It is left alone, or asked to be: answers come without it.
  /// `told_until` is when that is old news: nobody came who would have tried it again, which may be
  /// because it is told.
  [[nodiscard]] bool given_up() const { return given_up_; }
  [[nodiscard]] time_us told_until() const {
    return given_up_ ? paused_until_ + limits::stage_trial_us : 0;
  }
  /// Requests that the next stage did its work for.
  [[nodiscard]] std::uint64_t missed_total() const { return missed_total_; }

private:
  void pause(time_us now, duration_us span);

  const std::string name_;
  std::string where_, missed_, news_;
  int failures_ = 0; ///< In a row.
  std::uint64_t missed_total_ = 0;
  time_us paused_until_ = 0;
  duration_us next_pause_ = limits::stage_pause_us;
  bool given_up_ = false;
  bool trying_ = false; ///< One request finds out whether it is back.
};

/// How long a stage is waited for, for a request of so many bytes at a server that is declared to
/// prefill so many tokens per second (0 = unknown): longer than it takes, and well within what the
/// scheduler waits for a first token, so that the next stage can still do the work.
[[nodiscard]] duration_us stage_wait(std::size_t request_bytes, std::uint64_t tokens_per_s);

} // namespace consort::node
