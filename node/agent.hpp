// SPDX-License-Identifier: Apache-2.0
#pragma once
/// The agent of one host without its link: plugins and devices, artifact store, compiler, ticket
/// gate and attempt service, put together. Owned by whoever runs the node's actors, which call it;
/// `io` must outlive it and be run by threads that live as long. The ledger belongs to the node's
/// door actor alone; everything else here is thread-safe.

#include "node/compiler.hpp"
#include "node/device_ledger.hpp"
#include "node/local_attempts.hpp"
#include "node/server_cache.hpp"
#include "node/weights/weight_download.hpp"
#include "scheduler/command.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>

namespace consort::node {

/// This process's own time: no scheduler that is joined or started anew moves it.
[[nodiscard]] time_us steady_now();

struct agent_options {
  node_id name;
  std::string data_path;                        ///< State of this agent; created when missing.
  std::vector<std::string> plugin_dirs;         ///< Searched in order for plugin folders.
  std::string executable;                       ///< The consort binary; runs host processes.
  std::string llama_library;                    ///< The `llama` runtime's shared object.
  std::function<time_us()> clock;               ///< The scheduler's axis.
  hub_settings hub = {};                        ///< Where weights of elsewhere come from.
  bool built_in = true;                         ///< False: no plugins but those that it is handed.
  std::function<time_us()> steady = steady_now; ///< Own; spans and joules are measured on it.
  price_table prices = {};                      ///< Over those of plugins.
};

/// What a load found on this host.
struct prepared_load {
  std::string path; ///< Of the weights or the artifact.
  std::string weights_path;
  std::vector<local_adapter> adapters;
  std::shared_ptr<server_cache> cache; ///< Null: none is kept.
};

class agent {
public:
  /// Opens the store, loads the plugins and probes. Blocks for as long as the plugins' probes take.
  /// Broken plugins and damaged artifacts do not stop it; they are logged once.
  /// `further` plugins join those that are compiled in.
  [[nodiscard]] static result<std::unique_ptr<agent>>
  start(boost::asio::io_context& io, agent_options options,
        std::vector<std::unique_ptr<plugin>> further = {});
  ~agent();
  agent(const agent&) = delete;
  agent& operator=(const agent&) = delete;

  [[nodiscard]] const agent_options& options() const { return options_; }
  [[nodiscard]] inventory& plugins() { return inventory_; }
  [[nodiscard]] artifact_store& store() { return *store_; }
  /// Profiles that this node can make: its plugins' compilers, and fetches of weights.
  [[nodiscard]] std::vector<build_profile> toolchains() const;
  /// What is told of the host; among it `compilers`, a digest of the files that its compilers are,
  /// so that the scheduler hears of one that was mended under its old version.
  [[nodiscard]] std::map<std::string, std::string> attributes() const;
  /// Of plugins whose probe failed or that lack a compiler: the attribute of the node that tells
  /// of each (core::plugin_attribute and its name), and why.
  [[nodiscard]] std::map<std::string, std::string> plugin_reasons() const;
  /// Starts a compile or a fetch of weights, as compiler::build().
  [[nodiscard]] std::unique_ptr<running_compile> build(const build_order& order,
                                                       compiler::progress_handler progress,
                                                       compiler::finished_handler finished);
  [[nodiscard]] ticket_gate& gate() { return gate_; }
  [[nodiscard]] local_attempt_service& attempts() { return attempts_; }
  [[nodiscard]] device_ledger& ledger() { return ledger_; }
  [[nodiscard]] digest_cache& digests() { return digests_; }

  /// Looks at the plugin folders again (inventory::reload) and logs what is wrong with them. Blocks
  /// for as long as the probes take, and for another caller's. The ledger is the caller's to
  /// update.
  [[nodiscard]] inventory_change reload_plugins();

  /// Runs what blocks on the disk, on a thread of its own; what still waits when the agent ends is
  /// dropped.
  void on_disk(std::function<void()> work);

  /// All that a load needs on this host: verified_path(), LoRA adapters, weights beside an engine
  /// of an architecture, and the folder for what its server compiles at its start, where one was
  /// ordered. Blocks as those do.
  [[nodiscard]] result<prepared_load> prepare(const core::load_replica& order,
                                              std::optional<cache_order> cache);

  /// Path of what a load names, checked: the artifact's content by its digest, weights as a sound
  /// GGUF of the digest the scheduler means. Reads whole files; call it where blocking is allowed.
  [[nodiscard]] result<std::string> verified_path(const model_variant& variant,
                                                  const std::optional<artifact_record>& artifact);

private:
  agent(boost::asio::io_context& io, agent_options options, std::unique_ptr<artifact_store> store);
  void load_plugins(std::vector<std::unique_ptr<plugin>> further);
  void log_faults();
  [[nodiscard]] std::string path_here(const model_variant& variant);

  boost::asio::io_context& io_;
  agent_options options_;
  std::unique_ptr<artifact_store> store_;
  digest_cache digests_;
  inventory inventory_;
  std::mutex reloading_;
  std::map<std::string, std::string> faults_; ///< By plugin, as logged; behind `reloading_`.
  device_ledger ledger_;
  ticket_gate gate_;
  local_attempt_service attempts_;
  std::unique_ptr<compiler> compiler_;
  weight_downloads downloads_;
  boost::asio::thread_pool disk_{2}; ///< Last: nothing of it outlives the rest.
};

/// Facts about this host for `consort nodes`: kernel, cores, memory.
[[nodiscard]] std::map<std::string, std::string> host_attributes();

} // namespace consort::node
