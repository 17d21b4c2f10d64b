// SPDX-License-Identifier: Apache-2.0
#pragma once
/// What this host has: its plugins, the devices they found, who claimed each and why, and the
/// compilers installed here. Owns the plugins and serialises calls to each. Filled once by
/// `add`, `load` and `probe`, from one thread; afterwards the reading functions are thread-safe.

#include "node/json_plugin.hpp"

#include <mutex>
#include <string_view>

namespace consort::node {

/// One plugin as `consort plugins` shows it.
struct plugin_status {
  plugin_metadata metadata;
  bool available = false;
  std::string reason; ///< Why it is not available, or why its probe failed; empty = fine.
  std::vector<device_id> devices;
};

/// Who got a device that at least one plugin found. Claims of one uuid go to the highest priority,
/// equal priorities to the lower name.
struct device_claim {
  std::string uuid;
  device_id device;
  std::string winner;
  std::vector<std::string> losers;
  std::string reason; ///< `only claim`, `priority 80 over 50 (generic-gpu)` ...
};

class inventory {
public:
  explicit inventory(node_id node);
  ~inventory();
  inventory(const inventory&) = delete;
  inventory& operator=(const inventory&) = delete;

  /// Takes a plugin. Returns: false, and drops it, when one of that name is already there (the
  /// first stays).
  bool add(std::unique_ptr<plugin> one);
  /// Loads every subfolder of `directory` that holds a plugin.json, in order of name. A missing
  /// directory is an empty one. Returns: one error per broken folder; the others are loaded.
  [[nodiscard]] std::vector<error> load(const std::string& directory,
                                        const plugin_environment& environment);
  /// Asks every plugin whether it is available, finds devices and compilers, resolves claims and
  /// assigns ids `<node>/<type><n>` in order of plugin name, then uuid. Returns: one error per
  /// plugin whose probe failed.
  [[nodiscard]] std::vector<error> probe();

  [[nodiscard]] const node_id& node() const { return node_; }
  [[nodiscard]] const std::vector<device_spec>& devices() const { return devices_; }
  [[nodiscard]] const std::vector<build_profile>& toolchains() const { return toolchains_; }
  [[nodiscard]] const std::vector<plugin_status>& plugins() const { return statuses_; }
  [[nodiscard]] const std::vector<device_claim>& claims() const { return claims_; }
  [[nodiscard]] const device_spec* find(const device_id& device) const;

  /// One reading of each device of one plugin, by device; blocks for at most
  /// limits::plugin_call_us_max. Devices that the plugin says nothing about are left out.
  [[nodiscard]] result<std::map<device_id, device_reading>> read(const std::string& plugin);
  /// The runtime of a device's plugin; null when it brings none or the device is unknown. Owned by
  /// the plugin.
  [[nodiscard]] runtime* runtime_of(const device_id& device);
  /// Starts the compiler that `wanted.key.profile` names. Always calls `finished` once, at once
  /// with `no_compiler` when no plugin has that profile. Never null.
  std::unique_ptr<running_compile> compile(const compile_request& wanted,
                                           std::function<void(std::uint32_t)> progress,
                                           std::function<void(result<compile_outcome>)> finished);

private:
  struct entry;
  struct found_device;
  [[nodiscard]] entry* entry_named(const std::string& name) const;
  std::vector<found_device> ask_all(std::vector<error>& failures);
  void resolve(std::vector<found_device> found);

  node_id node_;
  std::vector<std::unique_ptr<entry>> entries_; ///< In order of plugin name.
  std::vector<device_spec> devices_;            ///< In order of id.
  std::vector<build_profile> toolchains_;
  std::vector<plugin_status> statuses_;
  std::vector<device_claim> claims_;
};

} // namespace consort::node
