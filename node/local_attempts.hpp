// SPDX-License-Identifier: Apache-2.0
#pragma once
/// The attempt service of this node: admits tickets by the gate, finds the session of the ticket's
/// instance and runs the attempt there; its end tells the gateway what it drew. Owned by the agent;
/// thread-safe. Knows which attempts run on which device, which is what `device_reported` says. At
/// most limits::attempts_running_max run at once.

#include "messages/attempt_service.hpp"
#include "node/runtime.hpp"
#include "node/ticket_gate.hpp"

namespace consort::node {

class local_attempt_service final : public attempt_service {
public:
  using clock = std::function<time_us()>;

  /// `gate`, `now` (the scheduler's axis, as the gate's) and `steady` (this process's own, which
  /// no scheduler moves: joules are counted on it) must outlive the service. Streams may outlive
  /// it.
  local_attempt_service(ticket_gate& gate, clock now, clock steady);
  ~local_attempt_service() override;

  /// Takes tickets of `instance` from now on; an instance attached again is replaced. `meters`
  /// (node/energy_book.hpp) tell what its attempts draw; with none it stays unknown.
  void attach(instance_id instance, std::shared_ptr<runtime_session> session, device_id device,
              std::vector<device_id> meters = {});
  /// Takes no more of them and lets go of the session. Attempts still running there end when its
  /// last owner destroys it.
  void detach(instance_id instance);
  /// Attempts that have begun on the device and have not ended, in order of id.
  [[nodiscard]] std::vector<attempt_id> running(const device_id& device) const;
  /// Charges what the device's counter has grown by to the attempts that drew it, and adds to the
  /// reading what was charged and what was not. A reading without a counter stays as it is, and so
  /// does one of a device whose work draws from another's meter (node/energy_book.hpp).
  void charge(const device_spec& device, device_reading& reading);
  /// The device's power was not read, of which its counter is made; it stood still until now.
  void skip_charge(const device_id& device);
  /// The device's counter begins anew, and with it what is charged of it.
  void forget_charges(const device_id& device);
  /// Cancels an attempt that the core no longer believes in; unknown ones are ignored. Its sink
  /// gets a terminal event.
  void revoke(const attempt_id& attempt);

  /// Refusals beside the gate's: `instance_unknown`, `ticket_wrong_device` (retry elsewhere),
  /// `node_full` (retry later); none is the device's fault. Destroying the stream waits for a
  /// delivery in progress on another thread, so a sink must not take a lock that its owner holds
  /// while destroying the stream; from inside the sink itself it is fine.
  std::unique_ptr<attempt_stream> open(const ticket& permission, attempt_body body,
                                       std::shared_ptr<attempt_sink> sink) override;

private:
  struct registry;
  class relay;
  class stream;

  ticket_gate& gate_;
  const clock now_;
  const std::shared_ptr<registry> registry_;
};

} // namespace consort::node
