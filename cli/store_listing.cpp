// SPDX-License-Identifier: Apache-2.0
#include "cli/store_listing.hpp"

#include "cli/context.hpp"
#include "cli/limits.hpp"
#include "cli/table.hpp"
#include "node/artifact_store.hpp"
#include "scheduler/artifact_model.hpp"

#include <algorithm>
#include <array>
#include <cctype>
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

namespace {

/// More letters than they have in common, each with what it is of.
std::string candidates(const std::vector<artifact_record>& among, std::size_t letters) {
  constexpr std::size_t more = 6;
  std::string words;
  for (std::size_t at = 0; at < std::min(among.size(), limits::candidates_max); ++at)
    words += (at == 0 ? "" : ", ") + among[at].content.value.substr(0, letters + more) + " ("
             + printable(among[at].key.profile.name) + ")";
  if (among.size() > limits::candidates_max)
    words += " and " + std::to_string(among.size() - limits::candidates_max) + " more";
  return words;
}

} // namespace

result<artifact_record> named_artifact(const std::vector<artifact_record>& all,
                                       const std::string& name) {
  auto wanted = name;
  for (auto& letter : wanted)
    letter = static_cast<char>(std::tolower(static_cast<unsigned char>(letter)));
  const bool hex = wanted.find_first_not_of("0123456789abcdef") == std::string::npos;
  const auto said = "`" + printable(name) + "`";
  if (!hex || wanted.size() < limits::digest_letters_min)
    return usage_error(said + " names no artifact: give its digest or at least the first "
                       + std::to_string(limits::digest_letters_min)
                       + " hex digits of it; `consort artifacts ls` lists them");
  std::vector<artifact_record> found;
  for (const auto& one : all)
    if (one.content.value.starts_with(wanted)
        && (found.empty() || found.back().content != one.content)) // Not for a further key.
      found.push_back(one);
  if (found.empty())
    return usage_error("no artifact begins with " + said
                       + "; `consort artifacts ls` lists their digests");
  if (found.size() > 1)
    return usage_error(said + " is the beginning of several digests: "
                       + candidates(found, wanted.size()) + "; give more of it");
  return found.front();
}

} // namespace consort::cli
