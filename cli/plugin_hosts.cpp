// SPDX-License-Identifier: Apache-2.0
#include "cli/plugin_hosts.hpp"

#include "node/inventory.hpp"
#include "node/plugin_json.hpp"

#include <boost/asio/io_context.hpp>

#include <algorithm>
#include <filesystem>

namespace consort::cli {

namespace {

namespace fs = std::filesystem;

/// Subfolders with a plugin.json, in order of name; none of what is no folder.
std::vector<std::string> plugin_folders(const std::string& directory) {
  std::vector<std::string> folders;
  std::error_code failed;
  for (fs::directory_iterator at(directory, failed), end; !failed && at != end;
       at.increment(failed))
    if (std::error_code ignored; fs::is_regular_file(at->path() / "plugin.json", ignored))
      folders.push_back(at->path().string());
  std::sort(folders.begin(), folders.end());
  return folders;
}

} // namespace

host_search find_host(node::json_plugin& engine, const std::vector<std::string>& folders) {
  const auto& hosts = engine.document().runs_on;
  boost::asio::io_context io; // Tools are run by the calling thread; nothing is started on it.
  node::inventory found(node_id{"local"});
  for (const auto& directory : folders)
    for (const auto& folder : plugin_folders(directory))
      // Broken ones are the agent's to complain about.
      if (auto document = node::load_plugin_json(folder);
          document && hosts.contains(document->metadata.name))
        found.add(std::make_unique<node::json_plugin>(*std::move(document), folder,
                                                      node::plugin_environment{io, nullptr}));
  host_search made;
  for (const auto& failed : found.probe())
    made.why += (made.why.empty() ? "" : "; ") + failed.message;
  const auto devices = found.devices();
  for (const auto& one : devices) {
    const bool parted = std::any_of(devices.begin(), devices.end(),
                                    [&](const auto& other) { return other.parent == one.id; });
    const auto runs = parted ? std::nullopt : engine.adds_to(one);
    if (!runs || (made.device && runs->build_profiles.empty()))
      continue;
    made.device = one;
    made.device->capability = *runs;
    if (!runs->build_profiles.empty())
      break;
  }
  return made;
}

} // namespace consort::cli
