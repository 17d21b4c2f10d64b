// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Requests as they arrive: what trace readers and generators produce one at a time, so that a
/// trace of any length takes the memory of one line. Times are microseconds from the workload's
/// start and never go back. Single-threaded.

#include "scheduler/ids.hpp"
#include "scheduler/result.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace consort::sim {

struct arrival {
  time_us at = 0;
  std::uint32_t prompt_tokens = 1;
  std::uint32_t output_tokens = 1;
  std::vector<std::uint64_t> prefix; ///< Chained hashes of the prompt's full blocks, if known.
  std::uint32_t prefix_tokens = 0;   ///< Of each block; 0 = no prefix is known.
  std::uint64_t session = 0;         ///< 0 = none; else requests of one conversation share it.
  std::uint64_t tag = 0;             ///< The source's own, for ended().
};

class arrival_source {
public:
  virtual ~arrival_source() = default;
  /// The next one; nothing at the end, or while a closed loop waits for ended().
  [[nodiscard]] virtual result<std::optional<arrival>> next() = 0;
  /// A request of this source has ended; what its client sends next, if anything.
  [[nodiscard]] virtual std::optional<arrival> ended(const arrival& /*done*/, time_us /*now*/) {
    return std::nullopt;
  }
};

using arrival_source_ptr = std::unique_ptr<arrival_source>;

} // namespace consort::sim
