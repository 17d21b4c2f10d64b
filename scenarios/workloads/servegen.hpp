// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Clients as ServeGen describes them: a folder of pairs `<name>-trace.csv` (for each window of ten
/// minutes: rate, coefficient of variation, family of gaps and its two parameters) and
/// `<name>-dataset.json` (histograms of input and output tokens for each six hours). Clients
/// without both files, or without sizes in them, are left out; too many are an error. Their
/// arrivals are merged in order of time.

#include "scenarios/limits.hpp"
#include "scenarios/sim/random.hpp"
#include "scenarios/workloads/arrival.hpp"

#include <string>

namespace consort::sim {

struct servegen_settings {
  std::string folder;
  double rate_scale = 1;   ///< Over every client's.
  duration_us skip_us = 0; ///< Of the recorded time that is left out.
  std::uint64_t seed = 1;
  time_us from = 0;
  time_us until = 0;
  std::size_t clients_max = limits::servegen_clients_max; ///< Fewer where a test reaches it.
};

/// Reads all clients. Errors name file, line and field.
[[nodiscard]] result<arrival_source_ptr> open_servegen(const servegen_settings& settings);

} // namespace consort::sim
