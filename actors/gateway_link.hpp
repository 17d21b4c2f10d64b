// SPDX-License-Identifier: Apache-2.0
#pragma once
/// The gateway's port to the scheduler as an actor's shell: implements gateway::scheduler_port over
/// frames. One per gateway process; owned by whoever builds the gateway. Its methods are called
/// from the HTTP threads; answers come back on the link actor's thread. Destroying it stops the
/// link; listeners then hear nothing more.

#include "actors/interfaces.hpp"
#include "actors/limits.hpp"
#include "actors/wire.hpp"
#include "gateway/scheduler_port.hpp"

#include <caf/all.hpp>

#include <memory>
#include <string>

namespace consort::actors {

/// Someone waits for a view of the scheduler.
struct pending_view {
  time_us due = 0;
  std::function<void(result<core::snapshot>)> on_snapshot;
  std::function<void(result<core::explanation>)> on_explanation;
  std::string explains;      ///< Request that the explanation is of.
  core::snapshot pages = {}; ///< That came so far.
  std::function<void(result<gateway::reload_reports>)> on_reloads = {};
  gateway::reload_reports reloads = {}; ///< Of every node that was asked; empty = not known yet.
  std::function<void(result<gateway::plugins_reports>)> on_plugins = {};
  gateway::plugins_reports plugins = {}; ///< The same.
  std::function<void(result<gateway::admin_taken>)> on_taken = {};
  std::function<void(result<core::snapshot_page>)> on_requests = {};
};

struct gateway_options {
  std::string cluster;
  std::string join_token;       ///< Empty inside one process.
  std::string name = "gateway"; ///< As its certificate has it, where there is one.
  gateway_id id;                ///< Random, never 0.
  bool linked = false;          ///< An uplink stands for the scheduler: hello waits for a link.
  /// Steady, of this process: what is left of a request's time outlives the scheduler whose axis it
  /// could have been measured on.
  std::function<time_us()> clock;
  std::size_t listeners_max = limits::listeners_max; ///< Requests open at once.
};

class gateway_link final : public gateway::scheduler_port {
public:
  /// Says hello to `scheduler` at once, or, when it is an uplink, on every fresh link; then tells
  /// it of every request that is open here.
  gateway_link(caf::actor_system& system, caf::actor scheduler, gateway_options options);
  ~gateway_link() override;
  gateway_link(const gateway_link&) = delete;
  gateway_link& operator=(const gateway_link&) = delete;

  /// What speaks to the scheduler; an uplink must know it.
  [[nodiscard]] const caf::actor& actor() const { return link_; }

  [[nodiscard]] gateway_id id() const override;
  void submit(request_meta meta, std::shared_ptr<gateway::request_listener> listener) override;
  void report(gateway::gateway_report happened) override;
  void admin(gateway::admin_request wanted,
             std::function<void(result<gateway::admin_taken>)> answer) override;
  void snapshot(std::function<void(result<core::snapshot>)> answer) override;
  void requests(core::requests_wish wish,
                std::function<void(result<core::snapshot_page>)> answer) override;
  void explain(std::string external_id,
               std::function<void(result<core::explanation>)> answer) override;
  void explain(request_meta meta, std::function<void(result<core::explanation>)> answer) override;
  void plan(core::plan_wish wish, std::function<void(result<core::explanation>)> answer) override;
  void reload_plugins(node_id node, duration_us timeout_us,
                      std::function<void(result<gateway::reload_reports>)> answer) override;
  void list_plugins(node_id node, duration_us timeout_us,
                    std::function<void(result<gateway::plugins_reports>)> answer) override;
  void subscribe(std::function<void(const core::command&)> listener) override;

private:
  struct shared;
  void ask(messages::query wanted, pending_view query,
           duration_us timeout_us = limits::query_timeout_us);

  std::shared_ptr<shared> shared_;
  caf::actor link_;
};

} // namespace consort::actors
