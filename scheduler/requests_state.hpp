// SPDX-License-Identifier: Apache-2.0
#pragma once
/// State about models and requests. Plain rows, owned by core_state; changed by admission,
/// dispatch, attempts and placement.

#include "scheduler/arrival_rate.hpp"
#include "scheduler/labels.hpp"
#include "scheduler/limits.hpp"
#include "scheduler/policy/filters.hpp"
#include "scheduler/promises.hpp"
#include "scheduler/queue.hpp"
#include "scheduler/selector.hpp"
#include "scheduler/tables.hpp"

#include <algorithm>
#include <array>
#include <limits>

namespace consort::core {

/// How one device could serve one model, by what both are. One per known device, in order of id.
struct option {
  index device = none;
  index variant = 0;
  index artifact = none;                    ///< none = runs the weights themselves.
  std::uint64_t need_bytes = 0;             ///< This device's share, with KV for all its sequences.
  std::uint64_t least_bytes = 0;            ///< With KV for one.
  std::uint32_t memory_share_pm = 0;        ///< That its server takes, as memory_rule.
  filter_id removed_by = filter_id::passed; ///< Static filter.
  /// The artifact of the key that the device names: another than `artifact` only while an older
  /// engine stands in for it.
  index named = none;

  /// What its server takes of a device of that size; 0 = what the model needs.
  [[nodiscard]] std::uint64_t taken_bytes(std::uint64_t memory) const {
    return memory / 1000 * std::min(memory_share_pm, 1000U);
  }
  /// What must be free there to load it. Of its share a server lacks what others than us have: how
  /// it gets along with that is its affair, and no reason to wait for us to leave.
  [[nodiscard]] std::uint64_t room_bytes(std::uint64_t memory, std::uint64_t foreign) const {
    const auto taken = taken_bytes(memory);
    return std::max(least_bytes, taken - std::min(taken, foreign));
  }
};

/// A device that could serve after a load or compile, as one decision sees it.
struct prospect {
  index option = none, pair = none;
  duration_us setup_us = 0; ///< When nothing is under way yet.
  time_us ready_at = 0;     ///< Expected, when under way; else 0.
  bool compiling = false;   ///< What is missing first is an artifact.
  bool free = false;        ///< Nothing else must leave the device first.
  std::uint32_t prefill_ns = 0, decode_ns = 0;
};

/// What everybody who waits in one (model, selector) is told.
struct outlook {
  std::uint64_t version = 0; ///< Of the state that the prospects were made from.
  time_us made_at = 0;
  std::uint64_t options_made = 0; ///< Of the model's options that they refer to.
  std::vector<prospect> prospects;
  std::vector<index> coming; ///< Of these, the ones under way.
  bool possible = true;      ///< Some known device could serve, now or ever.
  const char* state = "queued";
  time_us eta_at = 0;             ///< When somebody who waits may start; 0 = unknown.
  time_us again_at = 0;           ///< When what failed is tried again; 0 = nothing is.
  std::uint64_t told_version = 0; ///< Of the state in which it was last put into words.
  std::string reason;             ///< One line for people.
  time_us asked_at = 0;           ///< Last request with this selector.
  bool crowded = false;           ///< Its latest tickets were for full engines; see crowds.hpp.
  time_us crowded_since = 0;      ///< That one more replica would clearly be sooner; 0 = not so.
  // Since when its lanes are known to be blocked, so that they are not tried in vain.
  std::uint64_t blocked_version = 0, blocked_releases = 0;
  time_us recheck_at = 0;
};

/// Which kind of device requests of one size class prefer under a profile that picks by SLO.
struct preferred_kind {
  std::uint32_t kind = 0;
  time_us since = 0;  ///< Last change.
  time_us met_at = 0; ///< Last time that one of them could meet the SLO.
  bool set = false;
};
inline constexpr std::size_t size_classes = 64 * 3; ///< By tokens and by priority.

struct model_state {
  model_spec spec;
  bool removed = false;
  endpoint_table endpoints;
  std::map<index, index> pairs; ///< Device -> pair.
  std::vector<index> instances; ///< All but gone ones, in order of id.
  request_queue queue;
  std::vector<index> again; ///< Of those who wait: had an attempt already, in order of coming.
  std::int64_t kv_smallest = std::numeric_limits<std::int64_t>::max(); ///< Any engine ever had.
  std::int64_t context_smallest = std::numeric_limits<std::int64_t>::max(); ///< Likewise.
  std::uint32_t running = 0;       ///< Sequences with a ticket.
  std::uint32_t batch_running = 0; ///< Attempts of batch work with a ticket.
  std::vector<option> options;
  std::uint64_t options_version = 0; ///< 0 = to be made anew whatever their age.
  time_us options_at = 0;
  std::uint64_t options_made = 0;    ///< How often.
  std::map<index, outlook> outlooks; ///< By selector.
  std::uint64_t releases = 0;        ///< Bumped when capacity may have grown.
  std::uint32_t rollout_wanted = 0;  ///< Replicas while a former version is being replaced.
  index rollout_engine = none;       ///< That replaces others; none = the model was declared anew.
  std::uint64_t placed_version = 0;
  time_us placed_at = 0;
  time_us waited_at = 0;   ///< Last look at what those who wait need.
  time_us crowds_at = 0;   ///< Last look at its crowds; 0 = never.
  bool crowded = false;    ///< Some outlook says so.
  time_us short_since = 0; ///< Too few replicas, and none on its way; 0 = not.
  bool short_told = false; ///< And said so.
  std::int64_t prompt_tokens = limits::prompt_guess_tokens; ///< Usual.
  std::int64_t output_tokens = limits::output_guess_tokens; ///< Usual length of an answer.
  std::map<tenant_id, std::int64_t> lengths; ///< The same by tenant, at most length_tenants_max.
  std::map<index, speed_pool> pools;         ///< By kind of device.
  arrival_rate arrivals;                     ///< Of its requests.
  time_us asked_at = 0;                      ///< Last request; 0 = never.
  time_us recheck_at = 0;                    ///< Timer armed for.
  index turn = 0;                            ///< Where the next turn of round-robin begins.
  index aged_place = 0;                      ///< Whose cache was seen last, see age_next_cache().
  std::vector<preferred_kind> preferred;     ///< By size class; empty until needed.
  std::array<promise_ledger, 3> promises;    ///< By class.
  bool dirty = false;                        ///< In core_state::dirty_models.
};

/// `adopted`: an attempt goes on where an instance is not known yet, only before a scheduler knows
/// all nodes.
enum class request_phase : std::uint8_t { waiting, parked, ticketed, running, adopted };

/// One gateway process, for as long as it has live requests.
struct gateway_state {
  gateway_id id;
  std::uint32_t requests = 0; ///< Live ones.
  std::uint32_t running = 0;  ///< Of these, with a ticket.
  bool away = false;          ///< Its link dropped: nothing reaches it.
  time_us until = 0;          ///< When it is given up, while away.
  time_us heard_at = 0;
  std::uint64_t round = 0; ///< Counts its absences; requests that it tells of anew catch up.
};

/// What an attempt of a plan holds at one of its stages.
struct stage_hold {
  index instance = none;    ///< none = nothing.
  std::uint32_t listed = 0; ///< Place in its `staged`.
  reservation held;
};

/// One attempt of a request: where it runs, what it holds there, what was heard of it.
struct attempt_row {
  request_phase phase = request_phase::waiting;
  std::uint32_t attempt = 0; ///< Its number.
  time_us granted_at = 0;
  time_us heard_at = 0;          ///< Start or last token.
  time_us missing_at = 0;        ///< First report of its device without it; 0 = not missing.
  duration_us gap_us = 0;        ///< Longest silence believed of it.
  duration_us pace_us = 0;       ///< Usual gap between its tokens; before the first, a share of the
                                 ///< predicted wait for it.
  bool paced = false;            ///< Its own pace is known.
  time_us slow_since = 0;        ///< Far slower than its device's model says; 0 = not.
  std::uint32_t slow_tokens = 0; ///< That it had then.
  time_us quiet_until = 0;       ///< Not judged for its silence before.
  std::uint32_t tokens = 0;
  index instance = none;
  std::uint32_t rank = 0, listed = 0; ///< `listed`: place in instance's attempts.
  index place = none, pair = none;    ///< Of its endpoint; only while it has an instance.
  reservation held;
  std::array<stage_hold, 2> stages; ///< Prefill, until its first token; decode.
  // What was predicted when its ticket was issued, to learn from how it went.
  std::int64_t first_predicted_ns = 0, queue_predicted_ns = 0;
  // And what was seen of it: prompts are read one after the other, so it was turned to when the one
  // before it had its first token.
  std::int64_t queue_seen_ns = -1; ///< Until then; -1 = not seen.
  std::uint32_t saved = 0;         ///< Prompt tokens thought to be cached there.
  std::uint32_t beyond = 0;        ///< Of these, what only the request's session tells of.
  std::int64_t saved_age = 0;      ///< Tokens written there since these were used.
  std::uint32_t batch_begin = 1;   ///< Sequences there, itself included.
  std::int64_t load_begin = 0;     ///< endpoint::load_until then.
  std::int64_t attempts_begin = 0; ///< endpoint::attempts_until then.
  index last_device = none;
  std::int64_t reserved_micros = 0; ///< Of the budget for REMOTE, for tokens to come.
  /// What its tokens cost, as its node told; -1 = not told.
  std::int64_t paid_micros = -1;
};

/// A live request with its attempt: the present one, or what is left of the last. A hedge, the
/// attempt beside another one, has a row of its own, a copy that only its attempt part is used of:
/// no id leads to it, nothing is due of it, and it goes when its request's row does or takes over
/// what it has.
struct request_row : attempt_row {
  request_meta meta;
  index model = none, selector = none, gateway = none, tenant = 0;
  std::uint64_t sequence = 0; ///< Order of submission; never reused.
  std::uint64_t session = 0;  ///< Of its tenant and model, hashed; 0 = none is named.
  index profile = 0;          ///< In core_state::profiles.
  work_size size;
  time_us submitted_at = 0;
  time_us waiting_since = 0; ///< Of the present wait.
  time_us deadline_at = 0;   ///< 0 = none.
  time_us not_before = 0;    ///< While parked; while adopted: given up then.
  duration_us queued_us = 0;
  std::uint64_t round = 0;  ///< Of its gateway, when that last told of it.
  instance_id sought;       ///< While adopted.
  std::uint32_t issued = 0; ///< Number of its latest ticket.
  std::uint32_t apart = 0;  ///< Of its lane: what it asks for that some device did not answer then.
  bool is_hedge = false;    ///< `twin` is whose.
  bool hedged = false;      ///< It had its hedge.
  index twin = none;        ///< Row of the hedge that runs beside its attempt.
  time_us hedge_at = 0;     ///< When a hedge is looked for; 0 = never.
  std::uint32_t rival = 0;  ///< Number of the attempt that last ran beside this one and is given
                            ///< up, which its gateway may have preferred meanwhile; 0 = none.
  index held_for = none;    ///< Device that it waits for by choice, as was last decided.
  promised predicted = promised::nothing; ///< Of its attempt.
  bool stays = false;                     ///< While it is tried on the cluster's own devices only.
  std::uint32_t preempted = 0;            ///< How often it made room for interactive work.
  std::int64_t charged = 0;               ///< Tokens counted to its tenant so far.
  std::uint32_t fruitless = 0;            ///< Ended attempts in a row that brought no token.
  std::uint32_t emitted = 0;              ///< Tokens of earlier attempts that the client saw.
  bool counted = false;                   ///< By its gateway; else it may have seen more.
  std::vector<index> excluded;            ///< Devices.
  time_us excluded_until = 0; ///< Those that failed it, when nobody else took it by then.
  std::vector<index> shunned; ///< Of these, only full; free again when all are, or in time.
  time_us shunned_until = 0;  ///< While any is.
  digest content;             ///< Artifact or weights of the last attempt that failed.
  digest weights;             ///< That it ran; empty = unknown.
  error failure;              ///< Of the last attempt.
  const char* told = nullptr; ///< State in the last notice; compared by content.
  index explained = none;     ///< Slot of the ring; valid while its sequence is ours.
};

/// Who submits; the anonymous tenant has an empty name.
struct tenant_row {
  tenant_id id;
  std::uint32_t weight = 1;
  std::uint32_t live = 0;    ///< Requests.
  std::uint32_t waiting = 0; ///< Of these, waiting or parked.
  std::uint32_t generation = 0;
  time_us used_at = 0;
};

/// A device selector, the labels of the data that goes there, and where its policy bars devices
/// that policy: together they say which devices may serve.
struct selector_row {
  std::string text; ///< For people.
  std::string key;  ///< Of selector_texts.
  selector parsed;
  std::vector<std::string> labels;   ///< In order.
  bool everything = false;           ///< Every device matches.
  std::vector<std::uint8_t> matches; ///< By device index.
  std::uint32_t users = 0;           ///< Live requests.
  index profile = none; ///< Whose filters bar devices as well, see policy_bars.hpp; none = of none.

  [[nodiscard]] bool admits(const device_spec& device) const {
    return parsed.matches(device) && labels_admit(labels, device);
  }
};

} // namespace consort::core
