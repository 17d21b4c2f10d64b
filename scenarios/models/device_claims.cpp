// SPDX-License-Identifier: Apache-2.0
#include "scenarios/models/device_claims.hpp"

#include "scenarios/limits.hpp"

#include <algorithm>
#include <array>
#include <cassert>

namespace consort::sim {

namespace {

/// What an hour of its work costs: a service that is paid by the token is told as what one stream
/// costs that never pauses.
std::uint64_t cost_micros_per_hour(const device_model& model, const speed_claim& claim) {
  if (model.cost_micros_per_hour > 0 || model.type != "remote")
    return model.cost_micros_per_hour;
  return model.remote.micros_per_1k_output * claim.decode_tokens_per_s * 3'600 / 1'000;
}

} // namespace

resource_type resource_type_of(std::string_view word) {
  constexpr std::array<std::string_view, 6> words{"gpu", "npu", "pim", "cpu", "remote", "hybrid"};
  const auto* found = std::find(words.begin(), words.end(), word);
  assert(found != words.end());
  return static_cast<resource_type>(found - words.begin());
}

build_profile build_profile_of(const device_model& model) {
  build_profile made;
  made.name = model.build_profile;
  made.target = model.name;
  made.compiler = model.compiler;
  made.compiler_version = model.compiler_version;
  made.dtype = model.dtype;
  return made;
}

device_spec device_spec_of(const device_model& model, const model_shape& usual) {
  device_spec made;
  made.type = resource_type_of(model.type);
  made.vendor = model.vendor;
  made.model = model.name;
  made.plugin = "simulated";
  made.simulated = true;
  made.memory_bytes = model.memory_bytes;
  auto& can = made.capability;
  can.max_sequences = model.max_sequences;
  can.max_context_tokens = model.max_context_tokens;
  can.dtypes = {std::string(model.dtype)};
  if (model.build_profile.empty())
    can.formats = {"gguf"};
  else
    can.build_profiles = {{build_profile_of(model), {}}};
  // Chips of a spec sheet work together over any number of nodes; what was recorded is one device.
  if (model.fidelity != fidelity_kind::rates)
    can.devices_max = can.nodes_max = static_cast<std::uint32_t>(limits::chips_max);
  can.runtime.resume = resume_support::tokens;
  can.runtime.cancel = true;
  const auto claim = claim_of(model, usual);
  made.spec.prefill_tokens_per_s = claim.prefill_tokens_per_s;
  made.spec.decode_tokens_per_s = claim.decode_tokens_per_s;
  made.spec.decode_batch_gain_pm = claim.decode_batch_gain_pm;
  made.spec.load_us = load_us_of(model, usual.weight_bytes());
  made.spec.cost_micros_per_hour = cost_micros_per_hour(model, claim);
  made.spec.tdp_mw = model.tdp_mw;
  made.spec.idle_mw = model.idle_mw;
  return made;
}

} // namespace consort::sim
