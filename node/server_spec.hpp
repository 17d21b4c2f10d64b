// SPDX-License-Identifier: Apache-2.0
#pragma once
/// How a model server is reached; made from plugin.json's `runtime` of interface `server`, consumed
/// by the server runtime. Plain values. Texts may hold server_placeholders(); what they become is
/// the agent's own, but for the model's name, which whoever declares it chose: the runtime lets
/// plain names in only.

#include "node/limits.hpp"
#include "node/runtime.hpp"

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace consort::node {

/// What the server speaks. `openai`: POST /v1/completions and /v1/chat/completions, streamed.
enum class server_protocol : std::uint8_t { openai };

/// What a failure of a model server's start means for what it was to load: it is of no use to this
/// engine and is built anew, it is for another device, nothing will help, or it may pass.
enum class start_failure : std::uint8_t { rebuild, elsewhere, refuse, later };

/// One way to fail, by exit code, by a line that it printed, or both.
struct start_failure_rule {
  std::optional<int> exit;
  std::string match; ///< Pattern; empty = any line.
  start_failure means = start_failure::later;
};

struct server_spec {
  std::string plugin; ///< Name of the plugin it belongs to, for messages.
  server_protocol protocol = server_protocol::openai;
  std::vector<std::string> command; ///< Starts one server per instance; empty: `url` runs already.
  std::string url;                  ///< `http://HOST:PORT[/PREFIX]` of a server that is not ours.
  std::string base = "/v1";         ///< Before `/completions` and the like.
  std::string ready = "/health";    ///< GET answers 200 when it can serve.
  std::string model;                ///< What the server calls the model; empty = `{name}`.
  std::string key_env;              ///< Variable that holds the API key; empty = none is sent.
  duration_us start_timeout_us = limits::runtime_start_us_default; ///< Start to ready.
  duration_us silence_us = limits::server_silence_us; ///< Of a stream; beyond: it has stalled.
  std::uint64_t memory_bytes = 0;           ///< Address-space limit of its processes; 0 = none.
  std::map<std::string, std::string> env;   ///< Added to its environment.
  std::string work_path;                    ///< The plugin's folder: its current directory.
  std::uint32_t sequences = 0;              ///< Most at once.
  runtime_capabilities capabilities;        ///< What the plugin declares.
  std::vector<start_failure_rule> failures; ///< What it means how it ends.
};

/// What texts of a server's rule may hold.
[[nodiscard]] const std::vector<std::string>& server_placeholders();

/// Makes the runtime for one plugin; never null. Owned by the agent, passed to plugins so that they
/// do not depend on how servers are run.
using server_factory = std::function<std::unique_ptr<runtime>(const server_spec&)>;

} // namespace consort::node
