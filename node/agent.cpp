// SPDX-License-Identifier: Apache-2.0
#include "node/agent.hpp"

#include "messages/wire_check.hpp"
#include "node/builtin.hpp"
#include "node/file_digest.hpp"
#include "node/model_files.hpp"
#include "node/model_folder.hpp"
#include "node/plugin_environment.hpp"
#include "node/runtimes/container.hpp"
#include "scheduler/attributes.hpp"
#include "scheduler/weights.hpp"

#include <boost/asio/post.hpp>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <thread>

namespace consort::node {

namespace {

void log_once(const std::vector<error>& complaints) {
  for (const auto& complaint : complaints)
    if (complaint.code != "plugin_fault") // Told when it began.
      spdlog::warn("node: {}", complaint.message);
}

} // namespace

time_us steady_now() {
  return std::chrono::duration_cast<std::chrono::microseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

result<std::unique_ptr<agent>> agent::start(boost::asio::io_context& io, agent_options options,
                                            std::vector<std::unique_ptr<plugin>> further) {
  auto store = artifact_store::open(options.data_path, options.name);
  if (!store)
    return store.failure();
  (*store)->set_aside_unreadable();
  if ((*store)->free_bytes() == 0)
    spdlog::warn("node: no room in {}: nothing is built or fetched there until more than the "
                 "headroom of {} MiB is free",
                 options.data_path, limits::disk_headroom_bytes >> 20U);
  std::unique_ptr<agent> started(new agent(io, std::move(options), std::move(*store)));
  started->load_plugins(std::move(further));
  return started;
}

agent::agent(boost::asio::io_context& io, agent_options options,
             std::unique_ptr<artifact_store> store)
    : io_(io),
      options_(std::move(options)),
      store_(std::move(store)),
      digests_(options_.data_path + "/digests.json"),
      inventory_(options_.name, options_.data_path + "/devices.json"),
      ledger_(options_.name),
      attempts_(gate_, options_.clock, options_.steady),
      compiler_(std::make_unique<compiler>(
          inventory_, *store_, digests_,
          [this](const model_variant& variant) { return path_here(variant); })),
      downloads_(*store_, options_.data_path, options_.hub) {}

agent::~agent() {
  disk_.stop();
  disk_.join();
}

void agent::on_disk(std::function<void()> work) {
  boost::asio::post(disk_, std::move(work));
}

result<prepared_load> agent::prepare(const core::load_replica& order,
                                     std::optional<cache_order> cache) {
  prepared_load made;
  const auto path = verified_path(order.variant, order.artifact);
  if (!path)
    return path.failure();
  made.path = *path;
  if (order.artifact && order.artifact->key.kind == artifact_kind::engine_architecture) {
    const auto weights = core::weights_elsewhere(order.variant.source)
                             ? store_->path_of(order.variant.content)
                             : verified_path(order.variant, std::nullopt);
    if (!weights)
      return error{weights.failure().action, "weights_missing", weights.failure().message};
    made.weights_path = *weights;
  }
  auto adapters = find_adapters(order.variant, digests_,
                                [this](const artifact_key& key) { return store_->path_of(key); });
  if (!adapters)
    return adapters.failure();
  made.adapters = *std::move(adapters);
  if (cache) {
    auto folder = server_cache::make(*store_, *std::move(cache));
    if (!folder)
      return folder.failure();
    made.cache = *std::move(folder);
  }
  return made;
}

/// Of the weights that a compiler reads; empty when they are to come from elsewhere and did not.
std::string agent::path_here(const model_variant& variant) {
  if (!core::weights_elsewhere(variant.source))
    return variant.source;
  const auto path = store_->path_of(variant.content);
  return path ? *path : std::string();
}

std::vector<build_profile> agent::toolchains() const {
  auto all = inventory_.toolchains();
  all.push_back(core::weights_profile());
  return all;
}

std::map<std::string, std::string> agent::attributes() const {
  auto facts = host_attributes();
  if (const auto files = inventory_.compiler_files(); !files.empty())
    facts[core::compilers_attribute] = hash_text(files).value.substr(0, 16);
  return facts;
}

std::unique_ptr<running_compile> agent::build(const build_order& order,
                                              compiler::progress_handler progress,
                                              compiler::finished_handler finished) {
  return core::is_weights(order.key.profile)
             ? downloads_.start(order, std::move(progress), std::move(finished))
             : compiler_->build(order, std::move(progress), std::move(finished));
}

namespace {

/// What plugins are lent; outlived by `io`.
plugin_environment environment_of(boost::asio::io_context& io, const agent_options& options) {
  return make_plugin_environment(io, options.executable,
                                 container_owner(options.name, options.data_path), options.prices,
                                 options.data_path + "/state");
}

} // namespace

inventory_change agent::reload_plugins() {
  const std::lock_guard lock(reloading_);
  store_->rescan(); // Something may have been imported.
  log_once(store_->complaints());
  auto change = inventory_.reload(options_.plugin_dirs, environment_of(io_, options_));
  log_once(change.complaints);
  log_faults();
  return change;
}

/// Once when a plugin begins to lack something, and once when it no longer does.
void agent::log_faults() {
  std::map<std::string, std::string> now;
  for (const auto& plugin : inventory_.plugins()) {
    const auto& name = plugin.metadata.name;
    const auto before = faults_.find(name);
    if (plugin.fault)
      now.emplace(name, plugin.fault->message);
    else if (before != faults_.end() && plugin.probe_failed) // Nobody looked.
      now.insert(*before);
    else if (before != faults_.end())
      spdlog::info("node: plugin {} lacks nothing any more", name);
  }
  for (const auto& [name, why] : now)
    if (!faults_.contains(name))
      spdlog::warn("node: plugin {}: {}", name, why);
  faults_ = std::move(now);
}

std::map<std::string, std::string> agent::plugin_reasons() const {
  std::map<std::string, std::string> reasons;
  for (const auto& plugin : inventory_.plugins())
    if ((plugin.probe_failed || plugin.fault) && reasons.size() < limits::plugin_reasons_max)
      reasons.emplace(core::plugin_attribute + plugin.metadata.name,
                      messages::repaired(plugin.reason, limits::plugin_reason_bytes_max));
  return reasons;
}

namespace {

/// A misspelt name would leave what it was given for as dear as its plugin says.
void warn_of_unknown(const price_table& prices, const std::vector<plugin_status>& plugins) {
  for (const auto& [name, list] : prices)
    if (std::none_of(plugins.begin(), plugins.end(),
                     [&](const plugin_status& one) { return one.metadata.name == name; }))
      spdlog::warn("node: the configuration has prices of the plugin {}, which is in none of the "
                   "plugin folders: see `consort plugins`",
                   name);
}

} // namespace

void agent::load_plugins(std::vector<std::unique_ptr<plugin>> further) {
  const auto environment = environment_of(io_, options_);
  log_once(store_->complaints());
  builtin_config builtin;
  builtin.cpu.llama_library = options_.llama_library;
  builtin.cpu.make_c_abi = environment.make_c_abi;
  if (options_.built_in)
    for (auto& plugin : builtin_plugins(std::move(builtin)))
      inventory_.add(std::move(plugin));
  for (auto& plugin : further)
    inventory_.add(std::move(plugin));
  for (const auto& directory : options_.plugin_dirs)
    log_once(inventory_.load(directory, environment));
  log_once(inventory_.tidy()); // What was left running holds the devices that are looked for.
  log_once(inventory_.probe());
  if (options_.built_in) // Only now: who is there is known to the inventory since its probe.
    warn_of_unknown(options_.prices, inventory_.plugins());
  log_faults();
  for (const auto& device : inventory_.devices())
    ledger_.set_device(device);
}

result<std::string> agent::verified_path(const model_variant& variant,
                                         const std::optional<artifact_record>& artifact) {
  if (artifact)
    return store_->path_of(artifact->content);
  if (auto name = name_at_server(variant.source))
    return *std::move(name);
  const bool folder = is_model_folder(variant.source);
  if (variant.format == "gguf")
    if (const auto sound = inspect_gguf_file(variant.source); !sound)
      return sound.failure();
  if (const auto whole = check_model_files(variant.source, variant.format); !whole)
    return whole.failure();
  const auto content
      = folder ? digest_of_folder(variant.source, digests_) : digests_.digest_of(variant.source);
  if (!content)
    return content.failure();
  if (!variant.content.empty() && *content != variant.content)
    return error{recovery::refuse, "model_changed",
                 variant.source + " is not the file that was declared: its digest is "
                     + content->value + "; restart or declare the model again"};
  return variant.source;
}

std::map<std::string, std::string> host_attributes() {
  std::map<std::string, std::string> facts;
  utsname system{};
  if (uname(&system) == 0) {
    facts["kernel"] = system.release;
    facts["architecture"] = system.machine;
  }
  struct sysinfo memory {};
  if (sysinfo(&memory) == 0)
    facts["memory_bytes"] = std::to_string(std::uint64_t{memory.totalram} * memory.mem_unit);
  facts["cores"] = std::to_string(std::thread::hardware_concurrency());
  return facts;
}

} // namespace consort::node
