// SPDX-License-Identifier: Apache-2.0
#include "scenarios/workloads/synthetic.hpp"

#include "scenarios/limits.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace consort::sim {

namespace {

std::uint32_t tokens_of(double drawn) {
  // Not std::clamp: what is no number would pass it, and what is infinite is as many as may be.
  return drawn >= 1 ? static_cast<std::uint32_t>(std::round(std::min(drawn, limits::tokens_max)))
                    : 1;
}

} // namespace

duration_us drawn_span_us(double seconds) {
  constexpr auto most = static_cast<double>(limits::duration_us_max + 1);
  return seconds > 0 ? static_cast<duration_us>(std::min(seconds * 1e6, most)) : 0;
}

double draw_gamma(random_source& chance, double shape) {
  // Below 1 a draw of shape + 1 is scaled down.
  if (shape < 1)
    return draw_gamma(chance, shape + 1) * (shape + 1) * std::pow(chance.unit(), 1 / shape) / shape;
  const double d = shape - 1.0 / 3;
  const double c = 1 / std::sqrt(9 * d);
  for (;;) {
    const double x = chance.normal();
    const double v = std::pow(1 + c * x, 3);
    if (v > 0 && std::log(1 - chance.unit()) < x * x / 2 + d - d * v + d * std::log(v))
      return d * v / shape;
  }
}

double draw_weibull(random_source& chance, double shape, double scale) {
  return scale * std::pow(-std::log(1 - chance.unit()), 1 / shape);
}

synthetic_source::synthetic_source(const synthetic_settings& settings, std::uint64_t seed,
                                   const std::string& name, time_us from, time_us until)
    : settings_(settings),
      arrivals_(seed, "arrivals " + name),
      sizes_(seed, "sizes " + name),
      at_(from),
      until_(until) {
  double sum = 0;
  for (std::uint32_t group = 0; group < settings_.prefix_groups; ++group)
    group_weights_.push_back(sum += std::pow(group + 1.0, -settings_.prefix_skew));
}

double synthetic_source::rate_at(time_us now) const {
  if (settings_.process == arrival_process::bursts)
    return now % (settings_.on_us + settings_.off_us) < settings_.on_us ? settings_.peak_rate
                                                                        : settings_.rate;
  if (settings_.process == arrival_process::stages) {
    for (const auto& [rate, span] : settings_.stages)
      if ((now -= span) < 0)
        return rate;
    return 0;
  }
  if (settings_.process == arrival_process::diurnal)
    return settings_.rate
           * (1
              + settings_.depth
                    * std::sin(2 * std::numbers::pi * static_cast<double>(now)
                               / static_cast<double>(settings_.period_us)));
  return settings_.rate;
}

time_us synthetic_source::gap() {
  if (settings_.process == arrival_process::gamma)
    return drawn_span_us(draw_gamma(arrivals_, 1 / (settings_.cv * settings_.cv)) / settings_.rate);
  if (settings_.process == arrival_process::poisson)
    return drawn_span_us(arrivals_.exponential() / settings_.rate);
  // Thinning: candidates at the highest rate, each kept with the share that its moment has of it.
  double most = std::max(settings_.peak_rate, settings_.rate);
  if (settings_.process == arrival_process::diurnal)
    most = settings_.rate * (1 + settings_.depth);
  for (const auto& [rate, span] : settings_.stages)
    most = std::max(most, rate);
  time_us passed = 0;
  do
    passed += drawn_span_us(arrivals_.exponential() / most) + 1;
  while (at_ + passed < until_ && arrivals_.unit() * most >= rate_at(at_ + passed));
  return passed;
}

result<std::optional<arrival>> synthetic_source::next() {
  if (settings_.process == arrival_process::closed) {
    if (started_ == settings_.clients || at_ >= until_)
      return std::optional<arrival>{};
    ++started_;
    return std::optional(draw(at_));
  }
  at_ += gap();
  if (at_ >= until_)
    return std::optional<arrival>{};
  return std::optional(draw(at_));
}

std::optional<arrival> synthetic_source::ended(const arrival& done, time_us now) {
  const auto pause = [&] { return now + 1 + drawn_span_us(settings_.think_s.draw(arrivals_)); };
  const auto found = talks_.find(done.session);
  if (found != talks_.end() && done.session != 0) {
    auto& of = found->second;
    const auto at = pause();
    if (of.turns < settings_.turns && at < until_) {
      // The answer is part of what the next turn begins with.
      of.tokens += done.output_tokens;
      extend(of.prefix, done.session, of.tokens);
      return turn(done.session, of, at);
    }
    talks_.erase(found);
  }
  if (settings_.process != arrival_process::closed)
    return std::nullopt;
  const auto at = pause();
  return at < until_ ? std::optional(draw(at)) : std::nullopt;
}

arrival synthetic_source::draw(time_us at) {
  talk of;
  if (settings_.prefix_groups > 0) {
    of.group = draw_group();
    of.tokens = settings_.prefix_tokens;
    extend(of.prefix, of.group, of.tokens);
  }
  const auto session = ++sessions_;
  if (settings_.turns <= 1)
    return turn(session, of, at);
  return turn(session, talks_[session] = std::move(of), at);
}

arrival synthetic_source::turn(std::uint64_t session, talk& of, time_us at) {
  arrival made;
  made.at = at;
  made.session = session;
  ++of.turns;
  of.tokens = std::min<std::uint32_t>(of.tokens + tokens_of(settings_.input.draw(sizes_)),
                                      static_cast<std::uint32_t>(limits::tokens_max));
  made.prompt_tokens = of.tokens;
  made.output_tokens = tokens_of(settings_.output.draw(sizes_));
  if (settings_.prefix_groups == 0 && settings_.turns <= 1)
    return made;
  // All of a prompt is hashed, as gateways do, also what nobody sends again: a scheduler that was
  // told of common blocks alone would take them for the whole prompt.
  const bool asked_again = settings_.turns <= 1 && settings_.prefix_prompts > 0;
  extend(of.prefix,
         asked_again ? core::mix(of.group)
                           + static_cast<std::uint64_t>(sizes_.unit() * settings_.prefix_prompts)
                     : session,
         of.tokens);
  made.prefix = of.prefix;
  made.prefix_tokens = settings_.block_tokens;
  return made;
}

std::uint32_t synthetic_source::draw_group() {
  const double drawn = sizes_.unit() * group_weights_.back();
  return static_cast<std::uint32_t>(
      std::upper_bound(group_weights_.begin(), group_weights_.end(), drawn)
      - group_weights_.begin());
}

/// Chained hashes of full blocks up to `tokens`; blocks of one group, then of one conversation.
void synthetic_source::extend(std::vector<std::uint64_t>& prefix, std::uint64_t salt,
                              std::uint32_t tokens) const {
  const bool common = prefix.empty() && settings_.prefix_groups > 0;
  auto state = prefix.empty() ? fold_start : prefix.back();
  while ((prefix.size() + 1) * settings_.block_tokens <= tokens) {
    state = core::mix(state ^ core::mix(salt * 2 + (common ? 1 : 0)) ^ prefix.size());
    prefix.push_back(state);
  }
}

} // namespace consort::sim
