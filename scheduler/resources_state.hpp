// SPDX-License-Identifier: Apache-2.0
#pragma once
/// State about hardware and what runs on it: nodes, devices, (device, model) pairs, allocations,
/// instances, artifacts, compiles. Plain rows; the functions that change them are in the module of
/// the same job (nodes, devices, allocations, instances, artifacts). Owned by core_state.

#include "scheduler/breaker.hpp"
#include "scheduler/fullness.hpp"
#include "scheduler/tables.hpp"

#include <algorithm>

namespace consort::core {

/// What operators stopped on a node or device; see hold in core.hpp.
struct held_row {
  bool draining = false;
  bool cordoned = false;
  time_us move_at = 0; ///< Draining: what still runs then is moved elsewhere; 0 = never.
  std::string hold_reason;
  [[nodiscard]] bool stopped() const { return draining || cordoned; }
};

struct node_state : held_row {
  node_id id;
  incarnation life; ///< Last one believed.
  std::string data_address;
  std::vector<build_profile> toolchains;
  std::map<std::string, std::string> attributes;
  bool alive = false;
  bool suspect = false; ///< Its link dropped; no new work until it is heard again.
  time_us suspect_at = 0;
  bool leaving = false; ///< Its agent stops: as drained, but nobody lifts it and nothing is kept.
  epoch lease_epoch;    ///< New with each life and each revival; renewals extend it.
  time_us lease_until = 0;
  std::vector<index> devices;
  std::uint32_t compiles = 0;
  std::uint32_t losses = 0; ///< In a row, each within limits::flap_window_us of the one before.
  time_us lost_at = 0;
  time_us trusted_at = 0;    ///< Back after several: no work before.
  time_us back_at = 0;       ///< Since when it waits for that.
  time_us telling_until = 0; ///< Back from an earlier scheduler: by then it told what it holds.

  [[nodiscard]] bool empties() const { return draining || leaving; }
  [[nodiscard]] bool stopped() const { return leaving || held_row::stopped(); }
};

struct device_state : held_row {
  device_spec spec;
  index node = none;
  bool present = false; ///< Advertised by the node's current life.
  /// Its node said that it has it no more (its plugin went, a partition was made anew), or began
  /// anew without it, and did not name it until `withdraw_at`: nobody is told of it before it is
  /// advertised again. A device of a node that is away is only lost.
  bool withdrawn = false;
  time_us withdraw_at = 0; ///< 0 = its node has it, or is away.
  std::string gone_why;    ///< As its node said when it had it no more; empty while it has it.
  bool awaited = false;    ///< An instance that was told of too early to be judged stands on it.
  device_reading reading;
  std::uint64_t promised_bytes = 0; ///< Over all allocations.
  std::uint64_t foreign_bytes = 0;  ///< Of memory that others than us use, as reported.
  std::uint64_t foreign_seen = 0;   ///< In the latest report; believed when two agree.
  std::uint32_t allocations = 0;
  std::uint32_t whole = 0;      ///< Allocations that hold all of it; at most one.
  std::vector<index> instances; ///< That hold a share, leader or not.

  /// Neither promised nor used by others. Requires: the size is known.
  [[nodiscard]] std::uint64_t free_bytes() const {
    const auto left = spec.memory_bytes - std::min(promised_bytes, spec.memory_bytes);
    return left - std::min(foreign_bytes, left);
  }
};

/// What a device refused to load, and how often in a row.
struct load_bar {
  index variant = 0;
  index artifact = none;
  digest content;          ///< Of that artifact.
  bool any_engine = false; ///< It holds for whatever is built of the variant.
  std::uint32_t refusals = 0;
  time_us until = 0; ///< 0 = not often enough yet: the option stands.
  std::string why;
};

/// What is known of one model on one device.
struct pair_state {
  index device = none, model = none;
  index kind = none;            ///< Of the device: its pool in the model's row.
  device_pace pace;             ///< How it differs from its pool.
  speed_estimate speed;         ///< What pool and pace make together.
  power_estimate power;         ///< Of instances that this device leads.
  prediction_error first_error; ///< Of its first tokens.
  breaker fuse;
  std::uint32_t load_failures = 0;   ///< In a row.
  std::uint32_t engine_failures = 0; ///< Of them those that what was loaded may be to blame for.
  std::uint32_t broken_loads = 0;    ///< Of them, in a row, those that time alone does not mend.
  time_us load_retry_at = 0;
  std::string load_error; ///< Of the last failure.
  time_us load_failed_at = 0;
  std::string fault_error;    ///< Of the last fault that the breaker counted.
  fullness room;              ///< Of those of its instances that do not retire, together.
  std::string full_error;     ///< What it said when it was full; empty = only its reports say so.
  std::vector<load_bar> bars; ///< Oldest first.

  /// Whether work may be sent there.
  [[nodiscard]] bool admits() const { return fuse.admits() && !room.full(); }
};

struct allocation_member {
  index node = none;
  incarnation life;
  bool reserved = false;
};
struct allocation_entry {
  allocation grant;
  std::vector<allocation_member> members; ///< One per node, leader's first.
  time_us deadline = 0;                   ///< Of the first phase.
};

/// What is known of an engine's prefix cache: it keeps what it used latest, as much as there is
/// room for beside what runs.
struct cache_clock {
  static constexpr std::int64_t unbounded = std::int64_t{1} << 60U;
  std::uint64_t written = 0; ///< Tokens since it was loaded; the clock of prefix_index's stamps.
  std::int64_t kept = unbounded; ///< What was used since so many were written is there still.
  bool tells = false;            ///< It says how much of a prompt was cached.
  /// Lately, halved every limits::cache_half_life_us: tokens that it wrote, and tokens that were
  /// asked for again when it had forgotten them and nobody else had them.
  std::int64_t wrote = 0, regretted = 0;
  time_us halved_at = 0;

  [[nodiscard]] std::uint64_t since() const {
    return written - std::min(written, static_cast<std::uint64_t>(kept));
  }
  void age(time_us now) {
    const auto halves = (now - halved_at) / limits::cache_half_life_us;
    if (halves <= 0)
      return;
    halved_at += halves * limits::cache_half_life_us;
    const auto shift = std::min<std::int64_t>(halves, 62);
    wrote >>= shift;
    regretted >>= shift;
  }
  void write(std::uint64_t tokens) {
    written += tokens;
    wrote += static_cast<std::int64_t>(tokens);
  }
  /// Tokens that are read once more for each that is written, per mille: what is forgotten for it,
  /// what is forgotten for that, and so on.
  [[nodiscard]] std::uint32_t forgets_pm() const {
    const auto share = std::min(regretted * 1'000 / (wrote + limits::cache_written_min),
                                limits::cache_regret_pm_max);
    return static_cast<std::uint32_t>(share * 1'000 / (1'000 - share));
  }
  /// An attempt ended for which `saved` tokens were thought to be there, used last when `age` fewer
  /// were written, and `cached` were.
  void learn(std::int64_t age, std::uint32_t saved, std::uint32_t cached) {
    if (cached < saved / 2 && age < kept)
      kept -= (kept - age) / (kept == unbounded ? 1 : 4);
    else if (cached > saved + saved / 2 && kept < unbounded)
      kept += kept / 16 + 1;
  }
};

struct instance_row {
  instance_id id;
  index model = none, variant = 0;
  index artifact = none;
  std::vector<index> devices; ///< Leader first.
  allocation_id grant;
  instance_state state = instance_state::reserving;
  digest weights;                      ///< Of the variant.
  digest content;                      ///< Of the artifact, or of the weights when it runs those.
  std::vector<model_adapter> adapters; ///< Of the variant.
  std::uint32_t context_tokens = 0;
  time_us started_at = 0;
  time_us ready_at = 0;        ///< Expected until ready.
  time_us deadline = 0;        ///< Of loading or unloading.
  time_us used_at = 0;         ///< When its last attempt ended.
  std::vector<index> unloaded; ///< Nodes of it that said so while it unloads.
  bool proven = false;         ///< Finished an attempt; should it die, it is loaded again at once.
  bool retiring = false;       ///< No new work; unloads once idle.
  bool superseded = false;     ///< Of a former version of its model; serves until replaced.
  std::string retire_reason;
  runtime_capabilities runtime;
  cache_clock cache;
  std::vector<index> places;   ///< In the model's endpoint table, by rank.
  std::vector<index> attempts; ///< Request slots with a ticket or work here.
  std::vector<index> staged;   ///< Those of plans that have a stage of theirs here.

  [[nodiscard]] bool idle() const { return attempts.empty() && staged.empty(); }
};

struct artifact_copy {
  index node = none;
  artifact_record record;
  std::uint32_t served = 0; ///< Fetches that were ordered from it.
};
/// One copy on its way to a node, or the failures of the last tries.
struct artifact_fetch {
  index from = none;
  bool under_way = false;
  time_us until = 0; ///< Given up then; after a failure: not tried before.
  std::uint32_t failures = 0;
  time_us since = 0; ///< When it was ordered.
};
struct artifact_entry {
  artifact_key key;
  index model = none;                ///< Last wanted for.
  std::vector<artifact_copy> copies; ///< In order of node index.
  compile_id building;
  bool ordered = false;       ///< An operator asked to build ahead.
  bool wait_told = false;     ///< That it waits for a device to be free.
  bool refused = false;       ///< Failed in a way that repeats: never built again.
  std::uint32_t failures = 0; ///< In a row.
  std::uint32_t losses = 0;   ///< Rebuilds after its copies went bad.
  std::uint32_t builds = 0;
  time_us retry_at = 0;
  time_us missed_until = 0;         ///< Its copies went with their node, which may be back by then.
  std::map<index, time_us> avoided; ///< Nodes that could not build it, and until when.
  duration_us build_us = 0;         ///< As seen; 0 = never.
  std::string last_error;
  std::map<index, artifact_fetch> fetching; ///< By node.
};

struct compile_entry {
  index artifact = none, node = none, device = none; ///< Device only when it needs one.
  incarnation life;
  allocation_id grant;
  bool started = false;
  std::uint32_t done_pm = 0;
  time_us started_at = 0, deadline = 0;
  duration_us expected_us = 0;
};

} // namespace consort::core
