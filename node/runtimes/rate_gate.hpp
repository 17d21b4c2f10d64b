// SPDX-License-Identifier: Apache-2.0
#pragma once
/// When the next request may go to a server that counts them: limits per minute as declared, what
/// its headers say is left, and how long it asked to be left alone. One per server; owned by its
/// link; single-threaded; reads no clock.
///
/// Invariant: in no span of limits::rate_window_us have more requests or tokens been admitted than
/// declared, however the spans are laid, but for one request that is larger than a whole minute's
/// share: it goes when nothing else is in the window. Limits: a wait is at most
/// limits::server_closed_us_max.

#include "node/server_spec.hpp"

#include <deque>
#include <string_view>

namespace consort::node {

/// What one answer's headers say of requests or of tokens.
struct rate_header {
  bool of_tokens = false;
  std::uint64_t remaining = 0;
  duration_us reset_us = 0; ///< Until there is more again.
};

class rate_gate {
public:
  explicit rate_gate(rate_rule declared) : declared_(declared) {}

  /// Returns: 0, and counts it; else how long to wait before asking again. `tokens`: as many as it
  /// may come to.
  [[nodiscard]] duration_us admit(time_us now, std::uint64_t tokens);
  /// An admitted request ended: `estimated` as admitted at `then`, `used` as the server counted.
  void settle(time_us then, std::uint64_t estimated, std::uint64_t used);
  void heard(time_us now, const std::vector<rate_header>& said);
  /// It refused for its load. `wait` as it asked; unset: a guess that doubles while it goes on.
  void refused(time_us now, std::optional<duration_us> wait);
  /// It answered: guesses start small again.
  void answered() { refusals_ = 0; }
  /// How long nothing is admitted, whatever it is; 0 when something may.
  [[nodiscard]] duration_us closed_for(time_us now);

private:
  struct slot {
    time_us at = 0;
    std::uint64_t requests = 0;
    std::uint64_t tokens = 0;
  };
  struct budget {
    std::uint64_t left = 0;
    time_us until = 0; ///< Said to hold so long; 0 = nothing was said.
  };
  void forget(time_us now);
  [[nodiscard]] duration_us window_wait(time_us now, std::uint64_t tokens) const;

  const rate_rule declared_;
  std::deque<slot> slots_; ///< Ascending, limits::rate_slot_us apart at least.
  budget requests_, tokens_;
  time_us closed_until_ = 0;
  std::uint32_t refusals_ = 0; ///< In a row, without a wait of the server's own.
};

/// How long the server asks to be left alone, by `retry-after-ms` or `retry-after`.
[[nodiscard]] std::optional<duration_us>
read_retry_after(const std::vector<std::pair<std::string, std::string>>& headers,
                 std::int64_t now_s);

/// The headers that say what is left, by all the names that are in use:
/// `x-ratelimit-{remaining,reset}-{requests,tokens}` with or without a span behind it
/// (`-per-minute`, `-day`), the same words in front (`anthropic-ratelimit-tokens-remaining`),
/// `ratelimit-{remaining,reset}`, `tokenlimit-...`, `ratelimitbysize-...` (of tokens), and the one
/// field `RateLimit`. Of several limits the tightest counts. `now_s`: since 1970.
[[nodiscard]] std::vector<rate_header>
read_rate_headers(const std::vector<std::pair<std::string, std::string>>& headers,
                  std::int64_t now_s);

} // namespace consort::node
