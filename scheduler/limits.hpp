// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Every bound of the core, with its unit in its name. Each has a test that reaches it.

#include "scheduler/ids.hpp"

#include <cstddef>

namespace consort::core::limits {

inline constexpr duration_us second_us = 1'000'000;

inline constexpr std::uint32_t nodes_max = 10'000;
inline constexpr std::uint32_t devices_max = 100'000;
inline constexpr std::uint32_t models_max = 10'000;
inline constexpr std::size_t adapters_max = 64;    ///< LoRA adapters of one variant of a model.
inline constexpr std::uint32_t queue_max = 10'000; ///< Waiting requests; beyond: 429.
inline constexpr std::uint32_t requests_max = 1'000'000; ///< Live requests, waiting and running.
inline constexpr std::uint32_t attempts_max = 4;         ///< Of a request in a row without a token.
inline constexpr std::uint32_t attempts_total_max = 32;  ///< Of a request.
inline constexpr std::size_t external_id_bytes_max = 128;
inline constexpr std::size_t policy_bytes_max = 64;     ///< Of a profile's name.
inline constexpr std::size_t prefix_blocks_max = 1'024; ///< Per request.
inline constexpr std::size_t labels_max = 8;            ///< Of one request's data.
inline constexpr std::size_t label_bytes_max = 64;
inline constexpr std::uint32_t choices_max = 16;             ///< `n`.
inline constexpr std::size_t explain_requests_max = 100'000; ///< Ring of explained requests.
inline constexpr std::size_t explain_candidates_max
    = 32; ///< Per decision, best first; the rest are counted.
inline constexpr std::size_t explain_crowd_max
    = 4; ///< Kept of one ticket when more than explain_candidates_max passed.
inline constexpr std::size_t explain_decisions_max
    = 16; ///< Per request; the first and the latest are kept.
inline constexpr std::size_t snapshot_requests_max = 256; ///< The oldest; the rest are counted.
inline constexpr std::size_t requests_page_max = 1'000;   ///< Listed in one answer.
inline constexpr duration_us lease_us = 3 * second_us;
inline constexpr duration_us queue_timeout_us = 60 * second_us;
inline constexpr duration_us withdraw_grace_us
    = 2 * second_us; ///< For a device of a plugin that is read anew to be back.
inline constexpr duration_us rejoin_grace_us
    = 20 * second_us; ///< For a device of a node that began anew to be named: its tool is asked
                      ///< twice more when it fails at first. So long, too, what was ordered ahead
                      ///< and went with a node is not built elsewhere.
inline constexpr duration_us drain_wait_max_us = 24 * 3600 * second_us; ///< Before work is moved.
inline constexpr duration_us ticket_us = 10 * second_us; ///< A ticket not opened by then is void.
inline constexpr duration_us load_timeout_us = 600 * second_us; ///< Unless its plugin says longer.
inline constexpr duration_us load_timeout_us_max
    = 3 * 3600 * second_us; ///< Cold starts of some servers compile for two hours.
inline constexpr duration_us reserve_timeout_us
    = 5 * second_us; ///< For a node's answer to reserve_allocation.
inline constexpr duration_us compile_timeout_us
    = 25 * 3'600 * second_us; ///< A node ends its compilers sooner, as their plugins say.
inline constexpr duration_us build_backoff_min_us = 1 * second_us;
inline constexpr duration_us build_backoff_max_us = 300 * second_us;
inline constexpr duration_us corrupt_backoff_us = 300 * second_us; ///< Weights of a wrong digest.
inline constexpr duration_us load_backoff_min_us = 1 * second_us;
inline constexpr duration_us load_backoff_max_us = 60 * second_us;
inline constexpr std::uint32_t load_refusals_max
    = 2; ///< In a row, of one thing, before its device is not asked for it any more ...
inline constexpr duration_us load_bar_us = 600 * second_us; ///< ... for so long.
inline constexpr std::size_t load_bars_max = 6;             ///< Of one model on one device.
inline constexpr std::uint32_t load_tries_max
    = 3; ///< Loads in a row that broke on every device, after which nobody waits for another.
inline constexpr std::size_t load_error_bytes_max = 1'024; ///< Remembered of a refusal.
inline constexpr duration_us orphan_grace_us
    = 2 * second_us; ///< Attempt unknown to its device for this long is lost.
inline constexpr duration_us unload_timeout_us = 30 * second_us; ///< Then counted as unloaded.
inline constexpr duration_us fetch_timeout_us = 600 * second_us; ///< Then fetched again if wanted.
inline constexpr std::uint64_t fetch_bytes_per_s_min = 1024 * 1024; ///< Slower: fetched again.
inline constexpr std::uint32_t fetches_per_copy = 2;    ///< Then others serve, once they have it.
inline constexpr duration_us fetch_turn_us = second_us; ///< Between looks for such another.
inline constexpr duration_us fetch_patience_us = 60 * second_us; ///< For one that fetches.
inline constexpr duration_us fetch_backoff_min_us = 1 * second_us;
inline constexpr duration_us fetch_backoff_max_us = 60 * second_us;
inline constexpr duration_us ticket_grace_us
    = 1 * second_us; ///< For the news of an opened ticket to arrive.

// --- admission and queue ---
inline constexpr std::size_t selector_bytes_max = 256; ///< Longer: 400.
inline constexpr std::size_t selectors_max = 1'024;    ///< Distinct ones remembered.
inline constexpr std::size_t pool_depth_max = 8;       ///< Pools within pools of one selector.
inline constexpr std::size_t pools_max = 256;          ///< Of one cluster.
inline constexpr std::size_t selector_terms_max = 32;  ///< In one selector.
inline constexpr std::size_t message_devices_max = 32; ///< Named in one 422 message.
inline constexpr std::size_t lane_bypass_max = 64;     ///< Blocked heads looked past in one lane.
inline constexpr duration_us starvation_us
    = 10 * second_us; ///< Waited longer: its lane gets a share of the grants, and nobody passes it.
inline constexpr std::uint32_t aged_every = 4; ///< Of a model's grants one goes to such a lane.
inline constexpr std::uint32_t tenants_max = 4'096; ///< Remembered; more share a row.
inline constexpr std::uint32_t queue_reserve_share
    = 16; ///< One of so many places in the queue is kept for tenants that hold few.
inline constexpr std::uint32_t preemptions_max = 3;  ///< Of one request.
inline constexpr std::size_t preempted_told_max = 8; ///< Named of those whom one request stopped.
inline constexpr duration_us preempt_wait_us_min
    = second_us / 4; ///< A shorter predicted wait stops nobody.
inline constexpr duration_us retry_after_min_us = 1 * second_us;
inline constexpr duration_us retry_after_max_us = 600 * second_us;
inline constexpr std::uint32_t endpoint_backlog_pm
    = 100; ///< Beyond an endpoint's sequences, per mille of them; at least one.
inline constexpr std::int64_t read_ahead_steps
    = 2; ///< Worth of prompts that `throughput` lets wait in an engine.
inline constexpr duration_us window_cut_us = second_us; ///< Between two cuts of a found window.
inline constexpr std::int64_t window_slow_factor
    = 4; ///< First token later than so many times its prediction: a found window is cut.
inline constexpr std::uint32_t ramp_share
    = 4; ///< Part of its places that a returning one begins with.
inline constexpr std::uint32_t endpoint_sequences_max = 65'536; ///< Believed of one endpoint.
inline constexpr std::size_t endpoints_per_instance_max = 64;   ///< Data-parallel ranks.

// --- failure ---
inline constexpr duration_us flap_window_us = 300 * second_us; ///< Losses closer than that add up.
inline constexpr duration_us flap_pause_min_us = 1 * second_us;
inline constexpr duration_us flap_pause_max_us = 60 * second_us; ///< Before a flapping node works.
inline constexpr duration_us flap_patience_us
    = 2 * second_us; ///< Of that pause, where a model has no other node left.
inline constexpr std::uint32_t flaps_max = 1'000; ///< Counted.
inline constexpr std::int64_t slow_factor = 10;   ///< Times its own model: the device is failing.
inline constexpr duration_us slow_after_us = 2 * second_us; ///< When it stays that slow so long.
inline constexpr duration_us report_period_us = 250'000; ///< Gateways report progress that often.
inline constexpr duration_us stall_floor_us = 3 * report_period_us; ///< Silence between tokens.
inline constexpr std::int64_t stall_tokens = 30; ///< Times the attempt's own gap between tokens.
inline constexpr std::int64_t stall_reports = 3; ///< Times the endpoint's worst gap lately.
inline constexpr std::int64_t stall_steps = 4;   ///< Times the longest step while prompts are read.
inline constexpr std::int64_t stall_steps_unknown
    = 10; ///< Likewise, where the speed of reading is known too little.
inline constexpr std::uint32_t step_tokens_guess
    = 8'192; ///< Read in one step by an engine that does not say: the usual budget of large ones.
inline constexpr std::int64_t suspect_steps = 2;    ///< Likewise, on a node whose link dropped.
inline constexpr std::int64_t worst_gap_decay = 32; ///< It is forgotten at 1/32 of the time passed.
inline constexpr duration_us stall_alone_us
    = 2 * second_us; ///< Floor when nobody could take over, or the gateway stands still.
inline constexpr std::int64_t stall_alone_tokens = 50;
inline constexpr duration_us silent_pause_us
    = 5 * second_us / 2; ///< Before the only device is asked again that fell silent: a node gives
                         ///< its engine 2 s to answer, then ends it.
inline constexpr duration_us first_token_floor_us = 3 * second_us;
inline constexpr duration_us first_token_unknown_us
    = 10 * second_us; ///< Floor on a device that is known too little.
inline constexpr std::int64_t first_token_factor = 10; ///< Times the predicted first token.
inline constexpr duration_us stall_max_us = 120 * second_us;
inline constexpr duration_us suspect_silence_us
    = 2 * report_period_us;                        ///< Of an attempt on a node whose link dropped.
inline constexpr std::int64_t suspect_tokens = 10; ///< Times its own gap between tokens.
inline constexpr std::int64_t suspect_prefill_pm = 2'500; ///< Times the predicted first token.
inline constexpr duration_us look_us = second_us / 2; ///< Longest wait between looks at the clock.
inline constexpr duration_us starved_us
    = second_us / 5; ///< A deadline handled later than that: this process stood still.
inline constexpr duration_us starved_grace_us
    = second_us / 4; ///< On top, for news that piled up meanwhile.
inline constexpr duration_us gateway_grace_us = 5 * second_us; ///< For a gateway to come back.
inline constexpr duration_us return_grace_us
    = 10 * second_us; ///< For nodes to dial a scheduler that took another's place.
inline constexpr std::size_t found_early_max
    = 4'096; ///< Loaded instances and ranks that wait to be judged; more are not taken over.
inline constexpr duration_us adopt_grace_us
    = 5 * second_us; ///< For a node to tell of an instance whose attempts go on.
inline constexpr std::uint32_t retry_credit_pm = 200; ///< Earned per accepted request.
inline constexpr std::uint32_t retry_cost_pm = 1'000; ///< Of one retry after a device error.
inline constexpr std::uint32_t retry_credit_max_pm = 100'000;
inline constexpr std::uint32_t hedge_credit_pm = 50;  ///< Earned per accepted request: at most 5 %.
inline constexpr std::uint32_t hedge_cost_pm = 1'000; ///< Of one hedge.
inline constexpr std::uint32_t hedge_credit_max_pm = 10'000; ///< Ten at once after a quiet time.
inline constexpr std::int64_t hedge_wait_factor = 2;         ///< Times the predicted first token.
inline constexpr duration_us hedge_wait_min_us = 50'000;     ///< A shorter wait is none.
inline constexpr duration_us retry_later_us = 100'000;       ///< Doubled by each attempt.
/// Who said that it is full is not asked again before that; doubled each time.
inline constexpr duration_us full_pause_min_us = 200'000;
inline constexpr duration_us full_pause_max_us = 10 * second_us;
inline constexpr duration_us full_loads_us
    = 1 * second_us; ///< Full for longer: it is not counted among those who serve.
inline constexpr duration_us full_forgotten_us
    = 60 * second_us; ///< Without a refusal; another begins anew.
/// What a request without text waits for another attempt at least, however little its caller would.
inline constexpr duration_us retry_wait_us_min = 1 * second_us;
/// How long a request leaves a device alone that failed it, when nobody else takes it. Doubled by
/// each attempt.
inline constexpr duration_us exclusion_us = 5 * second_us;
inline constexpr std::uint32_t breaker_failures = 3;      ///< Device faults in a row that open it.
inline constexpr std::size_t breakers_told_max = 4;       ///< Of one device, with their reasons.
inline constexpr std::size_t fault_error_bytes_max = 256; ///< Remembered of the last fault.
inline constexpr duration_us breaker_open_min_us = 1 * second_us;
inline constexpr duration_us breaker_open_max_us = 60 * second_us;

// --- policies ---
inline constexpr duration_us hybrid_hold_us
    = 2 * second_us; ///< Between two changes of the preferred kind of device of a size class.
inline constexpr std::int64_t hybrid_gain_pm = 100; ///< Cheaper by that, to be preferred instead.
inline constexpr std::int64_t slo_kept_pm = 960;    ///< Of promises that could be kept: aimed at.
inline constexpr std::int64_t slo_spare_max = 5;    ///< Promises that may be broken in a row.
inline constexpr std::int64_t slo_debt_max = 20;    ///< Broken ones that are made up for.
inline constexpr std::int64_t slo_late_times = 3;   ///< Late by choice: at most as late as that.
/// Of the promised gap between tokens that may be predicted for who begins: with nothing to make up
/// for, and with as much as there can be.
inline constexpr std::int64_t slo_gap_pm = 800, slo_gap_pm_min = 600;
inline constexpr duration_us rate_window_us
    = 30 * second_us;                               ///< In which arrivals of a model are counted.
inline constexpr std::int64_t rate_change_pm = 250; ///< Of their rate, before scores follow it.
inline constexpr std::uint64_t power_mw_max = 1'000'000'000;     ///< Believed of one instance.
inline constexpr std::uint64_t price_micros_max = 1'000'000'000; ///< Per hour, believed likewise.
inline constexpr std::uint64_t token_price_micros_max
    = 1'000'000'000; ///< Per million tokens, believed likewise: 1,000 of the currency unit.
/// A meter that was read so long ago says nothing of what is drawn now.
inline constexpr duration_us energy_estimate_us_max = 60 * second_us;
inline constexpr std::uint64_t energy_busy_share
    = 8; ///< Active power is learned of intervals in which at least one part of so many was busy.
inline constexpr std::uint32_t power_pm_min = 10; ///< Of the spec sheet's active power, learned.
inline constexpr std::uint32_t power_pm_max = 10'000;

inline constexpr duration_us told_span_us_max
    = duration_us{100} * 365 * 24 * 3'600 * second_us; ///< Of what is to come, as it is told: 100
                                                       ///< years, within what a message takes.

// --- placement and artifacts ---
inline constexpr std::uint64_t money_micros_max
    = std::uint64_t{1} << 40U; ///< An hour's price or budget that is believed.
inline constexpr std::uint64_t foreign_steps
    = 64; ///< A change of others' memory below such a part of the device's changes nothing.
inline constexpr std::size_t plan_steps_max = 64; ///< Of one plan; as many as fit an explanation.
inline constexpr std::uint32_t warmups_max = 4;   ///< Loads in progress per model beyond need.
inline constexpr std::int64_t spread_pm
    = 250; ///< So much slower a node looks for each replica of the model that it has.
inline constexpr duration_us minima_settle_us
    = second_us; ///< From the first node on others may be about to dial, which kept replicas of one
                 ///< model are to be spread over.
inline constexpr std::int64_t warmup_gain_pm = 900; ///< Worth a load: at most this of the best.
inline constexpr std::int64_t wait_gain_pm
    = 800; ///< Worth waiting for: at most this share of starting now.
inline constexpr std::int64_t wait_line_pm = 50; ///< Of an endpoint's places: so many and one wait
                                                 ///< for it by choice where only time counts.
inline constexpr duration_us demand_window_us = 60 * second_us; ///< A model asked for that lately.
inline constexpr std::size_t paced_devices = 512; ///< From here on a look at all of them has a
                                                  ///< pace; below, it follows every change.
inline constexpr duration_us pace_us = 20'000;    ///< Between two such looks.
inline constexpr duration_us recheck_us = 50'000; ///< Between looks at who chose to wait.
inline constexpr std::uint32_t devices_per_instance_max = 64;
inline constexpr std::uint32_t compiles_per_node_max = 2;
inline constexpr duration_us build_guess_us = 60 * second_us; ///< Before any build was seen.
inline constexpr duration_us load_guess_us = 2 * second_us;   ///< When the spec sheet is silent.
inline constexpr std::size_t artifacts_max = 100'000;         ///< Keys remembered.
inline constexpr std::int64_t scale_up_pm
    = 250; ///< Waiting, of the sequences that serve them, before another replica loads.
inline constexpr std::uint32_t newer_builds_max
    = 3; ///< Tries, in a row, of an engine that nobody asked for beside the older that serves.
inline constexpr std::uint32_t older_loads_max
    = 2; ///< Failed loads in a row, after which no older engine stands in for what is to be built.
inline constexpr std::uint32_t lost_rebuilds_max = 1; ///< Of one key after its copies went bad.

// --- learning ---
inline constexpr duration_us same_step_us = 2'000;  ///< First tokens so close came of one step.
inline constexpr std::uint32_t explore_samples = 8; ///< Fewer: under-measured.
/// Of a plan's transfer, each time, beside what the KV cache's bytes take; longer counts as so
/// long.
inline constexpr duration_us transfer_us_max = 4 * second_us;
inline constexpr std::uint32_t samples_max = 8'000; ///< Counted so far.
inline constexpr std::size_t length_tenants_max
    = 1'024; ///< Per model, whose usual length of an answer is kept apart.
inline constexpr std::uint32_t prompt_tokens_max = 16'777'216; ///< Believed of a gateway.
inline constexpr std::uint32_t prompt_guess_tokens = 256;
inline constexpr std::uint32_t output_guess_tokens = 128;
inline constexpr std::size_t prefix_entries_max = 65'536; ///< Blocks remembered.
inline constexpr std::size_t sessions_max = 65'536;       ///< Conversations remembered: 6 MB.
inline constexpr duration_us cache_half_life_us
    = 30 * second_us; ///< Of what a cache wrote, and forgot too early.
inline constexpr std::int64_t cache_written_min = 16'384; ///< Tokens; fewer tell little of a cache.
inline constexpr std::int64_t cache_regret_pm_max = 800;  ///< Of what is written, believed.
inline constexpr std::size_t prefix_holders_max = 8;      ///< Instances per block, newest first.

} // namespace consort::core::limits
