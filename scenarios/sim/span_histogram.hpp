// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Counts of time spans, in bounded memory however many there are: exact below 2,048 us, and to one
/// part in 1,024 beyond. Plain value.

#include "scheduler/ids.hpp"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <optional>
#include <vector>

namespace consort::sim {

class span_histogram {
public:
  /// `span` below 0 counts as 0.
  void add(duration_us span, std::uint64_t count = 1) {
    span = std::max<duration_us>(span, 0);
    const auto at = place_of(static_cast<std::uint64_t>(span));
    if (at >= counts_.size())
      counts_.resize(at + 1);
    counts_[at] += count;
    total_ += count;
    longest_ = std::max(longest_, span);
    sum_us_ += static_cast<double>(span) * static_cast<double>(count);
  }

  /// As if all of the other's were added here.
  void add_all(const span_histogram& other) {
    counts_.resize(std::max(counts_.size(), other.counts_.size()));
    for (std::size_t at = 0; at < other.counts_.size(); ++at)
      counts_[at] += other.counts_[at];
    total_ += other.total_;
    longest_ = std::max(longest_, other.longest_);
    sum_us_ += other.sum_us_;
  }

  /// Spans added.
  [[nodiscard]] std::uint64_t total() const { return total_; }
  /// Exact. Requires: total() > 0.
  [[nodiscard]] double mean_us() const { return sum_us_ / static_cast<double>(total_); }

  /// The span below which `per_mille` of them lie (nearest rank); nullopt when empty.
  [[nodiscard]] std::optional<duration_us> percentile(std::uint32_t per_mille) const {
    if (total_ == 0)
      return std::nullopt;
    if (per_mille >= 1'000)
      return longest_;
    const auto rank = std::max<std::uint64_t>((total_ * per_mille + 999) / 1'000, 1);
    std::uint64_t seen = 0;
    std::size_t at = 0;
    while ((seen += counts_[at]) < rank)
      ++at;
    return std::min(span_at(at), longest_);
  }

private:
  static constexpr std::uint64_t fine = 1'024; ///< Steps of each power of two.

  /// A count for each of the first 2,048 us, then `fine` for each power of two.
  static std::size_t place_of(std::uint64_t span) {
    const int shift = span < 2 * fine ? 0 : static_cast<int>(std::bit_width(span)) - 11;
    return static_cast<std::size_t>(static_cast<std::uint64_t>(shift) * fine + (span >> shift));
  }
  /// The least span of a place.
  static duration_us span_at(std::size_t place) {
    const auto shift = place < 2 * fine ? 0 : place / fine - 1;
    return static_cast<duration_us>((place - shift * fine) << shift);
  }

  std::vector<std::uint64_t> counts_; ///< By place; as long as the largest so far needs.
  std::uint64_t total_ = 0;
  duration_us longest_ = 0;
  double sum_us_ = 0; ///< Not rounded to places.
};

} // namespace consort::sim
