// SPDX-License-Identifier: Apache-2.0
#pragma once
/// A line y = fixed + slope * x through noisy samples that come one at a time, in integers. Pure
/// values, the same on every platform.
///
/// Samples are kept as robust means in buckets by the size of x, doubling; the line is the weighted
/// least squares of relative errors through them, with neither end below zero. A bucket fades as
/// others are fed, so that the line follows what is asked lately. A sample counts for at most twice
/// and at least half of what the line says; five in a row off by a fifth to the same side say that
/// everything has changed, and scale all buckets by the middle one.

#include <algorithm>
#include <array>
#include <cstdint>

namespace consort::core {

/// Follows one ratio of measured to predicted, per mille, and notices when it has moved for good.
class drift_watch {
public:
  static constexpr int run_length = 5;
  static constexpr std::int64_t off_pm = 200;
  /// Returns: by how much everything has moved, per mille; 1000 = by nothing, so far.
  std::int64_t saw(std::int64_t ratio_pm);
  friend bool operator==(const drift_watch&, const drift_watch&) = default;

private:
  std::array<std::uint32_t, run_length> run_{};
  std::int8_t count_ = 0; ///< Negative: below.
};

class line_fit {
public:
  static constexpr std::int64_t x_max = std::int64_t{1} << 24U;
  static constexpr std::int64_t y_max = std::int64_t{1} << 42U;

  /// A line to begin with, believed as much as a few samples at each of two points.
  void seed(std::int64_t fixed, std::int64_t slope, std::int64_t x_low, std::int64_t x_high);
  /// Requires: 0 <= x <= x_max, 0 < y <= y_max.
  void add(std::int64_t x, std::int64_t y);
  [[nodiscard]] std::int64_t fixed() const { return fixed_; }
  /// Thousandths of y per x.
  [[nodiscard]] std::int64_t slope_milli() const { return slope_milli_; }
  /// At most y_max. Requires: 0 <= x <= x_max.
  [[nodiscard]] std::int64_t at(std::int64_t x) const {
    return std::min(fixed_ + slope_milli_ * x / 1000, y_max);
  }
  friend bool operator==(const line_fit&, const line_fit&) = default;

private:
  struct bucket {
    std::int64_t x = 0, y = 0;
    std::uint32_t weight = 0; ///< 0 to 256.
    std::uint32_t count = 0;
    friend bool operator==(const bucket&, const bucket&) = default;
  };
  static constexpr std::size_t buckets = 12;
  [[nodiscard]] static std::size_t place_of(std::int64_t x);
  void put(std::int64_t x, std::int64_t y);
  void fit();

  std::array<bucket, buckets> means_{};
  std::int64_t fixed_ = 0, slope_milli_ = 0;
  std::uint32_t samples_ = 0;
  drift_watch drift_;
};

} // namespace consort::core
