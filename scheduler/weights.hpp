// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Weights that no node has by itself: of `hf:`, `https:` or `http:`. To the core they are an
/// artifact like any other: bound to their own digest, of one profile, whose compiler is the fetch.
/// So one node of the cluster fetches what all need, the others copy from it, and what fails is
/// backed off from; every node that may fetch lists the profile among its toolchains.

#include "scheduler/models.hpp"

namespace consort::core {

[[nodiscard]] inline bool weights_elsewhere(const std::string& source) {
  return source.starts_with("hf:") || source.starts_with("https:") || source.starts_with("http:");
}

/// What a node lists that can fetch weights.
[[nodiscard]] inline build_profile weights_profile() {
  build_profile profile;
  profile.name = "weights";
  profile.compiler = "fetch";
  return profile;
}

/// Whether an artifact is weights as they are.
[[nodiscard]] inline bool is_weights(const build_profile& profile) {
  return profile.name == "weights" && profile.compiler == "fetch";
}

/// Of the weights of a variant. Requires: its digest is known.
[[nodiscard]] inline artifact_key weights_key(const model_variant& variant) {
  return {artifact_kind::engine_weights, variant.content.value, weights_profile()};
}

/// An adapter that no node has by itself is fetched and stored like weights of a model.
[[nodiscard]] inline model_variant weights_of(const model_adapter& adapter) {
  model_variant made;
  made.source = adapter.source;
  made.content = adapter.content;
  return made;
}

} // namespace consort::core
