// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Models as people name them, their variants, and the artifacts built from them. Plain values.

#include "scheduler/resources.hpp"

namespace consort {

/// Low-rank weights that are added to a model's own; a request names them instead of the model.
struct model_adapter {
  model_name name;        ///< Served; one space with models and aliases.
  std::string source;     ///< Path, or `server:NAME` of one that only the server knows.
  digest content;         ///< SHA-256; empty when only a server knows it.
  std::uint32_t rank = 0; ///< 0 = unknown.
  friend bool operator==(const model_adapter&, const model_adapter&) = default;
};

/// One concrete form of a model. Variants of the same `equivalence` class may serve the same
/// request.
struct model_variant {
  std::string format;       ///< `gguf`, `safetensors`, ...
  std::string source;       ///< Path, `hf:` or `https:` reference; resolved by the node.
  digest content;           ///< SHA-256 of the weights.
  std::string shape;        ///< Architecture fingerprint, e.g. `llama-l6-d256-v2048`; what an
                            ///< architecture-bound artifact needs.
  std::string quantization; ///< `f16`, `q8_0`, ...
  std::string equivalence;  ///< Class name; empty = the model's own.
  digest tokenizer;         ///< Digest of tokenizer; empty = unknown.
  digest chat_template;     ///< Digest of the template; empty = none.
  std::uint64_t weight_bytes = 0;
  std::uint32_t kv_bytes_per_token = 0;
  std::uint32_t context_tokens = 0;
  std::vector<model_adapter> adapters; ///< Loaded with it, in order of name.
  /// No token stands for more bytes of a text, which its tokenizer keeps whole; 0 = unknown.
  std::uint32_t token_bytes_max = 0;
  friend bool operator==(const model_variant&, const model_variant&) = default;
};

/// A served name. Aliases resolve to it.
struct model_spec {
  model_name name;
  std::vector<model_name> aliases;
  std::vector<model_variant> variants; ///< In order of preference.
  std::uint32_t replicas_min = 0;
  std::uint32_t replicas_max = 0;         ///< 0 = as many as devices.
  duration_us idle_ttl_us = 0;            ///< Unload a replica idle this long; 0 = never.
  std::uint32_t devices_per_instance = 1; ///< Ranks; above 1 the instance spans that many devices.
  policy_name policy;                     ///< Of its requests without one; empty = the cluster's.
  friend bool operator==(const model_spec&, const model_spec&) = default;
};

/// What engines of these weights are bound to: their digest, or their name where only a server or a
/// compiler knows them.
[[nodiscard]] inline const std::string& binds_of(const model_variant& variant) {
  return variant.content.empty() ? variant.source : variant.content.value;
}

/// Identity of an artifact before it is built. Equal keys are interchangeable on every compatible
/// device and node.
struct artifact_key {
  artifact_kind kind = artifact_kind::engine_weights;
  std::string binds; ///< binds_of() the weights, or architecture_of() them.
  build_profile profile;
  friend auto operator<=>(const artifact_key&, const artifact_key&) = default;
};

/// What engines of any such weights are bound to: the shape, and what its numbers are. Empty when
/// the shape is unknown.
[[nodiscard]] inline std::string architecture_of(const model_variant& variant) {
  return variant.shape.empty() || variant.quantization.empty()
             ? variant.shape
             : variant.shape + "-" + variant.quantization;
}

/// What the build makes of the variant. One that binds an architecture is the same for all weights
/// of its shape; where the shape is unknown nothing but the weights themselves is sure to fit.
[[nodiscard]] inline artifact_key engine_key(const model_variant& variant,
                                             const runnable_build& by) {
  const bool shaped = by.binds == artifact_kind::engine_architecture && !variant.shape.empty();
  return {shaped ? artifact_kind::engine_architecture : artifact_kind::engine_weights,
          shaped ? architecture_of(variant) : binds_of(variant), by.profile};
}

/// What a server compiles of the variant at its own start, over that many devices.
[[nodiscard]] inline artifact_key cache_key(const model_variant& variant,
                                            const build_profile& profile, std::uint32_t degree) {
  artifact_key key{artifact_kind::cache, binds_of(variant), profile};
  key.profile.degree = degree;
  return key;
}

/// Built by another version of the same compiler, or by the same; all else is alike.
[[nodiscard]] inline bool other_version(const artifact_key& left, artifact_key right) {
  right.profile.compiler_version = left.profile.compiler_version;
  return left == right;
}

/// A built artifact as a node's store holds it.
struct artifact_record {
  artifact_key key;
  digest content; ///< SHA-256 of the payload; the name it is stored under.
  node_id node;
  std::uint64_t size_bytes = 0;
  duration_us build_us = 0; ///< How long its build took; 0 when imported.
  std::map<std::string, std::string>
      quality;       ///< What calibration measured: `kl_mean`, `top1_agreement` ...
  bool held = false; ///< Its operator pinned it or went back to it: nothing newer takes its place
                     ///< by itself there.
  digest own{}; ///< The newest of its key, where the node was told to go back to `content` in its
                ///< stead; else empty.
  friend bool operator==(const artifact_record&, const artifact_record&) = default;
};

enum class artifact_state : std::uint8_t { absent, building, ready, failed };

} // namespace consort
