// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Everything the core asks of the world, in the imperative. The shell (actor or simulator) carries
/// commands out in the order given; each will be answered by an event, or by silence that a
/// deadline of the core notices.

#include "scheduler/types.hpp"

#include <variant>

namespace consort::core {

// --- to nodes ---

/// Answer to node_joined and lease_renewed: believed alive until `until`.
struct grant_lease {
  node_id node;
  incarnation life;
  epoch lease_epoch;
  time_us until = 0;
};
/// The node speaks under a dead incarnation or was declared lost: it must drop all work and say
/// hello again.
struct fence_node {
  node_id node;
  incarnation life;
  std::string reason;
};
/// First phase of an allocation: hold these shares of this node's devices. One command per node
/// involved.
struct reserve_allocation {
  node_id node;
  allocation grant;
};
/// Give the shares back. Idempotent.
struct release_allocation {
  node_id node;
  allocation_id allocation;
  epoch fence;
};
/// Second phase, one to each node of a granted allocation: start the instance, or this node's rank
/// of it. Only the leader answers with replica_loaded, once all ranks met it.
struct load_replica {
  node_id node;
  instance_id instance;
  allocation grant;
  model_name model;
  model_variant variant;
  std::optional<artifact_record> artifact; ///< Set when the device runs artifacts only.
  parallelism ways;
  std::uint32_t rank = 0;  ///< Of this node among those of the allocation; 0 = it leads.
  std::uint32_t ranks = 1; ///< Nodes of the allocation.
  launch_kind launch = launch_kind::process;
  ownership_kind ownership = ownership_kind::managed;
  std::optional<artifact_record> cache; ///< What its server compiled at an earlier start.
};
/// To every node of the allocation.
struct unload_replica {
  node_id node;
  instance_id instance;
  std::string reason;
};
/// Cancel an attempt that the core no longer believes in.
struct revoke_attempt {
  node_id node;
  device_id device;
  instance_id instance;
  attempt_id attempt;
  std::string reason;
};
/// Build an artifact. The node maps the profile to a command line of its own; nothing here is ever
/// executed.
struct start_compile {
  node_id node;
  compile_id compile;
  artifact_key key;
  model_name model;
  model_variant source;
  std::optional<allocation> grant; ///< When the profile needs a device.
};
struct cancel_compile {
  node_id node;
  compile_id compile;
};
/// Pull an artifact from another node's store.
struct fetch_artifact {
  node_id node;
  digest content;
  artifact_key key;
  node_id from;
  std::string from_address;
};
struct delete_artifact {
  node_id node;
  digest content;
};

// --- to gateways ---

/// Run attempt N there. `resumed` says that earlier attempts already emitted tokens.
struct grant_ticket {
  ticket granted;
  bool resumed = false;
  duration_us queued_us = 0;
  bool exact = true; ///< On a resume: same artifact digest as before, so the same text is promised.
  bool hedge = false; ///< Beside the attempt that runs: whichever brings a token first goes on, the
                      ///< gateway closes the other. Without such a one it is the attempt.
};
/// This attempt is void (its node is lost or it stalled); drop its frames. Unless another runs
/// beside it, wait for the next ticket or an end.
struct drop_attempt {
  attempt_id attempt;
  std::string reason;
};
/// Why a request is waiting; sent when the reason changes.
struct queue_notice {
  request_id request;
  std::string state; ///< `queued`, `loading`, `compiling`.
  std::uint32_t position = 0;
  std::optional<duration_us> eta_us;
  std::string reason; ///< One line for people.
};
/// The request ends without (further) service.
struct reject_request {
  request_id request;
  std::uint16_t http_status = 503; ///< Of the contract's table: 404, 408, 422, 429, 502, 503.
  error reason;
  std::optional<duration_us> retry_after_us;
  std::string state; ///< For 503: `loading`, `compiling`, `queued`; else empty.
  std::optional<duration_us> eta_us;
};

// --- to whoever keeps records ---

/// A request ended, whatever the way. Exactly one per accepted request; metrics and history come
/// from it.
struct record_request {
  request_id request;
  std::string external_id;
  model_name model;
  tenant_id tenant;
  request_outcome outcome = request_outcome::finished;
  device_id device; ///< Of the last attempt; empty when none.
  std::uint32_t attempts = 0;
  duration_us queued_us = 0;
  duration_us total_us = 0;
  token_usage usage;
  std::string code; ///< Error code when it did not finish.
};
/// Something an operator wants to know, once. `consort events` and the log come from it.
struct note {
  enum class severity : std::uint8_t { info, warning, error };
  severity level = severity::info;
  std::string subject; ///< Node, device, model, artifact or request id.
  std::string text;    ///< One line.
};

using command = std::variant<grant_lease, fence_node, reserve_allocation, release_allocation,
                             load_replica, unload_replica, revoke_attempt, start_compile,
                             cancel_compile, fetch_artifact, delete_artifact, grant_ticket,
                             drop_attempt, queue_notice, reject_request, record_request, note>;

} // namespace consort::core
