// SPDX-License-Identifier: Apache-2.0
#include "cli/known_server.hpp"

#include "node/small_file.hpp"

#include <algorithm>
#include <set>
#include <tuple>
#include <utility>
#include <vector>

namespace consort::cli {

namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

/// The names of what Prometheus text tells.
std::set<std::string_view> names_in(std::string_view text) {
  std::set<std::string_view> names;
  while (!text.empty()) {
    const auto line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    if (!line.empty() && line.front() != '#')
      names.insert(line.substr(0, line.find_first_of("{ \t")));
  }
  return names;
}

/// The names that a field of `metrics` has for one gauge, older ones too.
std::vector<std::string> names_of(const ordered_json& field) {
  std::vector<std::string> names;
  for (const auto& one : field.is_array() ? field : ordered_json::array({field})) {
    if (one.is_string())
      names.push_back(one.get<std::string>());
    else if (one.is_object() && one.contains("at") && one["at"].is_string())
      names.push_back(one["at"].get<std::string>());
  }
  return names;
}

struct candidate {
  known_server server;
  std::tuple<bool, std::size_t, bool> rank; ///< Attaches, gauges that are there, for a remote one.
};

ordered_json part(const ordered_json& whole, const char* name) {
  return whole.is_object() && whole.contains(name) ? whole[name] : ordered_json();
}

/// Whether a field says that, or nothing.
bool is_or_absent(const ordered_json& whole, const char* name, const char* usual) {
  return !whole.contains(name) || whole[name] == usual;
}

std::optional<candidate> judge(const ordered_json& document, std::string_view protocol,
                               const std::set<std::string_view>& told) {
  const auto runtime = part(document, "runtime");
  const auto metrics = part(runtime, "metrics");
  if (!metrics.is_object() || !is_or_absent(metrics, "path", "/metrics")
      || !is_or_absent(metrics, "format", "prometheus")
      || part(runtime, "protocol") != std::string(protocol))
    return std::nullopt;
  const auto is_told = [&told](const ordered_json& field) {
    const auto names = names_of(field);
    return std::any_of(names.begin(), names.end(),
                       [&told](const std::string& name) { return told.contains(name); });
  };
  if (!metrics.contains("running") || !is_told(metrics["running"]))
    return std::nullopt;
  candidate made;
  made.server.plugin = part(document, "name").get<std::string>();
  made.server.metrics = metrics;
  made.server.can = part(part(document, "capability"), "runtime");
  const bool attaches = !runtime.contains("command");
  const auto most = part(part(document, "capability"), "max_sequences");
  if (attaches && most.is_number_integer())
    made.server.max_sequences = most.get<int>();
  made.rank
      = {attaches, static_cast<std::size_t>(std::count_if(metrics.begin(), metrics.end(), is_told)),
         part(document, "type") == "remote"};
  return made;
}

} // namespace

std::optional<known_server> know_by_gauges(std::string_view gauges, std::string_view protocol,
                                           const fs::path& shipped) {
  const auto told = names_in(gauges);
  std::vector<fs::path> files;
  std::error_code failed;
  for (fs::directory_iterator at(shipped, failed), end; !failed && at != end; at.increment(failed))
    files.push_back(at->path() / "plugin.json");
  std::sort(files.begin(), files.end());
  std::optional<candidate> best;
  for (const auto& file : files) {
    const auto text = node::read_file_head(file.string(), known_plugin_bytes_max);
    const auto document = text ? ordered_json::parse(*text, nullptr, false, true) : ordered_json();
    if (!document.is_object() || !part(document, "name").is_string())
      continue;
    auto found = judge(document, protocol, told);
    if (found && (!best || found->rank > best->rank))
      best = std::move(found);
  }
  if (!best)
    return std::nullopt;
  return std::move(best->server);
}

} // namespace consort::cli
