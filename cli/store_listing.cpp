// SPDX-License-Identifier: Apache-2.0
#include "cli/store_listing.hpp"
#include "cli/context.hpp"
#include "node/artifact_store.hpp"
#include "scheduler/artifact_model.hpp"

#include <array>
#include <filesystem>
#include <utility>

namespace consort::cli {

namespace {

namespace fs = std::filesystem;

json row_of(const artifact_record& one, const artifact_record& chosen) {
  constexpr std::array kinds{"engine_weights", "engine_architecture", "cache"};
  const auto& profile = one.key.profile;
  const auto named = one.quality.find(artifact_model);
  return {{"key",
           {{"kind", kinds.at(static_cast<std::size_t>(one.key.kind))},
            {"binds", one.key.binds},
            {"profile",
             {{"name", profile.name},
              {"target", profile.target},
              {"compiler", profile.compiler},
              {"compiler_version", profile.compiler_version},
              {"flags", profile.flags},
              {"dtype", profile.dtype}}}}},
          {"model", named == one.quality.end() ? "" : named->second},
          {"state", "ready"},
          {"content", chosen.content.value},
          {"own", one.content.value},
          {"size_bytes", one.size_bytes},
          {"nodes", json::array()},
          {"quality", one.quality}};
}

} // namespace

result<json> list_store(const std::string& data) {
  if (std::error_code failed; !fs::is_directory(fs::path(data) / "artifacts", failed))
    return usage_error("no artifacts below " + data + "; --data names the data folder of an agent");
  const auto store = node::artifact_store::open(data, node_id{"local"});
  if (!store)
    return store.failure();
  auto rows = json::array();
  for (const auto& one : (*store)->list())
    rows.push_back(row_of(one, (*store)->find(one.key).value_or(one)));
  return json{{"artifacts", std::move(rows)}};
}

} // namespace consort::cli
