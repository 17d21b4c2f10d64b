// SPDX-License-Identifier: Apache-2.0
#include "node/inventory.hpp"

#include "node/plugin_json.hpp"

#include <algorithm>
#include <filesystem>
#include <tuple>

namespace consort::node {

namespace {

const char* type_word(resource_type type) {
  switch (type) {
  case resource_type::gpu: return "gpu";
  case resource_type::npu: return "npu";
  case resource_type::pim: return "pim";
  case resource_type::cpu: return "cpu";
  case resource_type::remote: return "remote";
  case resource_type::hybrid: return "hybrid";
  }
  return "device";
}

/// Subfolders with a plugin.json, in order of name.
std::vector<std::string> plugin_folders(const std::string& directory,
                                        std::vector<error>& failures) {
  std::vector<std::string> folders;
  std::error_code failed;
  std::filesystem::directory_iterator entries(directory, failed);
  if (failed) {
    if (failed != std::errc::no_such_file_or_directory)
      failures.push_back({recovery::refuse, "plugin_folder", directory + ": " + failed.message()});
    return folders;
  }
  for (const auto end = std::filesystem::directory_iterator(); entries != end && !failed;
       entries.increment(failed))
    if (std::error_code ignored; std::filesystem::exists(entries->path() / "plugin.json", ignored))
      folders.push_back(entries->path().string());
  std::sort(folders.begin(), folders.end());
  if (folders.size() > limits::plugin_folders_max) {
    failures.push_back({recovery::refuse, "plugin_folder",
                        directory + ": more than " + std::to_string(limits::plugin_folders_max)
                            + " plugins; the rest is left out"});
    folders.resize(limits::plugin_folders_max);
  }
  return folders;
}

} // namespace

struct inventory::entry {
  std::unique_ptr<plugin> owned;
  /// Held for the length of every call into the plugin; recursive, because a compile that fails at
  /// once reports inside the call, and its caller may ask for another.
  std::recursive_mutex calls;
  plugin_status status;
  std::vector<build_profile> toolchains;
};

struct inventory::found_device {
  device_spec spec;
  entry* by = nullptr;
};

inventory::inventory(node_id node) : node_(std::move(node)) {}
inventory::~inventory() = default;

inventory::entry* inventory::entry_named(const std::string& name) const {
  const auto found = std::find_if(entries_.begin(), entries_.end(), [&](const auto& one) {
    return one->status.metadata.name == name;
  });
  return found == entries_.end() ? nullptr : found->get();
}

bool inventory::add(std::unique_ptr<plugin> one) {
  if (entry_named(one->metadata().name) != nullptr)
    return false;
  auto fresh = std::make_unique<entry>();
  fresh->status.metadata = one->metadata();
  fresh->owned = std::move(one);
  entries_.push_back(std::move(fresh));
  std::sort(entries_.begin(), entries_.end(), [](const auto& left, const auto& right) {
    return left->status.metadata.name < right->status.metadata.name;
  });
  return true;
}

std::vector<error> inventory::load(const std::string& directory,
                                   const plugin_environment& environment) {
  std::vector<error> failures;
  for (const auto& folder : plugin_folders(directory, failures)) {
    auto document = load_plugin_json(folder);
    if (!document) {
      failures.push_back(document.failure());
      continue;
    }
    const auto name = document->metadata.name;
    if (!add(std::make_unique<json_plugin>(*std::move(document), folder, environment)))
      failures.push_back({recovery::refuse, "plugin_duplicate",
                          folder + ": plugin " + name + " is already loaded from "
                              + entry_named(name)->status.metadata.origin});
  }
  return failures;
}

std::vector<inventory::found_device> inventory::ask_all(std::vector<error>& failures) {
  std::vector<found_device> found;
  for (const auto& one : entries_) {
    const std::scoped_lock lock(one->calls);
    auto& status = one->status;
    status.devices.clear();
    const auto there = one->owned->available();
    status.available = there.ok();
    status.reason = there ? "" : there.failure().message;
    // A compiler may be installed on a host without the hardware.
    one->toolchains = one->owned->toolchains();
    if (!there)
      continue;
    auto devices = one->owned->probe();
    if (!devices) {
      status.reason = devices.failure().message;
      failures.push_back(devices.failure());
      continue;
    }
    for (auto& device : *devices)
      found.push_back({std::move(device), one.get()});
  }
  return found;
}

std::vector<error> inventory::probe() {
  std::vector<error> failures;
  resolve(ask_all(failures));
  toolchains_.clear();
  statuses_.clear();
  for (const auto& one : entries_) {
    toolchains_.insert(toolchains_.end(), one->toolchains.begin(), one->toolchains.end());
    statuses_.push_back(one->status);
  }
  return failures;
}

/// Claims: highest priority, then name. Ids: in order of the winner's name, then uuid, counted per
/// type, so that a host names its devices the same way at every start.
void inventory::resolve(std::vector<found_device> found) {
  std::stable_sort(found.begin(), found.end(), [](const auto& left, const auto& right) {
    const auto& l = left.by->status.metadata;
    const auto& r = right.by->status.metadata;
    return std::tie(left.spec.uuid, r.priority, l.name)
           < std::tie(right.spec.uuid, l.priority, r.name);
  });
  claims_.clear();
  std::vector<found_device> winners;
  for (auto& one : found) {
    const auto& metadata = one.by->status.metadata;
    if (winners.empty() || winners.back().spec.uuid != one.spec.uuid) {
      claims_.push_back({one.spec.uuid, {}, metadata.name, {}, "only claim"});
      winners.push_back(std::move(one));
      continue;
    }
    auto& claim = claims_.back();
    const auto best = winners.back().by->status.metadata.priority;
    if (claim.losers.empty())
      claim.reason = best == metadata.priority
                         ? "equal priority " + std::to_string(best) + ", first by name before "
                               + metadata.name
                         : "priority " + std::to_string(best) + " over "
                               + std::to_string(metadata.priority) + " (" + metadata.name + ")";
    claim.losers.push_back(metadata.name);
  }
  std::sort(winners.begin(), winners.end(), [](const auto& left, const auto& right) {
    return std::tie(left.by->status.metadata.name, left.spec.uuid)
           < std::tie(right.by->status.metadata.name, right.spec.uuid);
  });
  devices_.clear();
  std::map<resource_type, std::uint32_t> counted;
  for (auto& one : winners) {
    auto& spec = one.spec;
    spec.node = node_;
    spec.id = device_id(node_.value + "/" + type_word(spec.type)
                        + std::to_string(counted[spec.type]++));
    one.by->status.devices.push_back(spec.id);
    std::find_if(claims_.begin(), claims_.end(),
                 [&](const auto& claim) { return claim.uuid == spec.uuid; })
        ->device
        = spec.id;
    devices_.push_back(std::move(spec));
  }
  std::sort(devices_.begin(), devices_.end(),
            [](const auto& left, const auto& right) { return left.id < right.id; });
}

const device_spec* inventory::find(const device_id& device) const {
  const auto found = std::find_if(devices_.begin(), devices_.end(),
                                  [&](const auto& one) { return one.id == device; });
  return found == devices_.end() ? nullptr : &*found;
}

result<std::map<device_id, device_reading>> inventory::read(const std::string& plugin) {
  auto* const one = entry_named(plugin);
  if (one == nullptr)
    return error{recovery::bug, "no_plugin", "no plugin " + plugin};
  const std::scoped_lock lock(one->calls);
  const auto readings = one->owned->read();
  if (!readings)
    return readings.failure();
  std::map<device_id, device_reading> by_device;
  for (const auto& device : devices_)
    if (const auto found = readings->find(device.uuid);
        device.plugin == plugin && found != readings->end())
      by_device[device.id] = found->second;
  return by_device;
}

runtime* inventory::runtime_of(const device_id& device) {
  const auto* spec = find(device);
  auto* const one = spec == nullptr ? nullptr : entry_named(spec->plugin);
  if (one == nullptr)
    return nullptr;
  const std::scoped_lock lock(one->calls);
  return one->owned->device_runtime();
}

std::unique_ptr<running_compile>
inventory::compile(const compile_request& wanted, std::function<void(std::uint32_t)> progress,
                   std::function<void(result<compile_outcome>)> finished) {
  for (const auto& one : entries_) {
    if (std::find(one->toolchains.begin(), one->toolchains.end(), wanted.key.profile)
        == one->toolchains.end())
      continue;
    const std::scoped_lock lock(one->calls);
    return one->owned->compile(wanted, std::move(progress), std::move(finished));
  }
  finished(error{recovery::retry_elsewhere, "no_compiler",
                 "no compiler for profile " + wanted.key.profile.name + " on this node"});
  return std::make_unique<running_compile>();
}

} // namespace consort::node
