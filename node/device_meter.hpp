// SPDX-License-Identifier: Apache-2.0
#pragma once
/// What one device has done and used since its agent started: the sums over the engines that ran on
/// it, energy and money. Owned by its device actor; single-threaded; reads no clock. Counters never
/// go back: what an engine counted stays counted when it is unloaded.

#include "node/runtime.hpp"

namespace consort::node {

class device_meter {
public:
  /// `cost_micros_per_hour` is the device's rate, 1e-6 of the currency unit; 0 = unknown.
  explicit device_meter(std::uint64_t cost_micros_per_hour) : rate_(cost_micros_per_hour) {}

  /// The engines that are loaded now; one that is missing has ended.
  void count(std::map<instance_id, session_stats> engines);
  /// Time that passed, and the board power over it when known.
  void pass(duration_us span, std::optional<std::uint64_t> power_mw);

  /// Nothing until an engine was counted.
  [[nodiscard]] std::optional<engine_counters> engines() const;
  /// Power times time; nothing until power was known. Less exact than a board's own counter.
  [[nodiscard]] std::optional<std::uint64_t> energy_mj() const;
  /// Rate times time, and what engines paid per token; nothing when there is neither.
  [[nodiscard]] std::optional<std::uint64_t> cost_micros() const;

private:
  /// A sum of products in whole units, with what is left over kept for the next.
  struct metered {
    std::uint64_t whole = 0;
    std::uint64_t rest = 0;
    void add(std::uint64_t product, std::uint64_t per_unit);
  };

  const std::uint64_t rate_;
  std::map<instance_id, session_stats> live_;
  engine_counters ended_;         ///< Of engines that are gone.
  std::uint64_t ended_costs_ = 0; ///< Of those too.
  bool counted_ = false;
  bool powered_ = false;
  metered energy_, cost_;
};

} // namespace consort::node
