// SPDX-License-Identifier: Apache-2.0
#pragma once
/// The parts of simulated_devices that its sources (devices.cpp: devices and builds,
/// devices_sessions.cpp: instances) share. Private to them.

#include "node/simulated/devices.hpp"

namespace consort::node {

struct simulated_devices::device {
  std::string name; ///< On its node, as the agent will number it: `npu0`.
  device_spec spec;
  sim::device_model_ptr model;
  device_trouble trouble;
  bool looked = false;      ///< The menu was read once: earlier crashes are history.
  double energy_mj = 0;     ///< Since its process started.
  double paid_micros = 0;   ///< Likewise, by the token.
  time_us counted_at = 0;   ///< Idle energy, up to when.
  double requests_left = 0; ///< Of a remote service's limits: what may come at this moment.
  double tokens_left = 0;
  time_us refilled_at = 0;
};

struct simulated_devices::session {
  session_request order;
  device* on = nullptr;
  opened_handler opened; ///< Null once it was called.
  died_handler died;
  std::unique_ptr<sim::engine> runs; ///< Null while it loads.
  std::map<attempt_id, std::shared_ptr<attempt_sink>> sinks;
  std::uint64_t tokens = 0;
  std::uint64_t cancelled = 0;
};

struct simulated_devices::building {
  compile_request order;
  std::uint64_t weight_bytes = 0; ///< Of the model.
  duration_us took_us = 0;        ///< 0 = it hangs.
  std::function<void(std::uint32_t)> progress;
  build_finished finished;
};

} // namespace consort::node
