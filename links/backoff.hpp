// SPDX-License-Identifier: Apache-2.0
#pragma once
/// When to dial again: a state machine without clock, socket or generator of its own. It never
/// gives up. The n-th wait in a row is drawn from [b/4, b] with b = first * 2^n, at most the cap,
/// so that many peers of one restarted scheduler spread out; a refusal goes to the cap at once,
/// since trying again will not change it. Only a welcome makes it forget.

#include "links/limits.hpp"
#include "scheduler/prng.hpp"

#include <string_view>

namespace consort::links {

enum class dial_state : std::uint8_t {
  waiting,  ///< Not connected; the owner's timer runs.
  dialling, ///< Resolve, connect, handshake.
  greeting, ///< A link is up; hello is not answered yet.
  linked,   ///< Welcomed.
};

[[nodiscard]] std::string_view name_of(dial_state state);

struct backoff_settings {
  duration_us first = limits::backoff_first_us;
  duration_us max = limits::backoff_max_us; ///< >= first; below 2^32.
};

/// Calls that make no sense in a state change nothing. Not thread-safe.
class backoff {
public:
  backoff(backoff_settings settings, core::prng random) : settings_(settings), random_(random) {}

  [[nodiscard]] dial_state state() const { return state_; }

  /// waiting -> dialling.
  void begin();
  /// dialling -> greeting.
  void established();
  /// greeting -> linked: a hello_answer without refusal came.
  void welcomed();
  /// greeting, linked: a hello_answer with one came. The wait after the end will be the longest.
  void refused();
  /// Any -> waiting: dialling failed or the link ended. Returns: how long to wait.
  [[nodiscard]] duration_us ended();

private:
  backoff_settings settings_;
  core::prng random_;
  dial_state state_ = dial_state::waiting;
  unsigned failures_ = 0; ///< In a row.
  bool refused_ = false;
};

} // namespace consort::links
