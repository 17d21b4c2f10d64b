// SPDX-License-Identifier: Apache-2.0
#include "scenarios/models/device_claims.hpp"

#include <algorithm>
#include <cassert>
#include <iterator>

namespace consort::sim {

namespace {

resource_type type_of(std::string_view word) {
  constexpr std::string_view words[] = {"gpu", "npu", "pim", "cpu", "remote", "hybrid"};
  const auto* found = std::find(std::begin(words), std::end(words), word);
  assert(found != std::end(words));
  return static_cast<resource_type>(found - std::begin(words));
}

} // namespace

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
  made.type = type_of(model.type);
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
    can.build_profiles = {build_profile_of(model)};
  can.runtime.resume = resume_support::tokens;
  can.runtime.cancel = true;
  const auto claim = claim_of(model, usual);
  made.spec.prefill_tokens_per_s = claim.prefill_tokens_per_s;
  made.spec.decode_tokens_per_s = claim.decode_tokens_per_s;
  made.spec.decode_batch_gain_pm = claim.decode_batch_gain_pm;
  made.spec.load_us = load_us_of(model, usual.weight_bytes());
  made.spec.cost_micros_per_hour = model.cost_micros_per_hour;
  made.spec.tdp_mw = model.tdp_mw;
  made.spec.idle_mw = model.idle_mw;
  return made;
}

} // namespace consort::sim
