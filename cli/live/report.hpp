// SPDX-License-Identifier: Apache-2.0
#pragma once
/// A simulated run and a live one of the same scenario and seed, side by side: each figure twice
/// and their ratio. Pure functions.

#include "scenarios/sim/summary.hpp"

namespace consort::live {

struct comparison_row {
  std::string figure; ///< As in summary_metrics().
  std::optional<double> simulated;
  std::optional<double> live;

  /// Live over simulated; nothing when either is missing, or the simulated one is 0 and the other
  /// is not. Two zeros are equal.
  [[nodiscard]] std::optional<double> ratio() const;
};

[[nodiscard]] std::vector<comparison_row> compare(const sim::run_summary& simulated,
                                                  const sim::run_summary& live);
/// For people.
[[nodiscard]] std::string render_comparison(const std::vector<comparison_row>& rows);

struct comparison_head {
  std::string scenario;
  std::uint64_t seed = 0;
  std::string policy;
  std::string version;
  std::string command;
  std::string partitions_by = {}; ///< cluster::partitions_by().
};
/// `comparison.json` of --out.
[[nodiscard]] std::string comparison_json(const comparison_head& head,
                                          const std::vector<comparison_row>& rows,
                                          const sim::run_summary& simulated,
                                          const sim::run_summary& live);

} // namespace consort::live
