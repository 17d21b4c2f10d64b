// SPDX-License-Identifier: Apache-2.0
#pragma once
/// The configuration file: JSON with comments, checked whole, every error with file, line and
/// field. Parsing is pure but for the environment it is given and the folder relative paths start
/// from. `${env.NAME}` in any string is replaced; an unset NAME is an error, `$${` is a literal
/// `${`.

#include "gateway/limits.hpp"
#include "scheduler/core.hpp"
#include "scheduler/result.hpp"

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace consort::cli {

/// One entry of `models`. Relative `source` paths were made absolute by the parser; `hf:` and
/// `https:` references stay as they are.
struct model_config {
  std::string name;
  std::string source;
  std::vector<std::string> aliases;
  duration_us idle_ttl_us = gateway::limits::model_idle_ttl_us; ///< 0 = never unload.
  std::uint32_t replicas_min = 0;
  std::uint32_t replicas_max = 0;   ///< 0 = as many as devices.
  std::uint32_t context_tokens = 0; ///< 0 = the model's own.
  std::uint32_t devices_per_instance = 1;
  policy_name policy; ///< Of its requests that name none; empty = the cluster's.
  std::map<std::string, std::string> adapters; ///< LoRA: served name -> source.
  std::vector<std::string> further = {}; ///< Sources of other forms of it, in order of preference.
  friend bool operator==(const model_config&, const model_config&) = default;
};

/// How this process links with others. Addresses are `host:port`; beyond loopback each of them
/// needs certificates.
struct link_config {
  std::string listen = "127.0.0.1:4280"; ///< Where a scheduler takes links.
  std::string join;                      ///< The scheduler to dial.
  std::string cert_dir; ///< Folder of `consort cert node`; empty = plain TCP, loopback only.
  std::string token;    ///< The cluster's join token.
  std::string name;     ///< This node's or gateway's name.
  std::string data_listen = "127.0.0.1:0"; ///< The data port; port 0 = any free one.
  std::string advertise; ///< How others reach the data port, `host[:port]`; empty = as it listens.
  friend bool operator==(const link_config&, const link_config&) = default;
};

/// Everything `up`, and a `run` that starts its own cluster, need to know. Defaults are the
/// contract's.
struct cluster_config {
  std::string cluster = "default";
  policy_name policy{"latency"};
  core::slo_targets slo = core::core_config{}.slo; ///< By class.
  std::vector<core::profile_config> profiles;      ///< Beside the built-in ones.
  std::map<tenant_id, policy_name> tenant_policy;
  std::uint32_t queue_max = core::limits::queue_max;
  duration_us lease_us = core::limits::lease_us;
  duration_us queue_timeout_us = core::limits::queue_timeout_us;
  std::vector<model_config> models;
  std::map<std::string, std::uint32_t> tenant_weights; ///< Of contended models; others have 1.
  core::remote_use remote = core::remote_use::free;
  std::uint64_t remote_budget_micros_per_hour = 0; ///< 0 = unbounded.
  std::map<std::string, price_list> prices;        ///< Of tokens, by plugin; over the plugins' own.
  core::pool_map pools;                            ///< Selectors by name; each parses.
  std::string http_host = "127.0.0.1";
  std::uint16_t http_port = 8080; ///< 0 = any free port.
  bool http_insecure = false;     ///< HTTP beyond loopback without keys.
  std::string data_dir;           ///< Empty until `with_defaults`.
  std::vector<std::string> plugin_dirs;
  std::string simulate; ///< Scenario whose node of this name it plays; empty = real devices.
  link_config links;
  std::vector<std::string> http_sites; ///< Public names of the gateway; see --site.
  friend bool operator==(const cluster_config&, const cluster_config&) = default;
};

/// Flags over a file: what is not empty in `flags` wins.
[[nodiscard]] link_config overlaid(link_config file, const link_config& flags);
/// For flags of which none was given yet: empty, without the defaults.
[[nodiscard]] link_config no_links();

/// Adds what `--plugins` gave, relative to this process's folder: tools are run elsewhere. Errors:
/// `usage` for what is no folder.
[[nodiscard]] result<done> add_plugin_dirs(cluster_config& config,
                                           const std::vector<std::string>& given);

/// Looks up one environment variable; nullopt = unset.
using environment = std::function<std::optional<std::string>(const std::string&)>;
/// The process's environment.
[[nodiscard]] environment process_environment();

/// Parses and checks a configuration. `origin` names the file in errors; relative paths inside it
/// are relative to `base_dir`.
[[nodiscard]] result<cluster_config> parse_config(std::string_view text, std::string_view origin,
                                                  const std::string& base_dir,
                                                  const environment& lookup);

/// Reads and parses a file. Its `data_dir`, `plugin_dirs` and `models` stay empty when not given.
[[nodiscard]] result<cluster_config> load_config(const std::string& path,
                                                 const environment& lookup);

/// Whether the weights and adapters that a file names by path are on this host; what is fetched, or
/// only a server has, is not looked for. Errors: the first one that is not, with line and field;
/// load_config()'s.
[[nodiscard]] result<done> check_sources(const std::string& path, const environment& lookup);

/// Fills what the file left open: the data folder (`$XDG_STATE_HOME/consort`, else
/// `~/.local/state/consort`), the plugin folders (`<prefix>/share/consort/plugins` and
/// `/etc/consort/plugins.d`, those that exist) and, when no model is named, the model that ships,
/// looked for under the prefix and in the folders above the executable.
[[nodiscard]] result<cluster_config>
with_defaults(cluster_config config, const std::string& executable, const environment& lookup);

/// Absolute path of the running executable.
[[nodiscard]] std::string executable_path();
/// The `llama` runtime: `<prefix>/lib/consort`, beside `<prefix>/{bin,cli}/consort`.
[[nodiscard]] std::string engine_library();

/// `host:port`, `[v6]:port` or `:port`; nothing when malformed.
[[nodiscard]] std::optional<std::pair<std::string, std::uint16_t>>
parse_listen(std::string_view text);

/// The core's share of a configuration. `seed` of its one pseudo-random generator.
[[nodiscard]] core::core_config core_settings(const cluster_config& config, std::uint64_t seed);

} // namespace consort::cli
