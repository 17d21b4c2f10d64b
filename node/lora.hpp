// SPDX-License-Identifier: Apache-2.0
#pragma once
/// LoRA adapters as files: a folder as trainers write it (adapter_config.json beside its weights),
/// or one file such as a GGUF. Looked at where models are declared, and once more where they are
/// loaded. Blocks for as long as reading them takes.

#include "node/file_digest.hpp"

#include <string>
#include <vector>

namespace consort::node {

/// One adapter as a runtime gets it: its path, or its name at the server that alone knows it.
struct local_adapter {
  model_name name;
  std::string path;
  std::uint32_t rank = 0; ///< 0 = unknown.
  friend bool operator==(const local_adapter&, const local_adapter&) = default;
};

/// What was declared, with digest and rank. Errors name the path: `source_unsupported`,
/// `source_relative`, what digest_cache::digest_of() says.
[[nodiscard]] result<model_adapter> describe_adapter(model_adapter declared, digest_cache& digests);

/// Where the adapters of a variant are on this host. Errors: the same, and `model_changed` when one
/// is not what was declared.
[[nodiscard]] result<std::vector<local_adapter>> find_adapters(const model_variant& variant,
                                                               digest_cache& digests);

/// What a server is to be ready for: the largest rank rounded up to a power of two, between 16 and
/// 512; unknown ones count as 16.
[[nodiscard]] std::uint32_t rank_for(const std::vector<local_adapter>& adapters);

} // namespace consort::node
