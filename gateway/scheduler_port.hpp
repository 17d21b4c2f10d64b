// SPDX-License-Identifier: Apache-2.0
#pragma once
/// How the gateway talks to the scheduler: metadata down, tickets and notices up. The production
/// implementation is an actor's shell (actors/gateway_port); tests use a fake. All calls are
/// thread-safe and never block; callbacks arrive on any thread and must not block.

#include "messages/envelope.hpp"
#include "scheduler/command.hpp"
#include "scheduler/event.hpp"
#include "scheduler/view.hpp"

#include <functional>
#include <memory>

namespace consort::gateway {

/// Receives what the scheduler says of one request, in order. After `on_reject` or the request's
/// end: silence.
class request_listener {
public:
  virtual ~request_listener() = default;
  virtual void on_ticket(const core::grant_ticket& granted) = 0;
  virtual void on_drop(const core::drop_attempt& dropped) = 0;
  virtual void on_queue(const core::queue_notice& notice) = 0;
  virtual void on_reject(const core::reject_request& rejected) = 0;
};

/// What a gateway reports of attempts; the subset of core events that is the gateway's to send.
using gateway_report
    = std::variant<core::request_cancelled, core::attempt_started, core::attempt_progressed,
                   core::attempt_finished, core::attempt_failed>;

/// What an operator asks through the admin API.
using admin_request = std::variant<core::drain_changed, core::model_declared, core::model_removed,
                                   core::compile_requested>;

/// What became of it once it was passed on.
struct admin_taken {
  /// Whether it survives a restart of the scheduler; nullopt = nothing of it is to be kept, or the
  /// scheduler has not said so in time.
  std::optional<bool> kept = {};
  std::string kept_error = {}; ///< Why it does not.
};

/// What became of a reload, by node, in order of name.
using reload_reports = std::vector<messages::reload_report>;
/// The plugins of each node, in order of its name.
using plugins_reports = std::vector<messages::plugins_report>;

class scheduler_port {
public:
  virtual ~scheduler_port() = default;

  /// The gateway's own id; request ids carry it.
  [[nodiscard]] virtual gateway_id id() const = 0;

  virtual void submit(request_meta meta, std::shared_ptr<request_listener> listener) = 0;
  virtual void report(gateway_report happened) = 0;
  /// Calls back within limits::port_timeout, once the scheduler said whether it keeps it. An error
  /// means that it was not told.
  virtual void admin(admin_request wanted, std::function<void(result<admin_taken>)> answer) = 0;
  /// Calls back within limits::port_timeout or with an error.
  virtual void snapshot(std::function<void(result<core::snapshot>)> answer) = 0;
  /// Some of the live requests, in one page: core::core::requests().
  virtual void requests(core::requests_wish wish,
                        std::function<void(result<core::snapshot_page>)> answer)
      = 0;
  virtual void explain(std::string external_id,
                       std::function<void(result<core::explanation>)> answer)
      = 0;
  /// What would be decided about a request that is not run.
  virtual void explain(request_meta meta, std::function<void(result<core::explanation>)> answer)
      = 0;
  /// What would be done next, step by step (core::plan).
  virtual void plan(core::plan_wish wish, std::function<void(result<core::explanation>)> answer)
      = 0;
  /// Has one node, or each when `node` is empty, look at its plugin folders again. Calls back once
  /// all answered, or after `timeout_us`; who was asked and said nothing is in the list then.
  virtual void reload_plugins(node_id node, duration_us timeout_us,
                              std::function<void(result<reload_reports>)> answer)
      = 0;
  /// What one node, or each, knows of its plugins; nothing is probed for it. Calls back as above.
  virtual void list_plugins(node_id node, duration_us timeout_us,
                            std::function<void(result<plugins_reports>)> answer)
      = 0;
  /// Subscribes to records and notes from now on; events that a slow subscriber misses are dropped,
  /// never queued for ever.
  virtual void subscribe(std::function<void(const core::command&)> listener) = 0;
};

} // namespace consort::gateway
