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
/// `tgi`: /generate_stream, and chats as openai. `mii`: /mii/DEPLOYMENT, which does not stream.
enum class server_protocol : std::uint8_t { openai, tgi, mii };

/// One place where a figure of a server's metrics may stand.
struct metric_source {
  std::string at;    ///< Name of a Prometheus metric, or a JSON pointer.
  std::string label; ///< The figure is this label's value instead.
  double divide = 1; ///< From its unit to ours.
};

/// What a server's metrics are called: `running`, `waiting`, `kv_used` (a share), `kv_tokens`,
/// `kv_blocks`, `kv_block_tokens`, `kv_used_blocks`; each with the places to look at, in order.
struct metrics_rule {
  std::string path; ///< Empty: it has none.
  bool json = false;
  duration_us every_us = limits::server_gauges_us;
  std::map<std::string, std::vector<metric_source>> figures;
};

/// What a provider allows per minute; 0 = it does not say, or does not count.
struct rate_rule {
  std::uint64_t requests_per_min = 0;
  std::uint64_t tokens_per_min = 0;
};

/// What a failure of a model server's start means for what it was to load: it is of no use to this
/// engine and is built anew, it is for another device, nothing will help, or it may pass.
enum class start_failure : std::uint8_t { rebuild, elsewhere, refuse, later };

/// One way to fail, by exit code, by a line that it printed, or both.
struct start_failure_rule {
  std::optional<int> exit;
  std::string match; ///< Pattern; empty = any line.
  start_failure means = start_failure::later;
};

/// The server's command runs in a container of this image.
struct container_rule {
  std::string engine = "docker"; ///< Or `podman`: the program.
  std::string image;
  std::vector<std::string> arguments; ///< Of `run`, before the image: what gives it the device.
  bool publish = false; ///< Its port alone is reached, instead of sharing the host's network.
  bool pull = true;     ///< An image that is not there is fetched.
  duration_us pull_us_max = limits::container_pull_us_default;
  std::string owner; ///< Whose containers they are; the agent's to say.
};

/// How a server that we start is told of LoRA adapters: words behind its command when the model has
/// some, then those of `each` for every one of them.
struct adapters_rule {
  std::vector<std::string> arguments;
  std::vector<std::string> each;
  std::string model = "{adapter}"; ///< What a request to the server calls one.
};

/// Where a server says how many tokens one request may have: GET `path`, and there `at`, a JSON
/// pointer. Empty: only what its list of models says counts. `prompt_at`: likewise of its prompt.
struct context_rule {
  std::string path = {}, at = {}, prompt_at = {};
};

struct server_spec {
  std::string plugin; ///< Name of the plugin it belongs to, for messages.
  server_protocol protocol = server_protocol::openai;
  std::vector<std::string> command;  ///< Starts one server per instance; empty: `url` runs already.
  adapters_rule adapters;            ///< Of `command`.
  std::uint64_t cache_bytes_max = 0; ///< Most that is kept of `{cache}`; 0 = it has none.
  std::optional<container_rule> container; ///< Nothing: the command is a process of ours.
  std::string url;               ///< `http[s]://HOST:PORT[/PREFIX]` of a server that is not ours.
  std::string url_env;           ///< Variable that holds it instead; empty = none.
  std::string base = "/v1";      ///< Before `/completions` and the like.
  std::string ready = "/health"; ///< GET answers 200 when it can serve.
  std::string alive; ///< The same once it serves, where `ready` is costly; empty = `ready`.
  duration_us ready_every_us = limits::server_look_us;
  duration_us ready_timeout_us = limits::server_answer_us;
  /// Where prompts are prefilled first (vLLM's `kv_transfer_params`), and the variable that holds
  /// it instead; both empty = the server does it itself.
  std::string prefill_url, prefill_url_env;
  metrics_rule metrics;
  context_rule context;
  rate_rule rates;
  price_list prices; ///< What is paid there by the token.
  /// What it calls the model; empty = NAME of `server:NAME`, or `{name}`.
  std::string model;
  std::string key_env;       ///< Variable that holds the API key; empty = none is sent.
  bool key_optional = false; ///< None is sent when that is not set.
  duration_us start_timeout_us = limits::runtime_start_us_default; ///< Start to ready.
  duration_us silence_us = limits::server_silence_us; ///< Of a stream; beyond: it has stalled.
  duration_us watch_us = limits::server_watch_us;     ///< Between looks whether it is still there.
  std::uint64_t memory_bytes = 0;         ///< Address-space limit of its processes; 0 = none.
  std::map<std::string, std::string> env; ///< Added to its environment.
  /// The same for devices of the named plugin only: how its vendor tells one device from another.
  std::map<std::string, std::map<std::string, std::string>> env_on;
  std::string work_path;           ///< The plugin's folder: its current directory.
  std::vector<std::string> search; ///< Where its vendor's tools are, besides PATH.
  std::uint32_t sequences = 0;     ///< Most at once.
  std::string memory_share; ///< Of each device's memory that it takes, as `0.900`; empty = unsaid.
  runtime_capabilities capabilities;        ///< What the plugin declares.
  std::vector<start_failure_rule> failures; ///< What it means how it ends.
  /// Where pictures, sounds and films are encoded first (vLLM's `ec_transfer_config`), and the
  /// variable that holds it instead; both empty = where the prompt is prefilled.
  std::string encode_url, encode_url_env;
  bool completions = true; ///< It answers them, and so below; `protocol` openai only.
  bool chats = true;
};

/// What texts of a server's rule may hold.
[[nodiscard]] const std::vector<std::string>& server_placeholders();

/// Makes the runtime for one plugin; never null. Owned by the agent, passed to plugins so that they
/// do not depend on how servers are run.
using server_factory = std::function<std::unique_ptr<runtime>(const server_spec&)>;

} // namespace consort::node
