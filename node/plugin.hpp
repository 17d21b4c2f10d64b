// SPDX-License-Identifier: Apache-2.0
#pragma once
/// What knows one vendor: finds its devices, reads them, says what they can do and what they need
/// built, and brings the runtime and the compilers. Implemented by `json_plugin` (a folder with
/// plugin.json) and by built-in plugins, which are listed by hand in node/builtin.cpp. Called from
/// the agent's worker threads, never from an actor; calls are serialised per plugin. Probes and
/// readings have their own timeouts: no call blocks longer than limits::plugin_call_us_max.

#include "node/limits.hpp"
#include "node/runtime.hpp"

#include <optional>
#include <vector>

namespace consort::node {

struct plugin_metadata {
  std::string name;
  std::string version;
  std::string vendor;
  resource_type type = resource_type::cpu;
  int priority = 0;   ///< Of several plugins that claim one device (same uuid) the highest wins.
  std::string origin; ///< Folder, or `built-in`.
  duration_us telemetry_every_us = limits::telemetry_every_us; ///< Between two readings.
  bool telemetry = false;                                      ///< Reads its devices at all.
  bool engine = false; ///< Has no devices: runs models on those of other plugins.
};

/// What a compile needs to know. Paths are the agent's own; nothing here came from the network but
/// the key's words, which are compared with the plugin's own profiles and never executed.
struct compile_request {
  compile_id id;
  artifact_key key;
  std::string model_path;
  std::string output_path;       ///< Does not exist yet; the tool writes it.
  std::string work_path;         ///< Scratch folder, removed by the caller.
  std::string model_format = {}; ///< Word of model_variant::format; empty = unknown.
  std::string log_path = {};     ///< Where what the tool prints is written; empty = nowhere.
  std::vector<device_spec> devices
      = {}; ///< Held for the tool; empty unless the profile needs some.
};

struct compile_outcome {
  std::map<std::string, std::string> quality; ///< What the tool measured.
  duration_us took_us = 0;
};

/// A running compile; destroying it kills the tool's whole process group.
class running_compile {
public:
  virtual ~running_compile() = default;
  /// Once it failed: how long it is not to be tried again, as the server of its weights asked for;
  /// 0 = it did not.
  [[nodiscard]] virtual duration_us left_alone_us() const { return 0; }
};

class plugin {
public:
  virtual ~plugin() = default;
  [[nodiscard]] virtual const plugin_metadata& metadata() const = 0;
  /// Whether its hardware or tools seem to be here; cheap. Returns: the reason when not.
  [[nodiscard]] virtual result<done> available() = 0;
  /// Ends what an earlier life of this agent left running; before the first probe, when nothing of
  /// this life's runs.
  [[nodiscard]] virtual result<done> tidy() { return done{}; }
  /// Finds its devices. Ids are assigned by the agent afterwards; `uuid` must be stable.
  [[nodiscard]] virtual result<std::vector<device_spec>> probe() = 0;
  /// Why the latest probe() found no device, where that may be no device's absence; for people.
  [[nodiscard]] virtual std::string nothing_found() { return {}; }
  /// Reads all its devices at once, keyed by uuid.
  [[nodiscard]] virtual result<std::map<std::string, device_reading>> read() = 0;
  /// Why the latest read() had nothing of a device that it found; for people.
  [[nodiscard]] virtual std::string unread(const device_spec&) {
    return "its plugin's telemetry does not name it";
  }
  /// Why something of it is of no use although it is available, as of the last look: a row
  /// of its probe (no id, no model) or a compiler that cannot be used (`plugin_fault`), or a
  /// compiler or the library of its runtime that is not here (`compiler_missing`,
  /// `runtime_missing`).
  [[nodiscard]] virtual std::optional<error> fault() { return std::nullopt; }
  /// A later version of it took its place; what it runs may go on, it itself is asked no more.
  virtual void retire() {}
  /// Profiles whose compiler is installed on this node.
  [[nodiscard]] virtual std::vector<build_profile> toolchains() = 0;
  /// Which files those compilers are, and the library or program of its runtime: a text that is
  /// another once one of them was written or replaced, as when it was mended under its old version.
  [[nodiscard]] virtual std::string compiler_files() { return {}; }
  /// Starts the profile's compiler; `progress` gets per mille, `finished` is called once. Never
  /// null.
  virtual std::unique_ptr<running_compile>
  compile(const compile_request& wanted, std::function<void(std::uint32_t)> progress,
          std::function<void(result<compile_outcome>)> finished)
      = 0;
  /// What an engine adds to a device of another plugin; nothing when it does not run there.
  [[nodiscard]] virtual std::optional<device_capability> adds_to(const device_spec&) {
    return std::nullopt;
  }
  /// The runtime for its devices; owned by the plugin. Null when it brings none.
  [[nodiscard]] virtual runtime* device_runtime() = 0;
};

} // namespace consort::node
