// SPDX-License-Identifier: Apache-2.0
#pragma once
/// What a simulated device tells the scheduler of itself, whether its node is simulated too or runs
/// it in real time: one description, so that both are placed alike. Pure functions.

#include "scenarios/models/device_model.hpp"
#include "scheduler/resources.hpp"

namespace consort::sim {

/// Requires: `word` is a device model's `type`.
[[nodiscard]] resource_type resource_type_of(std::string_view word);
/// What must be built before it runs anything. Requires: `model.build_profile` is not empty.
[[nodiscard]] build_profile build_profile_of(const device_model& model);
/// Its speed is that for a model of shape `usual`. Id, node and uuid are the caller's to fill in;
/// a device that needs nothing built lists the format `gguf`.
[[nodiscard]] device_spec device_spec_of(const device_model& model, const model_shape& usual);

} // namespace consort::sim
