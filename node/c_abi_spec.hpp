// SPDX-License-Identifier: Apache-2.0
#pragma once
/// How a vendor's shared object (node/plugin_abi.h) is to be hosted; made from plugin.json's
/// `runtime` or by a built-in plugin, consumed by the c-abi runtime. Plain values.

#include "node/limits.hpp"
#include "node/runtime.hpp"

#include <functional>
#include <map>
#include <memory>
#include <string>

namespace consort::node {

struct c_abi_spec {
  std::string plugin;             ///< Name of the plugin it belongs to, for messages.
  std::string library;            ///< Absolute path of the shared object.
  bool stepwise = false;          ///< Of the level `step` (node/plugin_step_abi.h).
  std::string config_json = "{}"; ///< Object merged into what `open` gets; our own keys win.
  duration_us start_timeout_us = limits::runtime_start_us_default; ///< Start to loaded.
  std::uint64_t memory_bytes = 0;         ///< Address-space limit of the host process; 0 = none.
  std::uint32_t threads = 0;              ///< Given to the runtime; 0 = its own choice.
  std::uint32_t sequences = 0;            ///< Most at once; 0 = the runtime's own choice.
  std::map<std::string, std::string> env; ///< Added to the host process's environment.
  std::string work_path;                  ///< Its current directory; empty = the agent's.
  runtime_capabilities capabilities;      ///< What the plugin declares.
};

/// Makes the runtime for one plugin; never null. Owned by the agent, passed to plugins so that they
/// do not depend on how host processes are run.
using c_abi_factory = std::function<std::unique_ptr<runtime>(const c_abi_spec&)>;

} // namespace consort::node
