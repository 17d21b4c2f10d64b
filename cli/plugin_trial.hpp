// SPDX-License-Identifier: Apache-2.0
#pragma once
/// One plugin on trial: builds for its first device, or an engine's first of those that it runs on,
/// loads, generates, cancels, and kills what it
/// started. Owns a scratch folder and the threads that runtimes need; leaves nothing behind.
/// Blocking; one step at a time, in the order of the functions. A step that makes no sense here
/// fails with the code `skipped`. SIGINT and SIGTERM end this process with exit_code::failed, after
/// what it had started was killed, its containers and its folder removed; a second one at once.

#include "node/json_plugin.hpp"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/signal_set.hpp>

#include <atomic>
#include <filesystem>
#include <future>
#include <thread>

namespace consort::cli {

class plugin_trial {
public:
  /// `named`: somebody chose the model; else it is the one that ships. `hosts_in`: where the
  /// plugins are looked for whose devices an engine runs on.
  plugin_trial(node::plugin_document document, const std::string& folder, std::string model,
               bool named, std::vector<std::string> hosts_in);
  ~plugin_trial();
  plugin_trial(const plugin_trial&) = delete;
  plugin_trial& operator=(const plugin_trial&) = delete;

  [[nodiscard]] node::json_plugin& plugin() { return *plugin_; }

  /// Told of a build's progress in per mille, from another thread while build() blocks.
  void on_progress(std::function<void(std::uint32_t)> told) { progress_ = std::move(told); }

  /// Of an engine: the device of this host that it is tried on or, where there is none, a made-up
  /// one that tells nothing.
  [[nodiscard]] result<std::vector<device_spec>> probe();
  /// Why an engine is tried on a made-up device, in words; empty = it is not.
  [[nodiscard]] const std::string& hostless() const { return hostless_; }
  // Each returns what it saw, for people.
  [[nodiscard]] result<std::string> build();
  [[nodiscard]] result<std::string> load();
  [[nodiscard]] result<std::string> generate();
  [[nodiscard]] result<std::string> cancel();
  [[nodiscard]] result<std::string> kill();
  /// Waits until its containers are gone, for about 30 s at most. The last step: the plugin is gone
  /// after it.
  [[nodiscard]] result<std::string> remove();
  /// Whether it runs anything that outlives its own processes.
  [[nodiscard]] bool contained() const { return box_.has_value(); }

  /// Does not return once a signal came: what that killed is no fault to be told of.
  void stay_if_interrupted() const;

private:
  class listener;
  [[noreturn]] void interrupted();
  [[nodiscard]] result<done> remove_containers() const;
  [[nodiscard]] bool looks_at_bus() const;
  [[nodiscard]] device_spec host_of_engine();
  [[nodiscard]] error without_target(const std::string& compiler,
                                     const std::string& attribute) const;
  [[nodiscard]] std::optional<error> builds_nothing(bool any_profile);
  [[nodiscard]] std::string format() const;
  [[nodiscard]] std::vector<std::string> formats_of(const build_profile& built) const;
  [[nodiscard]] attempt_id latest() const;
  [[nodiscard]] std::string lacking_gauges() const;
  [[nodiscard]] std::optional<std::uint64_t> gauge_of_ours(std::int64_t since_us);
  [[nodiscard]] std::optional<std::uint64_t> gauge_below(std::uint64_t shown,
                                                         std::int64_t since_us);
  [[nodiscard]] std::shared_ptr<listener> submit(std::uint32_t max_tokens);
  [[nodiscard]] std::shared_ptr<listener> submit_long();
  [[nodiscard]] std::optional<error> not_under_way(listener& heard) const;

  boost::asio::io_context io_;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
  std::vector<std::thread> threads_;
  const std::filesystem::path scratch_;
  const std::string model_;
  const bool named_;
  const std::string folder_;
  const std::vector<std::string> hosts_in_;
  std::string hostless_;
  /// Apart from the plugin, which a signal may outlive.
  const std::optional<node::container_rule> box_;
  std::atomic<bool> boxed_ = false; ///< A container of ours may be there.
  std::atomic<bool> interrupted_ = false;
  std::unique_ptr<node::json_plugin> plugin_;
  std::optional<device_spec> device_;
  std::string engine_; ///< What to load.
  std::shared_ptr<node::runtime_session> session_;
  std::promise<error> died_;
  std::uint32_t attempts_ = 0;
  std::function<void(std::uint32_t)> progress_;
  boost::asio::signal_set interrupts_;
};

} // namespace consort::cli
