// SPDX-License-Identifier: Apache-2.0
#include "node/lora.hpp"

#include "node/adapter_check.hpp"
#include "node/limits.hpp"
#include "node/model_files.hpp"
#include "node/model_folder.hpp"
#include "node/small_file.hpp"
#include "node/weights/adapter_folder.hpp"
#include "node/weights/web_client.hpp"
#include "scheduler/weights.hpp"

#include <algorithm>
#include <filesystem>

namespace consort::node {

namespace {

constexpr std::uint32_t rank_least = 16; ///< What servers are ready for if nobody says.
constexpr std::uint32_t rank_most = 512;

/// Of adapter_config.json; 0 when there is none.
std::uint32_t rank_in(const std::string& folder) {
  const auto path = std::filesystem::path(folder) / adapter_settings_file;
  return adapter_rank(read_file_head(path, limits::model_config_bytes_max).value_or(""));
}

result<digest> content_of(const std::string& path, digest_cache& digests) {
  return is_model_folder(path) ? digest_of_folder(path, digests) : digests.digest_of(path);
}

} // namespace

result<model_adapter> describe_adapter(model_adapter declared, digest_cache& digests,
                                       weight_reader& elsewhere) {
  const auto& source = declared.source;
  if (const auto name = name_at_server(source))
    return name->empty() ? result<model_adapter>(error{recovery::refuse, "source_unsupported",
                                                       "server: needs the adapter's name there"})
                         : result<model_adapter>(std::move(declared));
  if (core::weights_elsewhere(source)) {
    const auto found = elsewhere.describe_adapter(source, digests);
    if (!found)
      return found.failure();
    declared.source = found->source;
    declared.content = found->content;
    declared.rank = found->rank;
    return declared;
  }
  if (!source.starts_with('/'))
    return error{recovery::refuse, "source_relative",
                 without_password(source) + ": must be an absolute path on the server"};
  const auto content = content_of(source, digests);
  if (!content)
    return content.failure();
  if (const auto sound = check_adapter(source); !sound)
    return sound.failure();
  declared.content = *content;
  declared.rank = is_model_folder(source) ? rank_in(source) : 0;
  return declared;
}

result<std::vector<local_adapter>> find_adapters(const model_variant& variant,
                                                 digest_cache& digests, const stored_path& stored) {
  std::vector<local_adapter> found;
  for (const auto& one : variant.adapters) {
    if (auto name = name_at_server(one.source)) {
      found.push_back({one.name, *std::move(name), one.rank});
      continue;
    }
    if (core::weights_elsewhere(one.source)) {
      auto path = stored(core::weights_key(core::weights_of(one)));
      if (!path)
        return path.failure();
      // What came from elsewhere is seen here for the first time.
      if (const auto sound = check_adapter(*path); !sound)
        return error{sound.failure().action, sound.failure().code,
                     "adapter `" + one.name.value + "` (" + one.source
                         + "): " + sound.failure().message};
      found.push_back({one.name, *std::move(path), one.rank});
      continue;
    }
    const auto content = content_of(one.source, digests);
    if (!content)
      return content.failure();
    if (!one.content.empty() && *content != one.content)
      return error{recovery::refuse, "model_changed",
                   one.source + " is not the adapter that was declared: its digest is "
                       + content->value + "; restart or declare the model again"};
    found.push_back({one.name, one.source, one.rank});
  }
  return found;
}

std::uint32_t rank_for(const std::vector<local_adapter>& adapters) {
  std::uint32_t rank = rank_least;
  for (const auto& one : adapters)
    while (rank < one.rank && rank < rank_most)
      rank *= 2;
  return rank;
}

} // namespace consort::node
