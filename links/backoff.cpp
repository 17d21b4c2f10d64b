// SPDX-License-Identifier: Apache-2.0
#include "links/backoff.hpp"

#include <algorithm>

namespace consort::links {

namespace {

/// Doublings beyond which any wait is at its cap; keeps the shift in range.
constexpr unsigned doublings_max = 20;

} // namespace

std::string_view name_of(dial_state state) {
  switch (state) {
  case dial_state::waiting: return "waiting";
  case dial_state::dialling: return "dialling";
  case dial_state::greeting: return "greeting";
  case dial_state::linked: return "linked";
  }
  return "unknown";
}

void backoff::begin() {
  if (state_ == dial_state::waiting)
    state_ = dial_state::dialling;
}

void backoff::established() {
  if (state_ == dial_state::dialling)
    state_ = dial_state::greeting;
}

void backoff::welcomed() {
  if (state_ != dial_state::greeting)
    return;
  state_ = dial_state::linked;
  failures_ = 0;
  refused_ = false;
}

void backoff::refused() {
  if (state_ == dial_state::greeting || state_ == dial_state::linked)
    refused_ = true;
}

duration_us backoff::ended() {
  state_ = dial_state::waiting;
  const auto doubled = settings_.first << std::min(failures_, doublings_max);
  const auto longest = refused_ ? settings_.max : std::min(doubled, settings_.max);
  if (failures_ < doublings_max)
    ++failures_;
  refused_ = false;
  const auto least = longest / 4;
  const auto spread = static_cast<std::uint64_t>(longest - least) + 1;
  return least + static_cast<duration_us>(random_.below(spread));
}

} // namespace consort::links
