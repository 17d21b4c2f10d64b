// SPDX-License-Identifier: Apache-2.0
#pragma once
/// What this host has: its plugins, the devices they found, who claimed each and why, the engines
/// that run on devices of other plugins, and the compilers installed here. Owns the plugins and
/// serialises calls to each. Filled by `add`, `load` and `probe`, and anew by `reload`, from one
/// thread at a time; the functions that ask are thread-safe all the while.

#include "node/device_numbers.hpp"
#include "node/json_plugin.hpp"

#include <mutex>
#include <optional>
#include <set>
#include <string_view>

namespace consort::node {

/// One plugin as `consort plugins` shows it.
struct plugin_status {
  plugin_metadata metadata;
  bool available = false;
  std::string reason;        ///< Why it is not available, or why its probe failed; empty = fine.
  bool probe_failed = false; ///< Its tool did not answer, or not well: it may the next time.
  std::vector<device_id> devices;
  std::vector<device_id> hosts; ///< An engine: other plugins' devices that it runs models on.
  std::optional<error> fault;   ///< Of use, but not all of it: plugin::fault().
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

/// What a reload changed.
struct inventory_change {
  std::vector<std::string> plugins_came; ///< New, other than before, or of use here only now.
  std::vector<std::string> plugins_gone;
  std::vector<device_spec> appeared; ///< New, or what ran there begins anew.
  std::vector<device_id> gone;       ///< No longer there, or what ran there must end.
  std::map<device_id, std::string> why_gone;
  bool toolchains = false;       ///< Other compilers than before, or other files of theirs.
  std::vector<error> complaints; ///< Broken folders, failed probes, what is of no use here
                                 ///< since now.
  /// Keeps the plugins that went alive: whoever runs something of theirs ends it first.
  std::vector<std::shared_ptr<const void>> retired;
};

class inventory {
public:
  /// `numbers_path` is the file that remembers which device has which number (device_numbers.hpp);
  /// empty = none.
  explicit inventory(node_id node, std::string numbers_path = {});
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
  /// Has every plugin end what an earlier life of this agent left running. Requires: nothing runs,
  /// and nothing was probed. Returns: what could not be ended.
  [[nodiscard]] std::vector<error> tidy();
  /// Asks every plugin whether it is available, finds devices and compilers, resolves claims and
  /// assigns ids `<node>/<type><n>`: a device's of before, else in order of plugin name, then uuid.
  /// Returns: one error per plugin whose probe failed.
  [[nodiscard]] std::vector<error> probe();
  /// Looks at the folders again: new and changed plugins are loaded, missing ones go, unchanged
  /// ones stay as they are; then all are probed. Under a changed plugin.json that runs models as
  /// before (plugin_change.hpp), what runs goes on. A folder whose new plugin.json is broken keeps
  /// its old plugin, and a probe that fails changes nothing about its devices. One caller at a
  /// time; blocks as probe() does.
  [[nodiscard]] inventory_change reload(const std::vector<std::string>& directories,
                                        const plugin_environment& environment);

  [[nodiscard]] const node_id& node() const { return node_; }
  [[nodiscard]] std::vector<device_spec> devices() const;
  [[nodiscard]] std::vector<build_profile> toolchains() const;
  /// plugin::compiler_files() of all of them.
  [[nodiscard]] std::string compiler_files() const;
  [[nodiscard]] std::vector<plugin_status> plugins() const;
  [[nodiscard]] std::vector<device_claim> claims() const;
  [[nodiscard]] std::optional<device_spec> find(const device_id& device) const;

  /// One reading of each device of one plugin, by device; blocks for at most
  /// limits::plugin_call_us_max. A device that the plugin's telemetry leaves out has a reason for
  /// it, and is unhealthy if it was named before; without telemetry devices are left out. Of a
  /// plugin that has no device, as after a reload, nothing is read.
  [[nodiscard]] result<std::map<device_id, device_reading>> read(const std::string& plugin);
  /// The runtime that runs a format (or, when `profile` is named, artifacts of that build) on a
  /// device: of its own plugin, else of the first engine there that does. Lives as long as its
  /// plugin; null when there is none or the device is unknown.
  [[nodiscard]] std::shared_ptr<runtime> runtime_of(const device_id& device,
                                                    const std::string& format = {},
                                                    const std::string& profile = {});
  /// Starts the compiler that `wanted.key.profile` names. Always calls `finished` once, at once
  /// with `no_compiler` when no plugin has that profile. Never null.
  std::unique_ptr<running_compile> compile(const compile_request& wanted,
                                           std::function<void(std::uint32_t)> progress,
                                           std::function<void(result<compile_outcome>)> finished);

private:
  struct entry;
  using entry_ref = std::shared_ptr<entry>;
  struct found_device;
  /// An engine on a device, or the device's own plugin there, and what it runs.
  struct guest {
    entry_ref by;
    device_capability runs;
  };
  /// What the outside sees, as of one probe.
  struct tables {
    std::vector<device_spec> devices; ///< In order of id.
    std::map<device_id, entry_ref> owners;
    std::map<device_id, std::vector<guest>> guests; ///< Engines there, in order of preference.
    std::vector<std::pair<build_profile, entry_ref>> toolchains;
    std::string compiler_files; ///< Of all plugins.
    std::vector<plugin_status> statuses;
    std::vector<device_claim> claims;
  };
  [[nodiscard]] entry_ref entry_named(const std::string& name) const;
  void insert(entry_ref one);
  bool take(const std::string& folder, const plugin_environment& environment,
            std::vector<error>& complaints);
  std::vector<entry_ref> load_folders(const std::vector<std::string>& directories,
                                      const plugin_environment& environment,
                                      std::vector<error>& complaints);
  std::vector<found_device> ask_all(std::vector<error>& failures);
  [[nodiscard]] static device_reading unread(entry& by, const device_spec& device);
  static std::vector<found_device> settle_claims(std::vector<found_device> found, tables& into);
  void resolve(std::vector<found_device> found, tables& into);
  void compare_plugins(const std::vector<entry_ref>& before, const std::set<std::string>& usable,
                       inventory_change& out) const;
  void tell_useless(const tables& before, const std::vector<entry_ref>& loaded,
                    inventory_change& out) const;
  [[nodiscard]] static bool follows(const entry_ref& now, const entry_ref& before);
  [[nodiscard]] std::string lost_to(const tables& before, const device_spec& device) const;
  [[nodiscard]] device_id id_for(const device_spec& device);
  static void name_siblings(std::vector<device_spec>& devices,
                            const std::map<std::string, device_id>& ids);
  void host_engines(tables& into);

  node_id node_;
  std::vector<entry_ref> entries_; ///< In order of plugin name; of the prober alone.
  device_numbers numbers_;         ///< Of the prober alone.
  mutable std::mutex mutex_;
  tables seen_; ///< Behind the mutex.
};

} // namespace consort::node
