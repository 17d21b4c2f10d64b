// SPDX-License-Identifier: Apache-2.0
#include "node/runtimes/rate_gate.hpp"

#include "node/runtimes/wait_times.hpp"

#include <algorithm>
#include <charconv>
#include <numeric>

namespace consort::node {

namespace {

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
  });
  return out;
}

} // namespace

void rate_gate::forget(time_us now) {
  while (!slots_.empty()
         && slots_.front().at + limits::rate_window_us + limits::rate_slot_us <= now)
    slots_.pop_front();
}

/// Until enough of what was admitted is out of the window.
duration_us rate_gate::window_wait(time_us now, std::uint64_t tokens) const {
  auto requests_in = std::uint64_t{1}, tokens_in = tokens;
  for (const auto& one : slots_) {
    requests_in += one.requests;
    tokens_in += one.tokens;
  }
  const auto over = [&] {
    return (declared_.requests_per_min > 0 && requests_in > declared_.requests_per_min)
           || (declared_.tokens_per_min > 0 && tokens_in > declared_.tokens_per_min);
  };
  for (const auto& one : slots_) {
    if (!over())
      return 0;
    requests_in -= one.requests;
    tokens_in -= one.tokens;
    if (!over())
      return one.at + limits::rate_window_us + limits::rate_slot_us - now;
  }
  // One that is larger than a whole minute's share goes when nothing else does.
  return 0;
}

duration_us rate_gate::admit(time_us now, std::uint64_t tokens) {
  if (const auto closed = closed_for(now); closed > 0)
    return closed;
  for (const auto* what : {&requests_, &tokens_}) {
    const auto wanted = what == &requests_ ? 1 : tokens;
    const bool whole = what->left == 0 || wanted > what->left;
    if (what->until > now && whole)
      return what->until - now;
  }
  if (const auto wait = window_wait(now, tokens); wait > 0)
    return wait;
  if (slots_.empty() || now - slots_.back().at >= limits::rate_slot_us)
    slots_.push_back({now, 0, 0});
  ++slots_.back().requests;
  slots_.back().tokens += tokens;
  requests_.left -= requests_.until > now ? 1 : 0;
  tokens_.left -= tokens_.until > now ? tokens : 0;
  return 0;
}

void rate_gate::settle(time_us then, std::uint64_t estimated, std::uint64_t used) {
  const auto after = std::upper_bound(slots_.begin(), slots_.end(), then,
                                      [](time_us at, const slot& one) { return at < one.at; });
  if (after == slots_.begin())
    return; // Out of the window by now.
  auto& counted = std::prev(after)->tokens;
  counted = counted > estimated ? counted - estimated + used : used;
}

void rate_gate::heard(time_us now, const std::vector<rate_header>& said) {
  for (const auto& one : said) {
    auto& known = one.of_tokens ? tokens_ : requests_;
    const auto until = now + one.reset_us;
    // Of several spans the tightest counts; an older word does not outlive a newer one.
    known = {one.remaining, one.reset_us > 0 ? until : 0};
  }
}

void rate_gate::refused(time_us now, std::optional<duration_us> wait) {
  const auto guess = std::min(limits::server_closed_guess_us << std::min(refusals_, 8U),
                              limits::server_closed_guess_us_max);
  refusals_ += wait ? 0 : 1;
  closed_until_ = std::max(
      closed_until_,
      now + std::clamp<duration_us>(wait.value_or(guess), 0, limits::server_closed_us_max));
}

duration_us rate_gate::closed_for(time_us now) {
  forget(now);
  if (closed_until_ > now)
    return closed_until_ - now;
  if (requests_.until > now && requests_.left == 0)
    return requests_.until - now;
  if (tokens_.until > now && tokens_.left == 0)
    return tokens_.until - now;
  return window_wait(now, 1);
}

std::optional<duration_us>
read_retry_after(const std::vector<std::pair<std::string, std::string>>& headers,
                 std::int64_t now_s) {
  std::optional<duration_us> wait;
  for (const auto& [name, value] : headers) {
    const auto known = lower(name);
    if (known == "retry-after" && !wait)
      wait = parse_wait(value, now_s);
    if (known == "retry-after-ms")
      if (const auto exact = parse_wait(value + "ms", now_s))
        return exact;
  }
  return wait;
}

std::vector<rate_header>
read_rate_headers(const std::vector<std::pair<std::string, std::string>>& headers,
                  std::int64_t now_s) {
  struct found {
    std::optional<std::uint64_t> remaining;
    std::optional<duration_us> reset_us;
  };
  std::map<std::string, found> spans; // By what stands behind `remaining` and `reset`.
  for (const auto& [name, value] : headers) {
    auto known = lower(name);
    if (known.starts_with("x-"))
      known.erase(0, 2);
    for (const bool left : {true, false}) {
      const std::string stem = left ? "ratelimit-remaining" : "ratelimit-reset";
      if (!known.starts_with(stem) || spans.size() >= limits::rate_headers_max)
        continue;
      auto& one = spans[known.substr(stem.size())];
      if (!left) {
        one.reset_us = parse_wait(value, now_s);
        continue;
      }
      std::uint64_t number = 0; // -1 stands for what is not known.
      const auto [end, failed] = std::from_chars(value.data(), value.data() + value.size(), number);
      if (failed == std::errc{} && end == value.data() + value.size())
        one.remaining = number;
    }
  }
  std::map<bool, rate_header> tightest;
  for (const auto& [what, said] : spans) {
    if (!said.remaining || !said.reset_us)
      continue;
    const bool of_tokens = what.find("token") != std::string::npos;
    const auto known = tightest.find(of_tokens);
    if (known == tightest.end() || *said.remaining < known->second.remaining)
      tightest[of_tokens] = {of_tokens, *said.remaining, *said.reset_us};
  }
  std::vector<rate_header> out;
  for (const auto& [of_tokens, one] : tightest)
    out.push_back(one);
  return out;
}

} // namespace consort::node
