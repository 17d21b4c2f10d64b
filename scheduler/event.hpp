// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Everything that can happen to the core, in the past tense. With command.hpp this is the design
/// document of the scheduler: the production actor, the simulator and the fuzzer feed exactly
/// these. Any event may arrive late, twice, or about something unknown; the core ignores what it
/// cannot use and never trusts a number it has not checked.

#include "scheduler/types.hpp"

#include <variant>

namespace consort::core {

// --- nodes and devices (from the node's agent) ---

/// An agent said hello. A new incarnation of a known node replaces the old one, whose work is
/// failed over.
struct node_joined {
  node_id node;
  incarnation life;
  std::string data_address; ///< Where its data port answers; empty in one process.
  std::vector<build_profile>
      toolchains; ///< Profiles that this node can compile (run capability is a device's).
  std::map<std::string, std::string> attributes;
  bool returning = false; ///< This process was greeted before, by this scheduler or an earlier one.
};
/// The link to a node dropped. A hint, unless `process_ended` is sure: until the node is heard
/// again it gets no new work, and attempts on it that fall silent fail over; the lease decides the
/// rest. Or its agent stops in order and says so itself (`leaving`): nothing new starts there, what
/// runs goes on, and with `process_ended` it says goodbye.
struct node_lost {
  node_id node;
  incarnation life;
  bool process_ended = false;
  std::string reason;
  bool for_good = false; ///< It is not let in again as it is: nobody waits for its devices.
  bool leaving = false;  ///< It stops because it was told to.
};
/// An agent asked to be believed alive for another lease period.
struct lease_renewed {
  node_id node;
  incarnation life;
};
/// What stops new work: a drain is on its way to empty, a cordon leaves alone what runs. They are
/// set and lifted apart; `any` is a drain when set, and both when lifted.
enum class hold_kind : std::uint8_t { any, drain, cordon };
/// An operator (or the node itself) stopped new work on a node or device, or allowed it
/// again.
struct drain_changed {
  std::string target; ///< Node or device id.
  bool draining = true;
  std::string reason;
  duration_us move_after_us = 0; ///< What still runs there then is moved elsewhere; 0 = never. Of
                                 ///< a drain only.
  hold_kind kind = hold_kind::any;
};
/// An agent described one device in full. Again when anything about it changed.
struct device_advertised {
  device_spec spec;
  incarnation life;
};
/// Periodic truth from a device: telemetry and what is running there (attempts the core believes in
/// but the device does not, for longer than a grace, are failed over).
struct device_reported {
  device_id device;
  incarnation life;
  device_reading reading;
  std::vector<attempt_id> running;
  std::vector<std::pair<instance_id, capacity_vector>> endpoints;
};
/// A device is gone (unplugged, host process unusable).
struct device_lost {
  device_id device;
  incarnation life;
  std::string reason;
};

// --- models (from configuration or an operator) ---

struct model_declared {
  model_spec spec;
};
struct model_removed {
  model_name name;
};

// --- requests and attempts (from a gateway) ---

/// A gateway asks for a ticket.
struct request_submitted {
  request_meta meta;
};
/// The client left, or the gateway gave up. Ends the request.
struct request_cancelled {
  request_id request;
  std::string reason;
};
/// The endpoint accepted the ticket and work began.
struct attempt_started {
  attempt_id attempt;
};
/// Tokens arrived since the last report; resets the stall watchdog.
struct attempt_progressed {
  attempt_id attempt;
  std::uint32_t completion_tokens = 0; ///< So far, over all choices.
};
/// The attempt ended well. Ends the request.
struct attempt_finished {
  attempt_id attempt;
  attempt_measurement measured;
};
/// The attempt ended badly. `failure.action` decides between another attempt and the end;
/// `emitted_tokens` above 0 means that the client already saw text, so only a resume is honest.
struct attempt_failed {
  attempt_id attempt;
  error failure;
  std::uint32_t emitted_tokens = 0;
  bool device_fault
      = true; ///< False for client errors and cancels: they never count against a device.
  duration_us retry_after_us = 0; ///< Who had no room asked to be left alone so long; 0 = not said.
  std::optional<std::uint64_t> cost_micros = {}; ///< As in attempt_measurement.
};
/// The link to a gateway dropped. A hint: its running streams go on and keep their capacity, and it
/// gets nothing new; without gateway_restored within limits::gateway_grace_us its requests end.
struct gateway_lost {
  gateway_id gateway;
};
/// A gateway has a fresh link, to the scheduler that it lost or to a new one, and tells of one
/// request that it still has. Takes the place of request_submitted there.
struct request_restored {
  request_meta meta;                ///< `deadline_us` and `wait_us`: what is left of them.
  std::uint32_t attempts = 0;       ///< Number of the latest ticket that it got; 0 = none.
  std::uint32_t emitted_tokens = 0; ///< That the client saw, over all attempts.
  std::optional<ticket> running;    ///< Of the attempt that still streams: the latest, or while a
                                    ///< hedge runs beside it, the one before that.
};
/// It has told of all its requests: what else is known of this gateway is over. Follows the last
/// request_restored, or stands alone when there are none.
struct gateway_restored {
  gateway_id gateway;
};

// --- allocations and replicas (from the owning nodes) ---

struct allocation_reserved {
  allocation_id allocation;
  node_id node;
  incarnation life;
  epoch fence;
  /// `host:port` that is free there, for ranks of other nodes to meet; empty on one node.
  std::string rendezvous = {};
};
struct allocation_refused {
  allocation_id allocation;
  node_id node;
  incarnation life;
  epoch fence;
  error reason;
};
/// The leader finished loading; the instance takes requests.
struct replica_loaded {
  instance_id instance;
  incarnation life;                       ///< Of the leader's node.
  std::vector<capacity_vector> endpoints; ///< One per data-parallel rank.
  runtime_capabilities runtime;
  duration_us load_us = 0;
};
struct replica_unloaded {
  instance_id instance;
  incarnation life;
};
/// A node with a fresh link tells of an instance that it has loaded, or of its rank of one: one
/// that the scheduler lost sight of, or an earlier scheduler's, which is taken over as it is.
struct replica_found {
  instance_id instance;
  node_id node; ///< That tells: the leader's, or another member's, which only holds a rank.
  incarnation life;
  allocation grant;
  model_name model;
  digest weights;  ///< Of the variant.
  digest artifact; ///< Content; empty when it runs the weights themselves.
  std::vector<capacity_vector> endpoints;
  runtime_capabilities runtime;
  std::vector<model_adapter> adapters; ///< That it has loaded.
};
/// A load failed, or a loaded instance or a rank of it died (host process crash). Any of its nodes
/// may say so; the whole instance fails, and all its attempts with it.
struct replica_failed {
  instance_id instance;
  incarnation life;
  error failure;
};

// --- artifacts and compiles (from nodes) ---

/// A node's store holds this artifact, verified.
struct artifact_found {
  artifact_record record;
  incarnation life;
};
/// A node's copy is gone or was corrupt and discarded.
struct artifact_lost {
  artifact_key key;
  digest content;
  node_id node;
  incarnation life;
  std::string reason;
};
/// A copy that fetch_artifact asked for did not arrive. Another holder is tried, or this one later.
struct fetch_failed {
  artifact_key key;
  digest content;
  node_id node;
  incarnation life;
  error failure;
};
struct compile_progressed {
  compile_id compile;
  incarnation life;
  std::uint32_t done_pm = 0; ///< Per mille.
};
struct compile_finished {
  compile_id compile;
  incarnation life;
  artifact_record record;
};
/// `failure.action` tells a deterministic failure (refuse: cached) from one worth retrying.
struct compile_failed {
  compile_id compile;
  incarnation life;
  error failure;
  duration_us retry_after_us = 0; ///< The weights' server asks to be left alone; 0 = not said.
};
/// An operator asked to build ahead.
struct compile_requested {
  model_name model;
  std::string selector;
};

/// Time passed; nothing else happened. Sent when `core::next_deadline()` is reached.
struct tick {};

using event
    = std::variant<node_joined, node_lost, lease_renewed, drain_changed, device_advertised,
                   device_reported, device_lost, model_declared, model_removed, request_submitted,
                   request_cancelled, attempt_started, attempt_progressed, attempt_finished,
                   attempt_failed, gateway_lost, allocation_reserved, allocation_refused,
                   replica_loaded, replica_unloaded, replica_failed, artifact_found, artifact_lost,
                   compile_progressed, compile_finished, compile_failed, compile_requested, tick,
                   request_restored, gateway_restored, replica_found, fetch_failed>;

} // namespace consort::core
