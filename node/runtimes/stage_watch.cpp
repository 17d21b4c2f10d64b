// SPDX-License-Identifier: Apache-2.0
#include "node/runtimes/stage_watch.hpp"

#include <algorithm>

namespace consort::node {

bool stage_watch::may_ask(time_us now) {
  const bool paused = now < paused_until_;
  if (paused || (given_up_ && trying_)) {
    ++missed_total_;
    return false;
  }
  trying_ = given_up_;
  return true;
}

void stage_watch::answered() {
  if (given_up_)
    news_ = name_ + " server " + where_ + " answers again";
  given_up_ = trying_ = false;
  failures_ = 0;
  missed_.clear();
  paused_until_ = 0;
  next_pause_ = limits::stage_pause_us;
}

void stage_watch::failed(time_us now, const std::string& why, std::optional<duration_us> wait) {
  ++missed_total_;
  ++failures_;
  trying_ = false;
  missed_ = name_ + " server " + where_ + " not reached: answers come without it (" + why + ")";
  if (wait) // Its own word: how long, and no need to be told thrice.
    pause(now, std::clamp<duration_us>(*wait, 0, limits::server_closed_us_max));
  // Those that were under way when it was given up say nothing new.
  else if (failures_ >= limits::stage_failures_max && now >= paused_until_) {
    pause(now, next_pause_);
    next_pause_ = std::min(2 * next_pause_, limits::stage_pause_us_max);
  }
}

void stage_watch::pause(time_us now, duration_us span) {
  paused_until_ = std::max(paused_until_, now + span);
  if (!given_up_)
    news_ = missed_;
  given_up_ = true;
}

std::string stage_watch::take_news() {
  auto told = std::move(news_);
  news_.clear();
  return told;
}

duration_us stage_wait(std::size_t request_bytes, std::uint64_t tokens_per_s) {
  constexpr std::uint64_t bytes_per_token = 4; // Roughly.
  const auto tokens = static_cast<std::uint64_t>(request_bytes) / bytes_per_token;
  const auto second = static_cast<std::uint64_t>(limits::second_us);
  const auto predicted
      = tokens_per_s == 0 ? 0 : static_cast<duration_us>(tokens * second / tokens_per_s);
  return std::min(limits::stage_wait_us + limits::stage_wait_factor * predicted,
                  limits::stage_wait_us_max);
}

} // namespace consort::node
