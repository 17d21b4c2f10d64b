// SPDX-License-Identifier: Apache-2.0
#pragma once
/// How long the scheduler's decisions took, as a histogram. Filled by the scheduler's own thread
/// and read at scrape time; exists only in the process of the scheduler. Thread-safe, lock-free.

#include <array>
#include <atomic>
#include <cstdint>

namespace consort::gateway {

class decision_times {
public:
  /// Upper bounds of the buckets, seconds: a decision takes microseconds, a full queue's more.
  static constexpr std::array<double, 12> bounds{1e-6, 2.5e-6, 5e-6, 1e-5, 2.5e-5, 5e-5,
                                                 1e-4, 2.5e-4, 1e-3, 1e-2, 1e-1,   1};

  void observe(double seconds) {
    std::size_t at = 0;
    while (at < bounds.size() && seconds > bounds[at])
      ++at;
    counts_[at].fetch_add(1, std::memory_order_relaxed);
    nanoseconds_.fetch_add(static_cast<std::uint64_t>(seconds * 1e9), std::memory_order_relaxed);
  }

  /// How many fell into bucket `at`; the last is beyond every bound.
  /// Requires: at <= bounds.size().
  [[nodiscard]] std::uint64_t count(std::size_t at) const { return counts_[at]; }
  [[nodiscard]] double sum_seconds() const { return static_cast<double>(nanoseconds_) * 1e-9; }

private:
  std::array<std::atomic<std::uint64_t>, bounds.size() + 1> counts_{};
  std::atomic<std::uint64_t> nanoseconds_ = 0;
};

} // namespace consort::gateway
