// SPDX-License-Identifier: Apache-2.0
#pragma once
/// What the core shows of itself: a snapshot for operators and the explanation of one decision.
/// Values copied out of the core, in a stable order (by id); they stay valid after the core moves
/// on. Wire form in messages/, JSON in gateway/.

#include "scheduler/limits.hpp"
#include "scheduler/selector.hpp"
#include "scheduler/types.hpp"

namespace consort::core {

struct node_view {
  node_id node;
  incarnation life;
  bool alive = false;
  bool suspect = false; ///< Its link dropped, and it was not heard since.
  bool draining = false;
  bool cordoned = false;
  epoch lease_epoch;
  duration_us lease_left_us = 0;
  std::string data_address;
  std::vector<build_profile> toolchains;
  std::map<std::string, std::string> attributes;
  std::uint32_t running = 0; ///< Attempts on its devices.
  /// It is up but was lost several times lately: it takes no work for that long yet.
  duration_us held_off_us = 0;
  friend bool operator==(const node_view&, const node_view&) = default;
};

struct device_view {
  device_spec spec;
  device_reading reading;
  bool alive = false;
  bool draining = false;          ///< Or its node.
  bool cordoned = false;          ///< Likewise.
  std::string breaker = "closed"; ///< `closed`, `open`, `half-open`.
  std::uint32_t running = 0;      ///< Attempts, those of plans that it is a stage of included.
  std::vector<model_name> loaded;
  friend bool operator==(const device_view&, const device_view&) = default;
};

struct replica_view {
  instance_id instance;
  model_name model;
  device_id leader;
  std::vector<device_id> devices;
  std::string state; ///< Word of instance_state.
  std::uint32_t running = 0;
  std::uint32_t sequences_max = 0;
  std::uint64_t kv_tokens_max = 0;
  std::uint64_t kv_tokens_reserved = 0;
  digest artifact;                        ///< Empty when it runs the weights themselves.
  std::uint64_t prefill_tokens_per_s = 0; ///< As learned so far.
  std::uint64_t decode_tokens_per_s = 0;
  std::uint32_t predictions = 0;        ///< First tokens whose prediction was compared.
  std::uint32_t first_error_p50_pm = 0; ///< Of these, off by that much of what was measured.
  std::uint32_t first_error_p90_pm = 0;
  std::uint64_t energy_uj_per_token = 0; ///< Written, above idle power, as learned; 0 = unknown.
  friend bool operator==(const replica_view&, const replica_view&) = default;
};

struct model_view {
  model_spec spec;
  std::uint32_t replicas_ready = 0;
  std::uint32_t replicas_loading = 0;
  std::uint32_t waiting = 0;
  std::uint32_t context_tokens
      = 0; ///< Of one request, the most that a ready replica tells; 0 = none.
  friend bool operator==(const model_view&, const model_view&) = default;
};

/// One artifact key in the whole cluster.
struct artifact_view {
  artifact_key key;
  model_name model; ///< Model it was last wanted for; empty when unknown.
  artifact_state state = artifact_state::absent;
  digest content; ///< When ready: what the key stands for now.
  std::uint64_t size_bytes = 0;
  std::vector<node_id> nodes; ///< That hold it, or the one that builds it.
  std::uint32_t done_pm = 0;  ///< While building.
  std::optional<duration_us> eta_us;
  std::uint32_t builds = 0; ///< Builds started in this scheduler life.
  std::string last_error;   ///< While it is absent: whom its build waits for, if anybody.
  std::map<std::string, std::string> quality;
  digest own;                 ///< The newest of the key; another than `content` after a rollback.
  std::uint32_t replicas = 0; ///< Ready ones that run `own`.
  friend bool operator==(const artifact_view&, const artifact_view&) = default;
};

struct request_view {
  request_id id;
  std::string external_id;
  model_name model;
  std::string state; ///< `queued`, `loading`, `compiling`, `running`.
  device_id device;
  std::uint32_t attempts = 0;
  duration_us age_us = 0;
  // Of one that has not ended:
  tenant_id tenant = {};                            ///< Empty = the anonymous one.
  std::string priority = {};                        ///< Word of its class.
  std::optional<duration_us> deadline_left_us = {}; ///< nullopt = it has no deadline.
  std::uint64_t number = 0; ///< Greater than those of all that came before it.
  friend bool operator==(const request_view&, const request_view&) = default;
};

/// Counters since the core started.
struct counters_view {
  std::uint64_t submitted = 0, finished = 0, failed = 0, cancelled = 0, rejected = 0, expired = 0;
  std::uint64_t attempts = 0, retries = 0, resumes = 0, builds_started = 0, builds_failed = 0,
                loads = 0, decisions = 0, builds_finished = 0, build_us_total = 0;
  std::uint64_t preemptions = 0; ///< Attempts of batch work that made room for interactive work.
  std::uint64_t hedges = 0;      ///< Second attempts beside one that was late.
  std::uint64_t hedges_won = 0;  ///< Of these, those that became their request's only attempt.
  friend bool operator==(const counters_view&, const counters_view&) = default;
};

struct snapshot {
  std::string cluster;
  time_us now = 0;
  std::string policy;
  pool_map pools; ///< By name: their selectors.
  std::vector<node_view> nodes;
  std::vector<device_view> devices;
  std::vector<replica_view> replicas;
  std::vector<model_view> models;
  std::vector<artifact_view> artifacts;
  std::vector<request_view>
      requests; ///< Live ones, oldest first; at most limits::snapshot_requests_max.
  std::uint32_t requests_total = 0; ///< Live ones, whether listed or not.
  std::uint32_t queue_depth = 0;
  std::uint32_t queue_depth_max = 0;
  counters_view counters;
  friend bool operator==(const snapshot&, const snapshot&) = default;
};

/// Lists of a snapshot, in the order in which pages carry them.
enum class view_part : std::uint8_t { nodes, devices, replicas, models, artifacts, requests };

/// Where a page begins: behind this row of this list. Default: at the beginning.
struct view_cursor {
  view_part part = view_part::nodes;
  std::string name;         ///< Of nodes, devices and models; empty = their first.
  std::uint64_t number = 0; ///< Of the others.
  friend bool operator==(const view_cursor&, const view_cursor&) = default;
};

/// Some rows of a snapshot, with its head; `next` is where the following page begins.
struct snapshot_page {
  snapshot rows;
  std::optional<view_cursor> next; ///< Nothing after the last.
};

/// Of the live requests those that all of it says, in order of submission. Empty = any.
struct requests_wish {
  std::uint64_t after = 0;                             ///< Behind that number.
  std::uint32_t limit = limits::snapshot_requests_max; ///< 1 to limits::requests_page_max.
  model_name model;                                    ///< By any of its names.
  tenant_id tenant;
  std::string priority, state; ///< Words of request_view.
  friend bool operator==(const requests_wish&, const requests_wish&) = default;
};

/// Appends a later page to those before it; its head replaces theirs.
void append(snapshot& into, snapshot page);

/// One term of a score, in micro-units of the policy's own measure (microseconds for `latency`).
struct score_term {
  std::string name;
  std::int64_t value = 0;
  friend bool operator==(const score_term&, const score_term&) = default;
};

/// One candidate of one decision: either `removed_by` a filter, with its reason, or scored.
struct candidate_view {
  device_id device;
  instance_id instance;   ///< 0 when nothing is loaded there yet.
  std::string removed_by; ///< Filter's name; empty = passed.
  std::string reason;     ///< The filter's words, what it would take, or `not weighed`.
  std::int64_t score = 0; ///< Lower is better; valid when not removed nor `not weighed`.
  std::vector<score_term> terms;
  friend bool operator==(const candidate_view&, const candidate_view&) = default;
};

/// One decision about one request.
struct decision_view {
  std::uint32_t attempt = 0; ///< The attempt it issued; 0 when it did not.
  time_us at = 0;
  std::string policy;
  std::string outcome; ///< `ticket`, `queued`, `loading`, `compiling`, `rejected`.
  std::string reason;
  device_id winner;
  std::vector<candidate_view> candidates; ///< At most limits::explain_candidates_max, best first.
  std::uint32_t candidates_total = 0;
  friend bool operator==(const decision_view&, const decision_view&) = default;
};

/// The recorded reasons about one request, oldest decision first.
struct explanation {
  request_view request;
  std::vector<decision_view> decisions;    ///< At most limits::explain_decisions_max.
  std::string outcome;                     ///< Word of request_outcome once it ended.
  std::optional<duration_us> starts_in_us; ///< Of one that waits, or was not to run: expected.
  /// Of one that was not to run: the status with which it would be refused at once, and when it
  /// should come back; 0 = it would not be refused.
  std::uint16_t http_status = 0;
  std::optional<duration_us> retry_after_us = {};
  friend bool operator==(const explanation&, const explanation&) = default;
};

/// What a plan is asked for: a request of this model now, or the end of a drain.
struct plan_wish {
  model_name model;
  std::string selector; ///< Empty = `auto`.
  std::string drain;    ///< Node or device; then the others are not looked at.
  friend bool operator==(const plan_wish&, const plan_wish&) = default;
};

} // namespace consort::core
