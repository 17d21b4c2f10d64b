// SPDX-License-Identifier: Apache-2.0
#pragma once
/// The parts of a simulated node that its two sources (node_model.cpp: process and attempts,
/// node_commands.cpp: the core's commands) share. Private to them.

#include "scenarios/sim/node_model.hpp"
#include "scheduler/energy_split.hpp"

namespace consort::sim {

struct node_model::device {
  device_spec spec;
  device_model_ptr model;
  double slowness = 1;
  bool hot = false;               ///< Throttled, and says so.
  bool crashes = false;           ///< Whatever is loaded dies at once.
  bool out_of_memory = false;     ///< Somebody else has it.
  std::uint32_t storm_status = 0; ///< What attempts are answered with; 0 = they run.
  double storm_share = 0;
  double energy_mj = 0;     ///< Of this incarnation; idle power is added at each report.
  core::energy_split split; ///< Of it, likewise.
  std::map<compile_id, time_us> building; ///< For it, each counted up to when.
  double building_mj = 0;   ///< What that drew, of this incarnation; no attempt is charged with it.
  double cost_micros = 0;   ///< Likewise: money by the hour, or by the token.
  time_us counted_at = 0;   ///< Up to when.
  time_us busy_at = 0;      ///< When an engine on it last had work.
  double requests_left = 0; ///< Of a remote service's limits: what may come at this moment.
  double tokens_left = 0;
  time_us refilled_at = 0;
};

struct node_model::instance {
  allocation grant;
  model_name model;
  model_variant variant;
  digest artifact; ///< Empty when it runs the weights.
  device_id leader;
  std::unique_ptr<engine> runs; ///< Of a plan it never gets a sequence: its members' do.
};

/// A sequence that two engines work on, one after the other.
struct node_model::staged_work {
  instance_id plan, writes;
  engine_sequence whole;
  duration_us transfer_us = 0; ///< Of its KV cache.
  bool reading = true;
  std::optional<std::uint64_t> drawn_uj = 0; ///< For what is behind it.
};

/// As a node tells of it.
inline std::optional<std::uint64_t> energy_mj_of(std::optional<std::uint64_t> drawn_uj) {
  return drawn_uj ? std::optional((*drawn_uj + 500) / 1'000) : std::nullopt;
}

} // namespace consort::sim
