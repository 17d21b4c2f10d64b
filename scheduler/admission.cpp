// SPDX-License-Identifier: Apache-2.0
// Beginning and end of a request: what is taken, what is turned away and with which words, and the
// one record of how it ended.
#include "scheduler/caches.hpp"
#include "scheduler/handlers.hpp"
#include "scheduler/nearest_name.hpp"
#include "scheduler/policy_bars.hpp"
#include "scheduler/queue_room.hpp"
#include "scheduler/waiting.hpp"

#include <algorithm>
#include <cstring>
#include <limits>

namespace consort::core {

namespace {

constexpr std::uint32_t output_tokens_max = 1'048'576;

struct refusal {
  std::uint16_t http_status = 0; ///< 0 = taken.
  error reason;
};

refusal malformed(const char* what) {
  return {400, {recovery::refuse, "request_malformed", what}};
}

refusal check_form(const request_meta& meta) {
  if (meta.id == request_id{})
    return malformed("the request has no id");
  if (meta.external_id.size() > limits::external_id_bytes_max)
    return malformed("the request id is too long");
  if (meta.prefix_blocks.size() > limits::prefix_blocks_max)
    return malformed("too many prefix blocks");
  if (meta.choices == 0 || meta.choices > limits::choices_max)
    return malformed("n must be between 1 and 16");
  if (meta.labels.size() > limits::labels_max)
    return malformed("more than 8 labels");
  if (!std::all_of(meta.labels.begin(), meta.labels.end(), label_well_formed))
    return malformed("a label has 1 to 64 lower-case letters, digits, '-', '_' or '.', and begins"
                     " with a letter");
  if (meta.wait_us.value_or(0) < 0 || meta.deadline_us.value_or(0) < 0)
    return malformed("waits and deadlines cannot be negative");
  return {};
}

refusal unknown_model(const core_state& s, const model_name& wanted) {
  std::vector<std::string> known;
  for (const auto& [name, at] : s.model_names)
    if (!s.models[at].removed)
      known.push_back(name);
  return {404,
          {recovery::refuse, "model_not_found",
           "no model '" + wanted.value + "'" + did_you_mean(wanted.value, known)}};
}

/// Of the request, else of its tenant, of its model or of the cluster; what nobody knows counts as
/// not said.
index profile_for(const core_state& s, const request_meta& meta, index model) {
  auto at = meta.policy ? profile_named(s, *meta.policy) : none;
  if (const auto of = s.config.tenant_policy.find(meta.tenant);
      at == none && of != s.config.tenant_policy.end())
    at = profile_named(s, of->second);
  if (at == none && !s.models[model].spec.policy.empty())
    at = profile_named(s, s.models[model].spec.policy);
  return at == none ? s.cluster_profile : at;
}

refusal unknown_policy(const core_state& s, const policy_name& wanted) {
  std::vector<std::string> known;
  for (const auto& one : s.profiles)
    known.push_back(one.name.value);
  return {400,
          {recovery::refuse, "policy_not_found",
           "no policy '" + wanted.value + "'" + did_you_mean(wanted.value, known)}};
}

/// A prompt that is certain to exceed the context of whatever serves its model: nothing is loaded
/// or built to find that out. What only an estimate says is for an engine to judge.
refusal check_context(const core_state& s, const request_meta& meta) {
  if (meta.kind != request_kind::completion || (meta.prompt_ids == 0 && meta.prompt_bytes == 0))
    return {};
  const auto model = find(s.model_names, meta.model.value);
  if (model == none)
    return {};
  std::uint32_t context = 0, least = 0;
  for (const auto& variant : s.models[model].spec.variants) {
    const auto of_text
        = variant.token_bytes_max == 0 ? 0 : meta.prompt_bytes / variant.token_bytes_max;
    least = std::max(meta.prompt_ids, of_text);
    if (variant.context_tokens == 0 || least <= variant.context_tokens)
      return {};
    context = std::max(context, variant.context_tokens);
  }
  if (context == 0)
    return {};
  return {400,
          {recovery::refuse, "context_length_exceeded",
           "This model's maximum context length is " + std::to_string(context)
               + " tokens. However, your prompt has at least " + std::to_string(least)
               + " tokens. Please reduce the length of the prompt."}};
}

/// A free row of the selector table, which forgets what nobody uses once it is full.
index selector_room(core_state& s) {
  if (s.selectors.live() < limits::selectors_max)
    return s.selectors.add();
  for (index at = 0; at < s.selectors.end(); ++at) {
    if (!s.selectors.holds(at) || s.selectors[at].users > 0)
      continue;
    s.selector_texts.erase(s.selectors[at].key);
    for (index model = 0; model < s.models.end(); ++model)
      s.models[model].outlooks.erase(at);
    s.selectors.free(at);
    return s.selectors.add();
  }
  return none;
}

/// `barring`: see selector_row::profile.
result<index> selector_of(core_state& s, const request_meta& meta, index barring) {
  // Most have no labels, and no such policy: their selector is their key.
  if (meta.labels.empty() && barring == none)
    if (const auto known = find(s.selector_texts, meta.selector); known != none)
      return known;
  auto key = meta.selector;
  const auto labels = meta.labels.empty() ? meta.labels : ordered_labels(meta.labels);
  for (const auto& label : labels)
    key += '\n' + label;
  if (barring != none) // No label begins so.
    key += "\n\n" + s.profiles[barring].name.value;
  const auto known = find(s.selector_texts, key);
  if (known != none)
    return known;
  auto parsed = selector::parse(meta.selector, s.config.pools);
  if (!parsed)
    return parsed.failure();
  const auto at = selector_room(s);
  if (at == none)
    return error{recovery::retry_later, "selectors_full", "too many different device selectors"};
  auto& row = s.selectors[at];
  row.text = meta.selector + labels_text(labels);
  row.key = key;
  row.parsed = std::move(*parsed);
  row.labels = labels;
  row.profile = barring;
  row.everything = row.parsed.everything() && labels.empty() && barring == none;
  for (index device = 0; device < s.devices.end(); ++device)
    row.matches.push_back(admits_device(s, row, device) ? 1 : 0);
  s.selector_texts.emplace(std::move(key), at);
  return at;
}

void count(counters_view& counters, request_outcome outcome) {
  switch (outcome) {
  case request_outcome::finished: ++counters.finished; return;
  case request_outcome::failed: ++counters.failed; return;
  case request_outcome::cancelled: ++counters.cancelled; return;
  case request_outcome::rejected: ++counters.rejected; return;
  case request_outcome::expired: ++counters.expired; return;
  }
}

/// Turned away at the door: answered and recorded, never a row.
void turn_away(pass& p, const request_meta& meta, std::uint16_t status, error reason,
               std::optional<duration_us> retry_after = {}) {
  ++p.s.counters.submitted;
  count(p.s.counters, request_outcome::rejected);
  record_request record;
  record.request = meta.id;
  record.external_id = meta.external_id.substr(0, limits::external_id_bytes_max);
  record.model = meta.model;
  record.tenant = meta.tenant;
  record.outcome = request_outcome::rejected;
  record.code = reason.code;
  record_refusal(p.s, meta, reason.message);
  reject_request said{meta.id, status, std::move(reason), retry_after, {}, {}};
  p.s.ended.remember(meta.id, std::make_shared<const reject_request>(said));
  p.send(std::move(said));
  p.send(std::move(record));
}

/// Of an answer to the tenant, by what it asked for before.
std::uint32_t usual_length(const model_state& model, const tenant_id& tenant) {
  const auto known = tenant.empty() ? model.lengths.end() : model.lengths.find(tenant);
  return static_cast<std::uint32_t>(known == model.lengths.end() ? model.output_tokens
                                                                 : known->second);
}

/// What the request is to the core, whether it gets a row of the table or not.
void describe(const core_state& s, const request_meta& meta, index model, index selector,
              request_row& r) {
  const auto& row = s.models[model];
  r.meta = meta;
  r.model = model;
  name_cached(row.spec, r);
  r.selector = selector;
  r.profile = profile_for(s, meta, model);
  r.submitted_at = r.waiting_since = s.now;
  r.deadline_at = meta.deadline_us ? std::max<time_us>(s.now + *meta.deadline_us, 1) : 0;
  r.size.prompt_tokens = std::min(meta.prompt_tokens, limits::prompt_tokens_max);
  const auto bound = meta.max_tokens != 0 ? meta.max_tokens : output_tokens_max;
  r.size.output_tokens = std::min({bound, usual_length(row, meta.tenant), output_tokens_max});
  r.apart = asks_apart(s, r);
}

/// What tokens would cost where the model's load went together follows the load.
void note_arrival(core_state& s, model_state& model) {
  model.arrivals.saw(s.now);
  if (!model.endpoints.expect(
          {model.arrivals.per_1000_s(s.now), model.output_tokens, model.prompt_tokens}))
    return;
  model.endpoints.refresh_all(
      [&](index pair) -> const speed_estimate& { return s.pairs[pair].speed; });
}

index open_request(pass& p, const request_meta& meta, index model, index selector) {
  auto& s = p.s;
  const auto slot = s.requests.add();
  const auto gateway = gateway_of(s, meta.id.gateway);
  ++s.gateways[gateway].requests;
  s.requests[slot].gateway = gateway;
  s.requests[slot].round = s.gateways[gateway].round;
  auto& r = s.requests[slot];
  auto& row = s.models[model];
  describe(s, meta, model, selector, r);
  r.tenant = enter_tenant(s, meta.tenant, p.now);
  r.sequence = ++s.next_sequence;
  row.prompt_tokens = std::max<std::int64_t>(
      robust_mean(row.prompt_tokens, std::max(r.size.prompt_tokens, 1U)), 1);
  note_arrival(s, row);
  ++s.selectors[selector].users;
  s.request_ids.emplace(meta.id, slot);
  ++s.counters.submitted;
  s.retry_credit_pm
      = std::min(s.retry_credit_pm + limits::retry_credit_pm, limits::retry_credit_max_pm);
  s.hedge_credit_pm
      = std::min(s.hedge_credit_pm + limits::hedge_credit_pm, limits::hedge_credit_max_pm);
  r.explained = s.explained.open(r.sequence, candidates_kept(row));
  if (auto* entry = s.explained.find(r.explained, r.sequence)) {
    entry->id = meta.id;
    entry->external_id = meta.external_id;
    entry->model = model;
    entry->submitted_at = p.now;
  }
  return slot;
}

/// The first demand after a quiet time makes placement look at the model again.
void note_demand(core_state& s, index model, index selector, time_us now) {
  auto& row = s.models[model];
  auto& seen = row.outlooks[selector];
  const bool fresh = seen.asked_at == 0 || now - seen.asked_at > limits::demand_window_us;
  seen.asked_at = std::max<time_us>(now, 1);
  row.asked_at = seen.asked_at;
  if (!fresh)
    return;
  row.placed_version = 0;
  mark_dirty(s, model);
}

void start_waiting(pass& p, index slot) {
  auto& s = p.s;
  if (!queue_has_room(s, s.requests[slot]))
    return end_request(p, slot, queue_full_ending(s, s.requests[slot]));
  enqueue(s, slot);
  s.waiting_max = std::max(s.waiting_max, s.waiting);
  s.dues.set(slot, next_due(s, s.requests[slot]));
}

std::string_view word(request_outcome outcome) {
  switch (outcome) {
  case request_outcome::finished: return "finished";
  case request_outcome::failed: return "failed";
  case request_outcome::cancelled: return "cancelled";
  case request_outcome::rejected: return "rejected";
  case request_outcome::expired: return "expired";
  }
  return "failed";
}

void close_explanation(core_state& s, const request_row& r, request_outcome outcome, time_us now) {
  auto* entry = s.explained.find(r.explained, r.sequence);
  if (entry == nullptr)
    return;
  entry->outcome = word(outcome).data();
  entry->ended_at = now;
  entry->attempts = r.issued;
  entry->device = r.last_device;
}

void write_record(const core_state& s, request_row& r, const ending& how, time_us now,
                  record_request& record) {
  record.request = r.meta.id;
  record.external_id = std::move(r.meta.external_id);
  record.model = s.models[r.model].spec.name;
  record.tenant = std::move(r.meta.tenant);
  record.outcome = how.outcome;
  if (r.last_device != none)
    record.device = s.devices[r.last_device].spec.id;
  record.attempts = r.issued;
  record.queued_us = r.attempt == 0 ? now - r.submitted_at : r.queued_us;
  record.total_us = now - r.submitted_at;
  record.usage = how.usage;
  record.code = how.reason.code;
}

/// Takes the request out of wherever it stands.
void leave(pass& p, index slot, const ending& how) {
  auto& s = p.s;
  auto& r = s.requests[slot];
  index probed = none;
  if (r.twin != none)
    end_hedge(p, slot, outrun());
  if (r.phase == request_phase::waiting) {
    dequeue(s, slot);
  } else if (r.phase == request_phase::parked) {
    count_waiting(s, r, false);
  } else if (r.phase == request_phase::adopted) {
    forget_sought(s, slot);
  } else if (how.outcome != request_outcome::finished) {
    const auto& one = s.instances[r.instance];
    const auto& device = s.devices[one.devices.front()];
    auto& fuse = s.pairs[r.pair].fuse;
    fuse.ended_undecided();
    if (fuse.state() != breaker_state::closed)
      probed = one.devices.front();
    p.send(revoke_attempt{s.nodes[device.node].id,
                          device.spec.id,
                          one.id,
                          {r.meta.id, r.attempt},
                          how.reason.message});
  }
  let_go(p, slot);
  if (probed != none) // It said nothing: another may be let through.
    refresh_device(s, probed);
}

} // namespace

lane_key lane_of(const core_state& s, const request_row& r) {
  return {r.selector, r.meta.priority, s.profiles[r.profile].late && !impatient(r), r.apart};
}

queue_place place_of(const request_row& r) {
  return {r.deadline_at != 0 ? r.deadline_at : queue_place::no_deadline, r.sequence};
}

void count_waiting(core_state& s, const request_row& r, bool waits) {
  auto& of_tenant = s.tenants[r.tenant].waiting;
  s.waiting = waits ? s.waiting + 1 : s.waiting - 1;
  of_tenant = waits ? of_tenant + 1 : of_tenant - 1;
}

void enqueue(core_state& s, index slot) {
  auto& r = s.requests[slot];
  auto& model = s.models[r.model];
  if (unreachable(s, r)) {
    r.phase = request_phase::parked;
    r.not_before = std::numeric_limits<time_us>::max();
    count_waiting(s, r, true);
    return;
  }
  r.phase = request_phase::waiting;
  r.apart = asks_apart(s, r);
  if (r.issued > 0)
    model.again.push_back(slot);
  model.queue.add(lane_of(s, r), key_of_tenant(s, r), place_of(r),
                  {slot, r.preempted > 0 ? r.waiting_since : r.submitted_at});
  // Ahead of those known to be blocked it may fit where they did not; behind them, too, where fewer
  // endpoints may serve them.
  if (const auto first = model.queue.head(lane_of(s, r), false, {});
      first && (first->who.slot == slot || passed_by(s, s.requests[first->who.slot])))
    ++model.releases;
  count_waiting(s, r, true);
  s.newcomers.push_back(slot);
  mark_dirty(s, r.model);
}

void dequeue(core_state& s, index slot) {
  auto& r = s.requests[slot];
  auto& model = s.models[r.model];
  if (!model.queue.remove(lane_of(s, r), r.tenant, place_of(r)))
    return;
  if (r.issued > 0)
    std::erase(model.again, slot);
  count_waiting(s, r, false);
  ++model.releases;
  mark_dirty(s, r.model);
}

result<request_row> draft_request(core_state& s, const request_meta& meta) {
  if (auto bad = check_form(meta); bad.http_status != 0)
    return std::move(bad.reason);
  if (meta.policy && profile_named(s, *meta.policy) == none) // Before the model, as of a request.
    return unknown_policy(s, *meta.policy).reason;
  const auto model = find(s.model_names, meta.model.value);
  if (model == none || s.models[model].removed)
    return unknown_model(s, meta.model).reason;
  if (auto bad = check_context(s, meta); bad.http_status != 0)
    return std::move(bad.reason);
  const auto selector = selector_of(s, meta, barring_profile(s, profile_for(s, meta, model)));
  if (!selector)
    return selector.failure();
  request_row r;
  describe(s, meta, model, *selector, r);
  r.tenant = find(s.tenant_names, meta.tenant.value);
  return r;
}

index admit(pass& p, const request_meta& meta) {
  auto& s = p.s;
  const auto refuse = [&](std::uint16_t status, error reason) {
    turn_away(p, meta, status, std::move(reason),
              status == 429 ? std::optional(limits::retry_after_min_us) : std::nullopt);
    return none;
  };
  if (auto bad = check_form(meta); bad.http_status != 0)
    return refuse(bad.http_status, std::move(bad.reason));
  const auto model = find(s.model_names, meta.model.value);
  if (model == none || s.models[model].removed) {
    auto bad = unknown_model(s, meta.model);
    return refuse(bad.http_status, std::move(bad.reason));
  }
  const auto selector = selector_of(s, meta, barring_profile(s, profile_for(s, meta, model)));
  if (!selector)
    return refuse(selector.failure().action == recovery::refuse ? 400 : 429, selector.failure());
  if (s.requests.live() >= limits::requests_max)
    return refuse(429, requests_full());
  const auto slot = open_request(p, meta, model, *selector);
  note_demand(s, model, *selector, p.now);
  return slot;
}

void on(pass& p, const request_submitted& e) {
  auto& s = p.s;
  if (s.request_ids.contains(e.meta.id))
    return;
  if (const auto* before = s.ended.find(e.meta.id)) {
    if (before->said)
      p.send(*before->said);
    return; // Its record was made.
  }
  // Only what is new is turned away for it: a stream goes on whatever a later scheduler knows.
  if (e.meta.policy && profile_named(s, *e.meta.policy) == none) {
    auto bad = unknown_policy(s, *e.meta.policy);
    return turn_away(p, e.meta, bad.http_status, std::move(bad.reason));
  }
  if (auto bad = check_context(s, e.meta); bad.http_status != 0)
    return turn_away(p, e.meta, bad.http_status, std::move(bad.reason));
  const auto slot = admit(p, e.meta);
  if (slot == none)
    return;
  // Behind others that wait it takes its turn in the settling pass.
  if (!s.models[s.requests[slot].model].queue.empty() || unreachable(s, s.requests[slot]))
    return start_waiting(p, slot);
  switch (try_grant(p, slot, {})) {
  case verdict::granted: return;
  case verdict::impossible: return end_request(p, slot, impossible_ending(s, s.requests[slot]));
  case verdict::blocked: return start_waiting(p, slot);
  }
}

void on(pass& p, const request_cancelled& e) {
  const auto found = p.s.request_ids.find(e.request);
  if (found == p.s.request_ids.end())
    return;
  ending how;
  how.outcome = request_outcome::cancelled;
  how.reason = {recovery::refuse, "cancelled", e.reason};
  end_request(p, found->second, how);
}

void end_request(pass& p, index slot, const ending& how) {
  auto& s = p.s;
  auto& r = s.requests[slot];
  std::shared_ptr<const reject_request> said;
  if (how.http_status != 0) {
    record_wait(s, slot, "rejected", how.reason.message, p.now);
    said = std::make_shared<const reject_request>(reject_request{
        r.meta.id, how.http_status, how.reason, how.retry_after_us, how.state, how.eta_us});
    p.send(*said);
  }
  s.ended.remember(r.meta.id, std::move(said));
  leave(p, slot, how);
  leave_tenant(s, slot, how);
  count(s.counters, how.outcome);
  close_explanation(s, r, how.outcome, p.now);
  s.request_ids.erase(r.meta.id);
  s.dues.drop(slot);
  --s.selectors[r.selector].users;
  write_record(s, r, how, p.now, p.sent<record_request>());
  const auto gateway = r.gateway;
  s.requests.free(slot);
  leave_gateway(s, gateway);
}

namespace {

/// Once somebody may serve it, what failed is tried again, and who waits beside it has begun. Of
/// who waits alone the pace at which others once began says nothing.
duration_us come_back_in(const core_state& s, const request_row& r, const wait_words& seen,
                         time_us now) {
  const auto& model = s.models[r.model];
  const auto known_at = std::max(seen.eta_at, seen.again_at);
  const auto served_in
      = std::clamp(known_at - now, limits::retry_after_min_us, limits::retry_after_max_us);
  const bool alone = model.queue.size() <= (r.phase == request_phase::waiting ? 1U : 0U);
  if (std::strcmp(seen.state, "queued") != 0 || (alone && known_at > 0))
    return served_in;
  return std::max(drained_in(model, now).value_or(0), served_in);
}

} // namespace

ending unavailable_ending(core_state& s, index slot, time_us now) {
  const auto& r = s.requests[slot];
  update_outlook(s, r.model, r.selector, now);
  const auto seen = why_waits(s, r, now);
  ending how{request_outcome::rejected, 503, {}, {}, seen.state, {}, {}};
  if (seen.eta_at > 0)
    how.eta_us = time_left(seen.eta_at, now);
  how.retry_after_us = come_back_in(s, r, seen, now);
  const bool at_once = r.meta.wait_us && *r.meta.wait_us == 0;
  how.reason = {recovery::retry_later,
                std::strcmp(seen.state, "queued") == 0 ? "queue_timeout"
                                                       : std::string("model_") + seen.state,
                (at_once ? "not available now: " : "waited long enough: ") + seen.reason};
  return how;
}

} // namespace consort::core
