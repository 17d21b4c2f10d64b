// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Which of the servers that shipped plugins stand for a found one is, told by the names of its
/// gauges: what such a plugin knows of it, its load, whether it goes on with a text, then counts
/// for the folder that `consort plugin init` writes around it too.

#include <nlohmann/json.hpp>

#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace consort::cli {

/// Of a shipped plugin.json, so much is looked at.
inline constexpr std::size_t known_plugin_bytes_max = std::size_t{1} << 20U;

struct known_server {
  std::string plugin;               ///< Name of the shipped plugin.
  nlohmann::ordered_json metrics;   ///< Its `runtime.metrics`.
  nlohmann::ordered_json can;       ///< Its `capability.runtime`; null = says nothing.
  std::optional<int> max_sequences; ///< Of one that attaches: others tell their server how many.
};

/// `gauges`: what `GET /metrics` said, Prometheus text. `protocol`: what the server speaks.
/// `shipped`: the folder of plugin folders. Returns: a plugin whose gauge of what runs is there; of
/// several one that attaches to servers, then the one with most of its gauges there, then one for a
/// remote server, then the first by name. Nothing when there is none. What cannot be read is passed
/// over.
[[nodiscard]] std::optional<known_server> know_by_gauges(std::string_view gauges,
                                                         std::string_view protocol,
                                                         const std::filesystem::path& shipped);

} // namespace consort::cli
