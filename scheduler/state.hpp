// SPDX-License-Identifier: Apache-2.0
#pragma once
/// The whole state of the core, and the pass in which one event is worked off. Events change rows
/// and mark models dirty; one pass at the end of the step decides. Single-threaded; nothing outside
/// scheduler/ sees it.
///
///   event -> timers due -> on(event) -> settle: queues -> placement -> outlooks -> who gave up

#include "scheduler/asks.hpp"
#include "scheduler/core.hpp"
#include "scheduler/due_heap.hpp"
#include "scheduler/ended_requests.hpp"
#include "scheduler/explain.hpp"
#include "scheduler/flat_map.hpp"
#include "scheduler/prefix_index.hpp"
#include "scheduler/prng.hpp"
#include "scheduler/request_hash.hpp"
#include "scheduler/requests_state.hpp"
#include "scheduler/resources_state.hpp"
#include "scheduler/session_index.hpp"
#include "scheduler/timer_set.hpp"

namespace consort::core {

/// Of a request that starves: nobody starts before it where it might.
struct barrier {
  index selector = none;
  std::uint32_t asks = 0; ///< Only on devices that answer these bits of asks.hpp.
};

/// One walk over the lanes of a model, until each is empty or blocked.
struct queue_walk {
  std::vector<lane_key> closed;
  std::vector<barrier> blocked;
  std::vector<std::uint32_t> passed; ///< Looked past: others of their lane may be served.
  void clear() {
    closed.clear();
    blocked.clear();
    passed.clear();
  }
};

/// What a request's session adds to what the hashes of its prompt tell of caches.
struct session_claim {
  index place = none;       ///< Where its last turn was; none = it adds nothing.
  std::uint32_t tokens = 0; ///< Of the prompt, believed cached there.
  std::uint32_t beyond = 0; ///< Of these, more than the hashes tell.
  std::uint32_t blocks = 0; ///< Whole blocks of the prompt among them.
};

struct core_state {
  explicit core_state(core_config fixed);

  core_config config;
  std::vector<profile> profiles; ///< Built-in ones, then configured ones; fixed.
  index cluster_profile = 0;
  time_us now = 0;
  prng random;

  name_map kind_names; ///< Device models, numbered as they came.
  table<node_state> nodes;
  name_map node_names;
  table<device_state> devices;
  name_map device_names;
  std::vector<index> plans; ///< Devices with stages, ascending.
  table<model_state> models;
  name_map model_names; ///< Served names and aliases.
  table<pair_state> pairs;
  table<instance_row> instances;
  std::map<instance_id, index> instance_ids;
  std::map<allocation_id, allocation_entry> allocations;
  table<artifact_entry> artifacts;
  std::map<artifact_key, index> artifact_keys;
  std::map<compile_id, compile_entry> compiles;
  table<selector_row> selectors;
  name_map selector_texts;
  std::vector<tenant_row> tenants; ///< At most limits::tenants_max.
  name_map tenant_names;
  table<request_row> requests;
  flat_map<request_id, index, request_hash> request_ids;
  ended_requests ended;
  table<gateway_state> gateways; ///< That have live requests.
  std::map<gateway_id, index> gateway_ids;
  std::multimap<instance_id, index> sought; ///< Adopted requests by the instance that runs them.
  std::vector<replica_found> found_early;   ///< Told before all that they stand on was known.
  due_heap dues;
  timer_set timers;
  prefix_index prefixes;
  session_index sessions;
  explain_ring explained;

  time_us taking_over_until = 0; ///< Before, nothing is loaded or built: others are still to tell
                                 ///< what they have.
  time_us returning_until = 0;   ///< Before, no request is called impossible: nodes still dial.
  time_us settling_until = 0;    ///< Before, other nodes may be about to dial for the first time;
                                 ///< 0 = none did yet.
  time_us rests_until = 0;       ///< Afterwards no node rests for its losses.
  hold_map holds_to_come;        ///< Of an earlier life, whose targets were not seen yet.
  std::uint64_t holds_version = 0;
  std::int64_t remote_left_micros = 0; ///< Of the hour's budget for REMOTE.
  time_us remote_refilled_at = 0;
  std::int64_t remote_kept_micros = 0; ///< Told to be kept as spent; decides nothing in this life.
  time_us remote_kept_at = 0;
  bool looking = false;          ///< The timer that looks at the clock is armed.
  std::uint64_t next_number = 0; ///< Of allocations, instances and compiles, shared.
  std::uint64_t next_epoch = 0;  ///< Of leases and fences, shared.
  std::uint64_t next_sequence = 0;
  std::uint32_t refused = asks::embeddings; ///< Bits of asks.hpp that some device so far did not
                                            ///< answer; never fewer, since one may come back.
  std::uint64_t version = 1;                ///< Bumped by whatever is not a request's.
  std::uint64_t static_version = 1;         ///< Bumped when what devices or models are has changed.
  std::uint32_t waiting = 0;                ///< Requests waiting or parked.
  std::uint32_t waiting_max = 0;
  std::uint32_t retry_credit_pm = limits::retry_credit_max_pm;
  std::uint32_t hedge_credit_pm = limits::hedge_credit_max_pm;
  std::size_t hedges = 0; ///< Rows of `requests` that are hedges.
  counters_view counters;
  std::vector<index> dirty_models;
  std::vector<index> settling_models;    ///< Scratch of a pass.
  std::vector<index> newcomers;          ///< Began to wait in this step.
  queue_walk walk;                       ///< Scratch of a pass over one queue.
  std::vector<index> placing, warming;   ///< Scratch of placement: selectors of those who wait, and
                                         ///< of those who asked lately.
  best_places best;                      ///< Scratch of a decision.
  std::uint64_t looked = 0;              ///< Endpoints that searches looked at so far.
  std::vector<candidate_record> weighed; ///< Scratch of what is recorded of one.
  std::vector<prefix_match> matches;     ///< Scratch of a decision.
  std::vector<index> holders;            ///< Scratch of a decision: places that `matches` led to.
  std::vector<std::uint32_t> held_tokens; ///< Of the prompt, by each of them.
  session_claim claimed;                  ///< Scratch of a decision about a request of a session.
};

/// One step: the state, the time, and where commands go.
struct pass {
  core_state& s;
  time_us now;
  std::vector<command>& out;

  template <class Command>
  void send(Command&& what) const {
    out.emplace_back(std::forward<Command>(what));
  }
  /// As send, to be filled in its place: one with many texts is dear to move.
  template <class Command>
  [[nodiscard]] Command& sent() const {
    return *std::get_if<Command>(&out.emplace_back(std::in_place_type<Command>));
  }
  void tell(note::severity level, std::string subject, std::string text) const {
    out.emplace_back(note{level, std::move(subject), std::move(text)});
  }
};

// --- small helpers that every module needs ---

/// Something that is not a request's has changed: every model looks again.
void changed(core_state& s);
/// As changed(), and what devices or models are has changed too.
void changed_statically(core_state& s);
void mark_dirty(core_state& s, index model);
void arm(core_state& s, time_us at, timer_kind kind, std::uint64_t who);

/// The profile of that name; none when there is none.
[[nodiscard]] index profile_named(const core_state& s, const policy_name& name);
/// Of a vendor's device model, as they came.
[[nodiscard]] index kind_number(core_state& s, const device_spec& spec);
/// Power above idle at full load; where the spec sheet is silent, a guess of its kind.
[[nodiscard]] std::uint64_t active_power_mw(const device_spec& spec);

/// The row of (model, device), made on first use with a seeded speed.
index pair_of(core_state& s, index model, index device);
/// What is believed of it before any attempt: what others of its kind showed, else the spec sheet.
void seed_pair(core_state& s, index pair);
/// Whether the device may get new work: lease, link, advertised, not drained, not unhealthy.
[[nodiscard]] bool takes_work(const core_state& s, index device);
/// Between two looks at all devices: nothing on a small cluster. Of a very large one a look takes
/// longer than limits::pace_us, which is lengthened with the devices, so that looks have a bounded
/// share of the time.
[[nodiscard]] duration_us pace_of(const core_state& s);
inline constexpr std::size_t pace_devices = 10'000; ///< For so many limits::pace_us is enough.

} // namespace consort::core
