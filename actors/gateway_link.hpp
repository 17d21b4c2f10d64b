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

struct gateway_options {
  std::string cluster;
  std::string join_token; ///< Empty inside one process.
  gateway_id id;          ///< Random, never 0.
  std::function<time_us()> clock;
  std::size_t listeners_max = limits::listeners_max; ///< Requests open at once.
};

class gateway_link final : public gateway::scheduler_port {
public:
  /// Says hello to `scheduler` at once.
  gateway_link(caf::actor_system& system, caf::actor scheduler, gateway_options options);
  ~gateway_link() override;
  gateway_link(const gateway_link&) = delete;
  gateway_link& operator=(const gateway_link&) = delete;

  [[nodiscard]] gateway_id id() const override;
  [[nodiscard]] time_us now() const override;
  void submit(request_meta meta, std::shared_ptr<gateway::request_listener> listener) override;
  void report(gateway::gateway_report happened) override;
  void admin(gateway::admin_request wanted, std::function<void(result<done>)> answer) override;
  void snapshot(std::function<void(result<core::snapshot>)> answer) override;
  void explain(std::string external_id,
               std::function<void(result<core::explanation>)> answer) override;
  void subscribe(std::function<void(const core::command&)> listener) override;

private:
  struct shared;
  /// Returns: why it cannot be sent, when it breaks a limit of the wire.
  std::optional<error> send_event(const core::event& happened);
  void send_query(messages::query wanted);

  std::shared_ptr<shared> shared_;
  caf::actor scheduler_;
  caf::actor link_;
};

} // namespace consort::actors
