// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Runs independent pieces of work on several threads and joins them. Results belong into places
/// that `work` owns by its number, so that they do not depend on who was first. `work` must not
/// throw. At least one thread, at most one per piece.

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <thread>
#include <vector>

namespace consort::sim {

/// Calls `work(0)` ... `work(count - 1)`, each once, `jobs` at a time.
template <class Work>
void run_parallel(std::size_t count, unsigned jobs, const Work& work) {
  std::atomic<std::size_t> next{0};
  const auto take = [&] {
    for (auto mine = next++; mine < count; mine = next++)
      work(mine);
  };
  std::vector<std::thread> others;
  const auto threads = std::min<std::size_t>(std::max(jobs, 1U), count);
  for (std::size_t number = 1; number < threads; ++number)
    others.emplace_back(take);
  take(); // The caller works too.
  for (auto& one : others)
    one.join();
}

} // namespace consort::sim
