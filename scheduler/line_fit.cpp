// SPDX-License-Identifier: Apache-2.0
#include "scheduler/line_fit.hpp"

#include <algorithm>
#include <bit>
#include <cstdlib>

namespace consort::core {

namespace {

constexpr std::uint32_t weight_full = 256;
constexpr std::uint32_t weight_seed = 32;
constexpr std::uint32_t weight_least = 4; ///< Below, a bucket says nothing.
constexpr std::uint32_t memory = 16;      ///< Samples that a bucket's mean remembers.
constexpr std::uint32_t believed_after = 8;
constexpr int smallest_bits = 5;
constexpr std::int64_t slope_milli_max = std::int64_t{1} << 38U;

/// value / 2^shift, towards zero like any division, without its time.
std::int64_t shrunk(std::int64_t value, unsigned shift) {
  return value < 0 ? -(-value >> shift) : value >> shift;
}

/// Shift that makes `value` fit so many bits.
unsigned shift_for(std::int64_t value, unsigned bits) {
  const auto width = static_cast<unsigned>(std::bit_width(static_cast<std::uint64_t>(value)));
  return width > bits ? width - bits : 0;
}

} // namespace

std::int64_t drift_watch::saw(std::int64_t ratio_pm) {
  const int side = ratio_pm > 1000 + off_pm ? 1 : ratio_pm < 1000 * 1000 / (1000 + off_pm) ? -1 : 0;
  if (side == 0 || (count_ != 0 && (count_ > 0) != (side > 0)))
    count_ = 0;
  if (side == 0)
    return 1000;
  const auto seen = static_cast<std::size_t>(count_ < 0 ? -count_ : count_);
  run_[seen] = static_cast<std::uint32_t>(std::clamp<std::int64_t>(ratio_pm, 1, 100'000));
  count_ = static_cast<std::int8_t>(count_ + side);
  if (seen + 1 < run_length)
    return 1000;
  count_ = 0;
  auto sorted = run_;
  std::sort(sorted.begin(), sorted.end());
  return sorted[run_length / 2];
}

std::size_t line_fit::place_of(std::int64_t x) {
  const auto bits = std::bit_width(static_cast<std::uint64_t>(std::max<std::int64_t>(x, 0)));
  return static_cast<std::size_t>(
      std::clamp<int>(static_cast<int>(bits) - smallest_bits, 0, static_cast<int>(buckets) - 1));
}

void line_fit::seed(std::int64_t fixed, std::int64_t slope, std::int64_t x_low,
                    std::int64_t x_high) {
  *this = {};
  for (const auto x : {x_low, x_high}) {
    auto& one = means_[place_of(x)];
    one = {x, std::clamp<std::int64_t>(fixed + slope * x, 1, y_max), weight_seed, 1};
  }
  fit();
}

void line_fit::add(std::int64_t x, std::int64_t y) {
  const auto expected = std::max<std::int64_t>(at(x), 1);
  const auto moved_pm = drift_.saw(y * 1000 / expected);
  if (moved_pm != 1000) {
    for (auto& one : means_)
      one.y = std::clamp<std::int64_t>(one.y * moved_pm / 1000, one.weight == 0 ? 0 : 1, y_max);
    fit();
  }
  // At first nothing is known well enough to call a sample an outlier by little.
  const std::int64_t bound = samples_ < believed_after ? 8 : 2;
  const auto now = std::max<std::int64_t>(at(x), 1);
  put(x, std::clamp(y, std::max<std::int64_t>(now / bound, 1), std::min(now * bound, y_max)));
  samples_ = std::min(samples_ + 1, believed_after);
  fit();
}

void line_fit::put(std::int64_t x, std::int64_t y) {
  const auto place = place_of(x);
  for (std::size_t at = 0; at < buckets; ++at) {
    auto& one = means_[at];
    if (at != place && one.weight > 0) {
      // What is asked no more is forgotten, slowly.
      one.weight -= (one.weight + 63) / 64;
    }
  }
  auto& one = means_[place];
  if (one.count == 0)
    one = {x, y, weight_seed, 0};
  one.count = std::min(one.count + 1, memory);
  const auto part = static_cast<std::int64_t>(one.count);
  one.x += (x - one.x) / part;
  one.y += (y - one.y) / part;
  one.y = std::max<std::int64_t>(one.y, 1);
  one.weight += (weight_full - one.weight + 7) / 8;
}

void line_fit::fit() {
  // Of those that say anything: their weights, and which buckets they are.
  std::array<std::int64_t, buckets> weights{};
  std::array<const bucket*, buckets> believed{};
  std::size_t count = 0;
  std::int64_t least = y_max, sum = 0, x_mean = 0, y_mean = 0;
  for (const auto& one : means_)
    if (one.weight >= weight_least) {
      believed[count++] = &one;
      least = std::min(least, one.y);
    }
  // Relative errors: a bucket weighs by 1 / y^2 against the least one.
  for (std::size_t at = 0; at < count; ++at) {
    const auto& one = *believed[at];
    const auto near = std::max<std::int64_t>(least * 64 / one.y, 1);
    weights[at] = std::max<std::int64_t>(one.weight * near * near / 1024, 1);
    sum += weights[at];
    x_mean += weights[at] * one.x;
    y_mean += weights[at] * (one.y >> 8U);
  }
  if (sum == 0)
    return;
  x_mean /= sum;
  y_mean = y_mean / sum << 8U;
  std::int64_t x_span = 1, y_span = 1;
  for (std::size_t at = 0; at < count; ++at) {
    x_span = std::max(x_span, std::abs(believed[at]->x - x_mean));
    y_span = std::max(y_span, std::abs(believed[at]->y - y_mean));
  }
  const auto x_shift = shift_for(x_span, 16), y_shift = shift_for(y_span, 18);
  std::int64_t both = 0, square = 0;
  for (std::size_t at = 0; at < count; ++at) {
    const auto dx = shrunk(believed[at]->x - x_mean, x_shift);
    const auto dy = shrunk(believed[at]->y - y_mean, y_shift);
    both += weights[at] * dx * dy;
    square += weights[at] * dx * dx;
  }
  if (square > 0) {
    const auto ratio = both * 1000 / square;
    slope_milli_ = y_shift >= x_shift ? ratio * (std::int64_t{1} << (y_shift - x_shift))
                                      : ratio / (std::int64_t{1} << (x_shift - y_shift));
  }
  slope_milli_ = std::clamp<std::int64_t>(slope_milli_, 0, slope_milli_max);
  fixed_ = y_mean - slope_milli_ * x_mean / 1000;
  if (fixed_ >= 0)
    return;
  // Nothing takes less than no time: through zero then.
  fixed_ = 0;
  slope_milli_ = x_mean > 0 ? y_mean * 1000 / x_mean : slope_milli_;
}

} // namespace consort::core
