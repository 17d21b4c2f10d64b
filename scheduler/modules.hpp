// SPDX-License-Identifier: Apache-2.0
#pragma once
/// What the modules of the core offer each other, grouped by the file that defines it. Every
/// function works on the pass given and keeps the invariants of check_invariants() between events.

#include "scheduler/dispatch.hpp"
#include "scheduler/holds.hpp"

namespace consort::core {

// --- nodes.cpp: leases and incarnations ---
/// The node is gone: fails over its work, forgets its devices and copies.
void lose_node(pass& p, index node, const std::string& why);
void check_lease(pass& p, index node);
/// Everything led from it is looked at again.
void refresh_node(pass& p, index node);
/// A hint that it may be gone: no new work, and silent attempts fail over.
void suspect_node(pass& p, index node, const std::string& why);
/// Whether it rests after several losses, and has rested long enough to be better than nobody.
[[nodiscard]] bool may_be_called_back(const core_state& s, index node);
/// Ends that rest for a model.
void call_back(pass& p, index node, const std::string& model);
/// The node that leads the instance.
[[nodiscard]] inline index node_of(const core_state& s, const instance_row& one) {
  return s.devices[one.devices.front()].node;
}

// --- pauses.cpp: when this process itself stood still ---
/// Gives everybody the time that we were not there to hear them.
void make_up_for_pause(pass& p);
/// When something is due; nullopt = never.
[[nodiscard]] std::optional<time_us> earliest_due(const core_state& s);
void look_later(pass& p);

// --- gateways.cpp: who submits, and whether it can be reached ---
/// The gateway's row, made on first use.
index gateway_of(core_state& s, gateway_id id);
/// Its last request ended: forgets it.
void leave_gateway(core_state& s, index gateway);
void heard_gateway(core_state& s, gateway_id id, time_us now);
void check_gateway(pass& p, index gateway);
[[nodiscard]] inline bool unreachable(const core_state& s, const request_row& r) {
  return s.gateways[r.gateway].away;
}
/// Whether an event under `life` may be believed: the node is alive in that life.
[[nodiscard]] bool believed(const core_state& s, index node, incarnation life);

// --- devices.cpp ---
/// `expected`: its node stopped because it was told to, which is worth no warning.
void lose_device(pass& p, index device, const std::string& why, bool expected = false);
/// Forgets a device that its node gave up, unless it is back by now; or at once.
void check_withdrawn(pass& p, index device);
void withdraw_device(core_state& s, index device);
/// Another process speaks for the node's devices, which answer for nothing of its predecessor.
void forgive_devices(pass& p, index node);
/// Recomputes what decisions read of everything led from the device.
void refresh_device(core_state& s, index device);
/// A pair's breaker just opened, or is about to close: says so, with the reason.
void breaker_opened(pass& p, index pair, const std::string& why);
void breaker_closed(const pass& p, index pair, const char* why);
/// A breaker's open span is over.
void check_pair(pass& p, index pair);

// --- allocations.cpp: two phases over one or more nodes ---
/// Whether the share is free by our ledger: memory, wholes, partitions and their siblings.
[[nodiscard]] bool fits(const core_state& s, const device_share& share);
/// First phase. Requires: every share fits and its node is alive.
allocation_id reserve(pass& p, std::vector<device_share> shares, instance_id owner,
                      compile_id compile);
/// Gives everything back, once; unknown ids are ignored.
void release(pass& p, allocation_id id);
void check_allocation(pass& p, allocation_id id);
/// Takes over a grant as its nodes hold it. Requires: every share fits, the id is not known.
void adopt_allocation(pass& p, const allocation& grant);

// --- instances.cpp: life of replicas ---
/// Starts loading the model by the option on its device and, for more than one rank, further ones.
/// Returns: whether an instance was started.
bool start_instance(pass& p, index model, const option& by);
/// Second phase of its allocation.
void begin_load(pass& p, index instance);
/// Stops new work; unloads now when idle, else when its last attempt ends.
void retire(pass& p, index instance, std::string reason);
/// Fails its attempts over, gives its devices back and forgets it.
struct instance_failure {
  error failure;
  bool fault = true;     ///< Counts as a failure to load or run there.
  index reporter = none; ///< The node that said so, and need not be told.
  bool expected = false; ///< As for lose_device().
};
void fail_instance(pass& p, index instance, const instance_failure& how);
/// It is ready: one endpoint per data-parallel rank, open to work.
void open_endpoints(core_state& s, index instance, const std::vector<capacity_vector>& endpoints);
void check_instance(pass& p, index instance);
/// Repeats orders to a node that may have been lost with its link.
void repeat_orders(pass& p, index node);
/// Its last attempt ended: unloads it when it is retiring, or its device drained.
void became_idle(pass& p, index instance);
void refresh_instance(core_state& s, index instance);
/// Power above idle of all its devices, as their spec sheets say.
[[nodiscard]] std::uint64_t sheet_power_mw(const core_state& s, const instance_row& one);
/// Devices for one instance led from `leader`; empty when there are not enough now.
[[nodiscard]] std::vector<index> ranks_for(const core_state& s, const model_state& model,
                                           const option& leader);
[[nodiscard]] inline bool active(const instance_row& one) {
  return one.state != instance_state::unloading && !one.retiring;
}

// --- adoption.cpp: instances of an earlier scheduler life ---
/// Looks again at what was told too early to be judged.
void judge_found(pass& p);

// --- stages.cpp: plans, devices that have their work done by two others ---
/// Where it prefills and decodes; none where its members are not known, or it is no plan.
[[nodiscard]] std::array<index, 2> stages_of(const core_state& s, index device);
/// Whether both members take work and have the model; true of what is no plan.
[[nodiscard]] bool stages_ready(const core_state& s, const model_state& model, index device);
/// Why the plan cannot serve the model, in words; empty when it can, or is none.
[[nodiscard]] std::string stage_lack(const core_state& s, index model, index device);
/// Who does what, for people; empty when it is no plan.
[[nodiscard]] std::string stage_words_of(const core_state& s, index device);
/// Somebody else's machine, or one of its members is.
[[nodiscard]] bool is_remote(const core_state& s, index device);
/// What a selector and its labels say of a device; a plan may have what all its members may.
[[nodiscard]] bool asks_for(const core_state& s, const selector_row& row, index device);
/// The same, unless its policy keeps requests from it for good.
[[nodiscard]] bool admits_device(const core_state& s, const selector_row& row, index device);
/// Its spec sheet; of a plan, its members'.
[[nodiscard]] speed_spec sheet_of(const core_state& s, index device);
/// Power and price of an instance of the model there, of both stages where it is a plan.
void add_rates(const core_state& s, index model, index device, endpoint_figures& to);
/// It was advertised: keeps core_state::plans.
void note_plan(core_state& s, index device);
[[nodiscard]] bool is_stage_of(const core_state& s, index device, index plan);
/// Finds where the stages of a plan's instance are worked on now.
void link_stages(core_state& s, index instance);
/// What is made of the instance follows it.
void refresh_plans_with(core_state& s, index instance);
/// Reserves at both stages what the attempt needs there, if it runs at a plan.
void hold_stages(core_state& s, index slot);
/// Its first token is there.
void prefill_is_over(pass& p, index slot);
/// Gives back whatever it holds at stages, once.
void leave_stages(pass& p, index slot);
/// The attempt goes on in another row.
void move_holds(core_state& s, index from, index to);

// --- rollout.cpp: a model that is declared anew, an engine that is newer ---
/// Its variants changed: what runs others is of a former version from now on, and what runs one of
/// them no more.
void supersede(pass& p, index model);
/// What runs another engine than its device names now, once that one is there, is of a former
/// version as well. Requires: the options are fresh.
void supersede_engines(pass& p, index model);
/// Builds the engine of the compiler that a device names now beside the older one that serves
/// there: one build at a time for each target, and never again after one that would repeat its
/// failure. Requires: the options are fresh.
void build_newer_engines(pass& p, index model);
/// The next step of replacing the former version, if there is one.
void roll_out(pass& p, index model);

// --- artifacts.cpp: states, builds, fetches ---
index artifact_of(core_state& s, const artifact_key& key);
[[nodiscard]] artifact_state state_of(const artifact_entry& entry, time_us now);
[[nodiscard]] bool held_by(const artifact_entry& entry, index node);
/// Whether the node has it, and its operator said that it is to stay.
[[nodiscard]] bool holds_held(const artifact_entry& entry, index node);
/// Some alive node has its compiler, or has it, or builds it.
[[nodiscard]] bool obtainable(const core_state& s, const artifact_entry& entry);
/// How long a build is expected to take.
[[nodiscard]] duration_us build_expected(const core_state& s, const artifact_entry& entry);
/// Left of the running build, to plan with.
[[nodiscard]] duration_us build_left(const core_state& s, const compile_entry& build, time_us now);
/// The same to be told: nothing for a build that is late and says nothing of how far it is.
[[nodiscard]] std::optional<duration_us> build_eta(const compile_entry& build, time_us now);
/// Starts a build unless one runs, is not due yet, or nobody can. Returns: whether one runs now.
bool ensure_built(pass& p, index artifact, index model, index near_node);
/// Pulls a copy to the node unless one is under way.
void ensure_fetched(pass& p, index artifact, index node);
/// Where weights come from elsewhere, brings them to the node. Returns: whether they are there.
/// `under_way` says whether they are coming.
bool weights_there(pass& p, const model_variant& source, index model, index node, bool& under_way);
/// What its server would compile at its start; none when it keeps nothing, or never did yet.
[[nodiscard]] index cache_for(const core_state& s, const model_spec& spec, const option& by);
/// Pulls a cache to the node, once. Returns: whether it is worth waiting for.
bool cache_comes(pass& p, index artifact, index model, index node);
void fail_compile(pass& p, compile_id id, const error& failure);
void check_compile(pass& p, compile_id id);
void begin_compile(pass& p, compile_id id);
/// Forgets what the node was told to fetch: its link dropped since.
void forget_fetches_of(pass& p, index node);
/// Forgets the node's copies, fetches and builds.
void forget_artifacts_of(pass& p, index node, const std::string& why);
/// Builds that failed may be tried again where that node has the compiler: it was mended or is new.
void forgive_builds_of(core_state& s, index node);

// --- options.cpp: who could serve what, before any load ---
void refresh_options(core_state& s, index model);
/// What people are told beside the filter's reason: which formats its compilers read, which engine
/// somebody could go back to.
void word_refusal(const core_state& s, index model, const option& by, filter_id refused,
                  candidate_facts& facts);
/// The outlook with prospects of the present version.
outlook& outlook_of(core_state& s, index model, index selector, time_us now);
/// The active instance of the model's present version that uses the device; none when there is
/// none.
[[nodiscard]] index instance_on(const core_state& s, index model, index device);
[[nodiscard]] candidate_facts facts_of(const core_state& s, index model, index device,
                                       const option* by);

// --- dispatch.cpp: who gets a ticket ---
enum class verdict : std::uint8_t { granted, blocked, impossible };
verdict try_grant(pass& p, index slot, const barriers& blocked);
/// What would happen to a request with that row, which is in no table.
struct dry_verdict {
  const char* outcome = "ticket"; ///< Or the state in which it would wait.
  std::string reason;
  index device = none;
  bool possible = true;
};
/// Leaves `r.stays` as it was tried last.
[[nodiscard]] dry_verdict decide_dry(core_state& s, request_row& r);

// --- serve_queue.cpp: who of those who wait is tried next ---
void run_queue(pass& p, index model);

// --- spill.cpp: REMOTE devices ---
/// Configured so, or their budget is used up.
[[nodiscard]] bool remote_barred(const core_state& s);
/// Whether the request is tried on the cluster's own devices first.
[[nodiscard]] bool stays_first(const core_state& s, const request_row& r);

// --- placement.cpp: what is loaded where ---
/// Somebody knew an earlier scheduler: for one lease period nothing is loaded or built that another
/// may be about to tell of. Only the first to say so counts.
void note_takeover(core_state& s, time_us now);
void place(pass& p, index model);
/// The next step towards serving there: build, fetch or load. Returns: whether one is under way.
bool advance_option(pass& p, index model, const option& by);
/// Puts into words what those who wait there wait for.
void update_outlook(core_state& s, index model, index selector, time_us now);

// --- attempts.cpp: from ticket to end ---
/// `saved`: prompt tokens that are thought to be cached there.
void grant(pass& p, index slot, index place, bool exact, std::uint32_t saved);
/// Gives the reservation back, once.
void let_go(pass& p, index slot);
/// Counts a running attempt of an earlier life where it runs. Returns: whether that is known.
bool attach(pass& p, index slot);
/// Requires: the request is adopted.
void forget_sought(core_state& s, index slot);
/// The attempt goes on nowhere that we know: the request waits for another, or ends.
void lose_adopted(pass& p, index slot, const error& failure, bool tell_gateway);
/// The gateway says that this attempt streams, and how far it is.
void confirm_attempt(pass& p, index slot, std::uint32_t tokens);
struct failover {
  error failure;
  std::uint32_t emitted = 0; ///< By the failed attempt.
  bool fault = true;         ///< Counts against the device.
  bool exclude = false;      ///< Not on that device while another may take it.
  bool spare_last = false;   ///< Unless no other could ever serve it.
  duration_us pause_us = 0;  ///< Before it is asked again, where it is spared for that.
  bool costs_credit = false; ///< Draws on the retry budget.
  bool counts = true;        ///< As an attempt that brought nothing.
  bool drop = true;          ///< Tell the gateway that the attempt is void.
  bool revoke = false;       ///< Tell the node too.
  bool full = false;         ///< The device only had no room for it.
  bool died = false;         ///< Its engine is gone, which is counted by itself.
};
/// The attempt is over; another follows or the request ends.
void fail_attempt(pass& p, index slot, const failover& how);
/// Something of the request is due: deadline, timeout, expiry, stall, orphan grace.
void check_request(pass& p, index slot);
/// Fails over or ends everything on the list, in order of submission.
void fail_attempts(pass& p, std::vector<index> slots, const failover& how);
/// Opens an attempt at the endpoint, of the next number.
void open_attempt(pass& p, index slot, index place, std::uint32_t saved);
/// The ticket of its attempt. Requires: that was opened just now.
void write_ticket(const core_state& s, const request_row& r, ticket& made);
/// What the end of an attempt that brought nothing says of its endpoint.
void judge(pass& p, const request_row& r, bool fault, const std::string& why = {});
/// Tells its node that the attempt is over.
void revoke(pass& p, const request_row& r, const std::string& why);
/// Not on its last device while another could take it over. Returns: whether it is spared for that.
bool exclude(const core_state& s, request_row& r, time_us now, bool spare_last);

// --- hedges.cpp: a second attempt beside one that is late ---
/// When a hedge of the attempt that was just granted is looked for; 0 = never.
[[nodiscard]] time_us hedge_due(const core_state& s, const request_row& r);
/// It is late: grants it a hedge where there is room at once, or looks again later.
void check_hedge(pass& p, index slot);
/// Of an attempt whose other was faster: no fault, and its gateway knows.
[[nodiscard]] failover outrun();
/// The hedge is over; the request's own attempt goes on.
void end_hedge(pass& p, index slot, const failover& how);
/// The attempt is over; its hedge takes its place. Requires: it has one.
void give_way(pass& p, index slot, const failover& how);
/// An attempt beside another brought a token, or the end. Returns: its request's row, where it is
/// the only attempt now.
index win(pass& p, index slot);
/// Its gateway went on with an attempt that was given up here at the same moment, and so with none
/// that runs. Returns: whether it is that.
bool prefers_rival(pass& p, const attempt_id& attempt, std::uint32_t tokens);

// --- silence.cpp: how long an attempt may say nothing ---
/// Another endpoint than the last could start it now, so that giving up early gains something.
[[nodiscard]] bool may_move(const core_state& s, const request_row& r);
/// Where the request's attempt runs. Requires: it has one.
[[nodiscard]] inline endpoint& endpoint_of(core_state& s, const request_row& r) {
  return s.models[r.model].endpoints.at(r.place);
}
/// When check_request has something to do next.
[[nodiscard]] time_us next_due(const core_state& s, const request_row& r);
/// It began: silence is believed by the predicted first token.
void expect_first_token(core_state& s, request_row& r);
/// The gateway told of more tokens: the attempt's own pace, and how long reports take to come just
/// now, say what silence is believed next. Requires: tokens > r.tokens.
void learn_pace(core_state& s, request_row& r, std::uint32_t tokens, time_us now);
/// Its tokens come, but for a while already slower by limits::slow_factor than its device's own
/// model, and another could take over.
[[nodiscard]] bool crawls(core_state& s, request_row& r, time_us now);
/// Nobody heard of the attempt for as long as is believed. Where nothing is gained by giving up
/// early, or the silence may be the gateway's, it is given more time.
void judge_silence(pass& p, index slot);
/// A failure that only silence tells of; a fault counts against the device and excludes it.
[[nodiscard]] failover silent(const char* code, const char* message, bool fault);

// --- admission.cpp: beginning and end of a request ---
struct ending {
  request_outcome outcome = request_outcome::failed;
  std::uint16_t http_status = 0; ///< 0 = the gateway already knows.
  error reason;
  std::optional<duration_us> retry_after_us;
  std::string state;
  std::optional<duration_us> eta_us;
  token_usage usage;
};
/// Turns the counts of those who wait.
void count_waiting(core_state& s, const request_row& r, bool waits);
/// Checks a new request and opens its row. Returns: the row; none when it was turned away.
[[nodiscard]] index admit(pass& p, const request_meta& meta);
/// The row that the request would have, without a tenant where that is new, or why it would be
/// turned away at the door.
[[nodiscard]] result<request_row> draft_request(core_state& s, const request_meta& meta);
/// Ends the request: releases, records once, forgets.
void end_request(pass& p, index slot, const ending& how);
/// To its place in the queue; while its gateway cannot be reached, aside.
void enqueue(core_state& s, index slot);
/// Takes a waiting request off its queue, wherever it stands.
void dequeue(core_state& s, index slot);
[[nodiscard]] lane_key lane_of(const core_state& s, const request_row& r);
[[nodiscard]] queue_place place_of(const request_row& r);
/// 503 with state, eta and Retry-After.
[[nodiscard]] ending unavailable_ending(core_state& s, index slot, time_us now);

// --- impossible.cpp: who can never be served ---
/// 422: names each device and the filter that removed it; 502 once it had an attempt.
[[nodiscard]] ending impossible_ending(const core_state& s, const request_row& r);

// --- tenants.cpp: who shares fairly ---
/// The tenant's row, made on first use; the first one is shared by those for whom there is no room.
index enter_tenant(core_state& s, const tenant_id& id, time_us now);
[[nodiscard]] tenant_key key_of_tenant(const core_state& s, const request_row& r);
/// Counts what the request is expected to use, once.
void charge_expected(core_state& s, index slot);
/// It ends: what it was counted too much or too little is made good.
void leave_tenant(core_state& s, index slot, const ending& how);

// --- view.cpp, explain.cpp, digest.cpp, invariants.cpp: looking without touching ---
[[nodiscard]] request_view view_request(const core_state& s, index slot, time_us now);
[[nodiscard]] snapshot_page view_page_of(const core_state& s, const view_cursor& from,
                                         std::size_t bytes_max, time_us now);
[[nodiscard]] snapshot view_all(const core_state& s, time_us now);
[[nodiscard]] snapshot_page requests_page(const core_state& s, const requests_wish& wish,
                                          std::size_t bytes_max, time_us now);
[[nodiscard]] std::string_view word(priority_class priority);
[[nodiscard]] std::optional<explanation> explain_request(const core_state& s,
                                                         std::string_view external_id, time_us now);
/// What would be decided about the request now; it is not run, and nothing that decides about
/// others changes.
[[nodiscard]] result<explanation> explain_dry(core_state& s, const request_meta& meta);
[[nodiscard]] result<explanation> plan_of(const core_state& s, const plan_wish& wish, time_us now);
[[nodiscard]] std::uint64_t digest_of(const core_state& s);
/// Returns: the first violation in words.
[[nodiscard]] std::optional<std::string> violation_of(const core_state& s);

// --- core.cpp ---
/// Works off everything marked dirty.
void settle(pass& p);

} // namespace consort::core
