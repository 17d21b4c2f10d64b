// SPDX-License-Identifier: Apache-2.0
#pragma once
/// LoRA adapters as files: a folder as trainers write it (adapter_config.json beside its weights),
/// which may come from the hub, or one file such as a GGUF, which may come from the web as well.
/// Looked at where models are declared, and once more where they are loaded. Blocks for as long as
/// reading them takes.

#include "node/weights/weight_reader.hpp"

#include <functional>
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
/// `source_relative`, `bad_adapter`, what digest_cache::digest_of() and
/// weight_reader::describe_adapter() say.
[[nodiscard]] result<model_adapter> describe_adapter(model_adapter declared, digest_cache& digests,
                                                     weight_reader& elsewhere);

/// Path of what this node's store holds of that key, verified: a file, or a folder.
using stored_path = std::function<result<std::string>(const artifact_key&)>;

/// Where the adapters of a variant are on this host; those of elsewhere were fetched into its store
/// before. Errors: the same, `model_changed` when one is not what was declared, and those of
/// `stored`.
[[nodiscard]] result<std::vector<local_adapter>>
find_adapters(const model_variant& variant, digest_cache& digests, const stored_path& stored);

/// What a server is to be ready for: the largest rank rounded up to a power of two, between 16 and
/// 512; unknown ones count as 16.
[[nodiscard]] std::uint32_t rank_for(const std::vector<local_adapter>& adapters);

} // namespace consort::node
