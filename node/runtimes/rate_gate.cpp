// SPDX-License-Identifier: Apache-2.0
#include "node/runtimes/rate_gate.hpp"

#include "node/runtimes/wait_times.hpp"

#include <algorithm>
#include <array>
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

/// What an answer says of one limit.
struct told {
  std::optional<std::uint64_t> remaining;
  std::optional<duration_us> reset_us;
};

/// A whole number; -1 stands for what is not known.
std::optional<std::uint64_t> count_of(std::string_view text) {
  std::uint64_t number = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (failed != std::errc{} || end != text.data() + text.size())
    return std::nullopt;
  return number;
}

/// Of which limit a header speaks, and whether it says what is left of it or when there is more.
struct rate_name {
  std::string limit;
  bool left = false;
};

std::optional<rate_name> rate_name_of(std::string_view name) {
  struct family {
    std::string_view front, limit;
  };
  constexpr std::array<family, 4> families{{{"ratelimit-", ""},
                                            {"anthropic-ratelimit-", ""},
                                            {"ratelimitbysize-", "tokens by size"},
                                            {"tokenlimit-", "tokens"}}};
  if (name.starts_with("x-"))
    name.remove_prefix(2);
  for (const auto& [front, limit] : families) {
    if (!name.starts_with(front))
      continue;
    auto rest = name.substr(front.size());
    for (const std::string_view word : {"remaining", "reset"}) {
      const bool left = word == "remaining";
      if (rest.starts_with(word) && (rest.size() == word.size() || rest[word.size()] == '-'))
        return rate_name{std::string(limit).append(rest.substr(word.size())), left};
      if (rest.ends_with(word) && rest[rest.size() - word.size() - 1] == '-')
        return rate_name{std::string(limit) + "-"
                             + std::string(rest.substr(0, rest.size() - word.size() - 1)),
                         left};
    }
  }
  return std::nullopt;
}

/// `RateLimit: "name";r=50;t=30`, a list of those, or `limit=100, remaining=50, reset=30`.
void read_rate_field(std::string_view text, std::int64_t now_s,
                     std::map<std::string, told>& limits_told) {
  std::string name = "field";
  while (!text.empty() && limits_told.size() < limits::rate_headers_max) {
    const auto cut = std::min(text.find_first_of(",;"), text.size());
    auto part = text.substr(0, cut);
    text.remove_prefix(std::min(cut + 1, text.size()));
    part.remove_prefix(std::min(part.find_first_not_of(" \t"), part.size()));
    if (part.starts_with('"'))
      name = "field " + lower(part);
    const auto is = part.find('=');
    if (is == std::string_view::npos)
      continue;
    const auto key = part.substr(0, is), value = part.substr(is + 1);
    if (key == "r" || key == "remaining")
      limits_told[name].remaining = count_of(value);
    if (key == "t" || key == "reset")
      limits_told[name].reset_us = parse_wait(value, now_s);
  }
}

/// When there is more of it. Some say no more than that it is a minute's.
std::optional<duration_us> reset_of(std::string_view limit, const told& said) {
  if (!said.reset_us && limit.ends_with("-minute"))
    return limits::rate_window_us;
  return said.reset_us;
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
  std::map<std::string, told> limits_told; // By name.
  for (const auto& [name, value] : headers) {
    const auto known = lower(name);
    if (known == "ratelimit" || known == "x-ratelimit")
      read_rate_field(value, now_s, limits_told);
    const auto named = rate_name_of(known);
    if (!named || limits_told.size() >= limits::rate_headers_max)
      continue;
    auto& one = limits_told[named->limit];
    if (named->left)
      one.remaining = count_of(value);
    else
      one.reset_us = parse_wait(value, now_s);
  }
  std::map<bool, rate_header> tightest;
  for (const auto& [limit, said] : limits_told) {
    const auto reset_us = reset_of(limit, said);
    // What is left of tokens to be written says nothing of those to be read.
    const bool half = limit.find("output") != std::string::npos && said.remaining != 0U;
    if (!said.remaining || !reset_us || half)
      continue;
    const bool of_tokens = limit.find("token") != std::string::npos;
    const auto known = tightest.find(of_tokens);
    if (known == tightest.end() || *said.remaining < known->second.remaining)
      tightest[of_tokens] = {of_tokens, *said.remaining, *reset_us};
  }
  std::vector<rate_header> out;
  for (const auto& [of_tokens, one] : tightest)
    out.push_back(one);
  return out;
}

} // namespace consort::node
