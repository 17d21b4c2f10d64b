// SPDX-License-Identifier: Apache-2.0
// Records decisions as raw numbers; words are made when somebody asks.
#include "scheduler/explain.hpp"

#include "scheduler/contexts.hpp"
#include "scheduler/modules.hpp"
#include "scheduler/policy/filter_kv.hpp"
#include "scheduler/policy_bars.hpp"
#include "scheduler/preemption.hpp"
#include "scheduler/queue_room.hpp"
#include "scheduler/spending.hpp"
#include "scheduler/waiting.hpp"

#include <algorithm>
#include <cstring>
#include <limits>
#include <tuple>

namespace consort::core {

namespace {

/// Microseconds, as many as are kept.
std::uint32_t short_span(std::int64_t ns) {
  return static_cast<std::uint32_t>(
      std::clamp<std::int64_t>(ns / 1000, 0, std::numeric_limits<std::uint32_t>::max()));
}

std::uint16_t small_count(std::uint32_t count) {
  return static_cast<std::uint16_t>(
      std::min<std::uint32_t>(count, std::numeric_limits<std::uint16_t>::max()));
}

/// What is the same of all that one decision weighed.
struct weighed_by {
  weighed_by(const core_state& state, const request_row& row)
      : s(state),
        r(row),
        endpoints(state.models[row.model].endpoints),
        now_ns(state.now * 1000),
        claimed(row.session != 0 ? state.claimed.place : none),
        plans(endpoints.plans()) {}
  const core_state& s;
  const request_row& r;
  const endpoint_table& endpoints;
  std::int64_t now_ns;
  index claimed; ///< Where its session's last turn is cached.
  bool plans;
};

/// Written where it is kept: many are.
void write_scored(const weighed_by& by, const best_places::scored& best, candidate_record& one) {
  const auto& endpoints = by.endpoints;
  const auto& hot = endpoints.pace(best.place);
  one = {};
  one.device = endpoints.room(best.place).device;
  one.instance = endpoints.id_at(best.place);
  one.score = best.score;
  one.saved = best.saved;
  one.again_us = short_span(best.again_ns);
  one.wait_us = short_span(queue_left(hot, by.now_ns) + best.room_ns);
  one.first_ns = hot.first_ns;
  one.prefill_ns = hot.prefill_ns;
  one.itl_ns = hot.itl_ns;
  one.step_ns = hot.step_ns;
  one.read_ns = hot.read_ns;
  one.shared_ns = hot.shared_ns;
  one.batch = small_count(hot.batch);
  one.running = small_count(hot.running);
  one.forgets_pm = small_count(hot.forgets_pm);
  one.exact = by.r.emitted == 0 || resumes_exactly(by.s, by.r, endpoints.at(best.place));
  one.session = best.saved > 0 && by.claimed == best.place;
  if (by.plans && endpoints.at(best.place).plan)
    std::tie(one.amount, one.limit) = endpoints.transfer_ns(best.place);
}

/// As they were; power and price as they are.
endpoint_figures figures_of(const core_state& s, index model, const candidate_record& one) {
  endpoint_figures made;
  (one.instance ? made.queue_ns : made.setup_ns) = std::int64_t{one.wait_us} * 1000;
  made.again_ns = std::int64_t{one.again_us} * 1000;
  made.exact_ns = one.exact ? 0 : inexact_penalty_ns;
  made.first_ns = one.first_ns;
  made.prefill_ns = one.prefill_ns;
  made.itl_ns = one.itl_ns;
  made.step_ns = one.step_ns;
  made.read_ns = one.read_ns;
  made.shared_ns = one.shared_ns;
  made.batch = one.batch;
  made.running = one.running;
  made.forgets_pm = one.forgets_pm;
  add_rates(s, model, one.device, made);
  return made;
}

candidate_facts request_facts(const core_state& s, const request_row& r, const option& by) {
  auto facts = facts_of(s, r.model, by.device, &by);
  facts.selected = s.selectors[r.selector].matches[by.device] != 0
                   || kept_here(s, s.selectors[r.selector], by.device);
  facts.excluded = std::find(r.excluded.begin(), r.excluded.end(), by.device) != r.excluded.end();
  add_asked(s, r, by.device, facts);
  facts.resume_needed = r.emitted > 0;
  facts.resume = s.devices[by.device].spec.capability.runtime.resume;
  facts.stays = facts.remote && (r.stays || remote_barred(s));
  return facts;
}

} // namespace

std::size_t candidates_kept(const model_state& model) {
  if (is_crowd(model))
    return limits::explain_crowd_max;
  return std::min(std::max(model.endpoints.size(), model.options.size()),
                  limits::explain_candidates_max);
}

void add_asked(const core_state& s, const request_row& r, index device, candidate_facts& facts) {
  const auto& runtime = s.devices[device].spec.capability.runtime;
  facts.embeddings_needed = r.meta.kind == request_kind::embedding;
  facts.embeddings = runtime.embeddings;
  facts.unanswered = asks::of(r.meta) & runtime.refuses & ~asks::embeddings;
}

void add_endpoint_facts(const core_state& s, const request_row& r, const endpoint& at,
                        candidate_facts& facts) {
  const auto need = reservation_for(s, r, 0);
  facts.loaded = true;
  facts.full = facts.full || at.shut;
  facts.draining = facts.draining || s.instances[at.instance].retiring;
  facts.sequences_used = at.seq_used + at.foreign();
  facts.sequences_max = at.seq_max + backlog_of(at.seq_max);
  facts.sequences_need = need.sequences;
  facts.kv_need_tokens = at.kv_max == 0 ? 0 : need.kv_tokens;
  facts.kv_all_tokens = at.kv_max;
  facts.kv_least_tokens = static_cast<std::uint64_t>(least_kv(s, r));
  facts.context_least_tokens = static_cast<std::uint64_t>(least_context(s, r));
  if (const auto has = context_of(s, r, at);
      has < static_cast<std::int64_t>(facts.context_least_tokens))
    facts.context_all_tokens = static_cast<std::uint64_t>(has);
  if (const auto most = facts.context_all_tokens == 0 ? 0 : short_prompt_of(s, r, at); most != 0) {
    facts.context_of_prompt = true;
    facts.context_all_tokens = most;
    facts.context_least_tokens = std::uint64_t{r.size.prompt_tokens} + r.emitted;
  }
  facts.kv_free_tokens = at.kv_max - std::min(at.kv_used, at.kv_max);
  facts.resume_needed = r.emitted > 0;
  facts.resume = s.instances[at.instance].runtime.resume;
}

namespace {

/// As much as is kept.
std::uint32_t small_amount(std::uint64_t amount) {
  return static_cast<std::uint32_t>(
      std::min<std::uint64_t>(amount, std::numeric_limits<std::uint32_t>::max()));
}

/// Room and budget are told as they were, not as it is when somebody asks.
void keep_room(const candidate_facts& facts, candidate_record& one) {
  if (one.removed_by == filter_id::sequences) {
    one.amount = facts.sequences_used;
    one.limit = facts.full ? 0 : facts.sequences_max;
  } else if (one.removed_by == filter_id::kv && filters::kv::short_context(facts)) {
    one.of_context = true;
    one.of_prompt = facts.context_of_prompt;
    one.amount = small_amount(facts.context_least_tokens);
    one.limit = small_amount(facts.context_all_tokens);
  } else if (one.removed_by == filter_id::kv) {
    one.limit_is_all = filters::kv::too_small(facts);
    one.amount = small_amount(one.limit_is_all ? facts.kv_least_tokens : facts.kv_need_tokens);
    one.limit = small_amount(one.limit_is_all ? facts.kv_all_tokens : facts.kv_free_tokens);
  } else if (one.removed_by == filter_id::answers) {
    one.amount = facts.unanswered;
  } else if (one.removed_by == filter_id::remote) {
    one.amount = facts.remote_spent ? 1 : 0;
  }
}

void restore_room(const candidate_record& one, candidate_facts& facts) {
  if (one.removed_by == filter_id::sequences) {
    facts.full = one.limit == 0;
    facts.sequences_used = one.amount;
    facts.sequences_max = one.limit;
  } else if (one.removed_by == filter_id::kv && one.of_context) {
    facts.context_of_prompt = one.of_prompt;
    facts.context_least_tokens = one.amount;
    facts.context_all_tokens = one.limit;
  } else if (one.removed_by == filter_id::kv) {
    (one.limit_is_all ? facts.kv_least_tokens : facts.kv_need_tokens) = one.amount;
    (one.limit_is_all ? facts.kv_all_tokens : facts.kv_free_tokens) = one.limit;
  } else if (one.removed_by == filter_id::answers) {
    facts.unanswered = one.amount;
  } else if (one.removed_by == filter_id::remote) {
    facts.remote_spent = one.amount != 0;
  }
}

/// Devices of the model beside those already there: refused, or lacking a load or compile, scored
/// by that profile.
void add_others(const core_state& s, const request_row& r, time_us now, index by_profile,
                std::vector<candidate_record>& into) {
  const auto& model = s.models[r.model];
  const auto seen = model.outlooks.find(r.selector);
  const auto filters = filters_now(s, r);
  for (const auto& by : model.options) {
    if (into.size() >= limits::explain_candidates_max)
      return;
    const bool known = std::any_of(into.begin(), into.end(),
                                   [&](const auto& one) { return one.device == by.device; });
    if (known)
      continue;
    auto facts = request_facts(s, r, by);
    candidate_record one;
    one.device = by.device;
    each_place_on(s, r.model, by.device, [&](index place) {
      add_endpoint_facts(s, r, model.endpoints.at(place), facts);
      one.instance = model.endpoints.id_at(place);
    });
    one.removed_by = first_refusal(facts, filters);
    keep_room(facts, one);
    one.weighed = false;
    if (one.removed_by == filter_id::passed && seen != model.outlooks.end())
      for (const auto& each : seen->second.prospects)
        if (model.options[each.option].device == by.device) {
          const auto figures = figures_of(s, r.model, by.device, each, now);
          one.score = s.profiles[by_profile].weigh(figures).of(r.size);
          one.wait_us = short_span(figures.setup_ns);
          one.prefill_ns = each.prefill_ns;
          one.itl_ns = one.shared_ns = each.decode_ns;
          one.read_ns = each.prefill_ns;
          one.compiling = each.compiling;
          one.weighed = true;
        }
    into.push_back(one);
  }
}

bool better(const candidate_record& a, const candidate_record& b) {
  const auto rank = [](const candidate_record& one) {
    return one.removed_by != filter_id::passed ? 2 : one.weighed ? 0 : 1;
  };
  const auto a_rank = rank(a), b_rank = rank(b);
  return std::tuple(a_rank, a_rank == 0 ? a.score : 0)
         < std::tuple(b_rank, b_rank == 0 ? b.score : 0);
}

/// Equal ones stay in order. By insertion, since it needs no memory and they are few.
void best_first(std::vector<candidate_record>& candidates) {
  for (std::size_t at = 1; at < candidates.size(); ++at) {
    const auto one = candidates[at];
    auto place = at;
    for (; place > 0 && better(one, candidates[place - 1]); --place)
      candidates[place] = candidates[place - 1];
    candidates[place] = one;
  }
}

void begin(const core_state& s, const request_row& r, const char* outcome, time_us now,
           decision_record& record) {
  record.at = now;
  record.outcome = outcome;
  record.profile = r.profile;
  record.scored_by = static_cast<std::uint8_t>(r.profile);
  record.size = r.size;
  record.candidates_total = static_cast<std::uint32_t>(s.models[r.model].options.size());
}

/// What the decision looked at, best first, then who was refused, where they are few.
void weigh_candidates(core_state& s, const request_row& r, time_us now, decision_record& record,
                      std::vector<candidate_record>& into) {
  into.clear();
  record.scored_by = static_cast<std::uint8_t>(s.best.scored_by());
  const weighed_by by(s, r);
  for (std::size_t at = 0; at < s.best.size(); ++at)
    write_scored(by, s.best[at], into.emplace_back());
  const auto& model = s.models[r.model];
  if (is_crowd(model) || s.best.size() >= model.options.size())
    return;
  add_others(s, r, now, s.best.scored_by(), into);
  best_first(into);
}

/// As weigh_candidates, straight to where they are kept if that can be.
void keep_weighed(core_state& s, const request_row& r, time_us now, explained_request& entry,
                  decision_record& record) {
  const auto& model = s.models[r.model];
  if (is_crowd(model) || s.best.size() >= model.options.size())
    if (auto* kept = s.explained.keep_beside(entry, record, s.best.size()); kept != nullptr) {
      record.scored_by = static_cast<std::uint8_t>(s.best.scored_by());
      const weighed_by by(s, r);
      for (std::size_t at = 0; at < s.best.size(); ++at)
        write_scored(by, s.best[at], kept[at]);
      return;
    }
  weigh_candidates(s, r, now, record, s.weighed);
  s.explained.keep(entry, record, s.weighed);
}

/// All that could serve it, each as it is.
void weigh_others(const core_state& s, const request_row& r, time_us now,
                  std::vector<candidate_record>& into) {
  into.clear();
  add_others(s, r, now, r.profile, into);
  best_first(into);
}

} // namespace

void record_grant(pass& p, index slot, index place, bool explored, std::string_view reason) {
  auto& s = p.s;
  const auto& r = s.requests[slot];
  auto* entry = s.explained.find(r.explained, r.sequence);
  if (entry == nullptr)
    return;
  auto& record = s.explained.add(*entry);
  begin(s, r, "ticket", p.now, record);
  record.attempt = r.issued + 1;
  record.reason = s.explained.kept(reason);
  record.winner = s.models[r.model].endpoints.at(place).device;
  record.explored = explored;
  keep_weighed(s, r, p.now, *entry, record);
}

void record_wait(core_state& s, index slot, const char* outcome, std::string_view reason,
                 time_us now, const awaited_device& awaited) {
  const auto& r = s.requests[slot];
  const auto& model = s.models[r.model];
  auto* entry = s.explained.find(r.explained, r.sequence);
  if (entry == nullptr)
    return;
  auto& record = s.explained.add(*entry);
  begin(s, r, outcome, now, record);
  record.awaited = awaited;
  if (awaited.device == none)
    record.reason = s.explained.kept(reason);
  if (is_crowd(model) && s.best.are_of(r.sequence, now)) {
    keep_weighed(s, r, now, *entry, record);
  } else {
    s.weighed.clear();
    if (!is_crowd(model))
      weigh_others(s, r, now, s.weighed);
    s.explained.keep(*entry, record, s.weighed);
  }
  // A ticket will follow, and its decision is to allocate nothing.
  s.explained.prepare(*entry, candidates_kept(model));
}

void record_refusal(core_state& s, const request_meta& meta, std::string_view reason) {
  const auto sequence = ++s.next_sequence;
  auto& entry = *s.explained.find(s.explained.open(sequence, 0), sequence);
  entry.id = meta.id;
  entry.external_id = meta.external_id.substr(0, limits::external_id_bytes_max);
  entry.model = none;
  entry.asked = meta.model.value;
  entry.submitted_at = entry.ended_at = s.now;
  entry.outcome = "rejected";
  auto& record = s.explained.add(entry);
  record.at = s.now;
  record.outcome = "rejected";
  record.profile = s.cluster_profile;
  record.scored_by = static_cast<std::uint8_t>(s.cluster_profile);
  record.reason = s.explained.kept(reason);
  s.explained.keep(entry, record, {});
}

namespace {

/// Who waits by choice is told of one device: how long others would be waited for, which takes a
/// look at many, is not asked for it.
wait_words waits_now(core_state& s, const request_row& r, time_us now) {
  if (r.held_for != none)
    if (auto chosen = chosen_wait(s, r, outlook_of(s, r.model, r.selector, now), now))
      return std::move(*chosen);
  update_outlook(s, r.model, r.selector, now);
  return why_waits(s, r, now);
}

} // namespace

void tell_waiting(pass& p, index slot) {
  auto& s = p.s;
  auto& r = s.requests[slot];
  const auto& model = s.models[r.model];
  const auto seen = model.outlooks.find(r.selector);
  const auto knows
      = [&](const char* state) { return r.told != nullptr && std::strcmp(r.told, state) == 0; };
  if (r.phase != request_phase::waiting || seen == model.outlooks.end()
      || (!particular(s, r) && knows(seen->second.state)))
    return;
  auto words = waits_now(s, r, p.now);
  if (particular(s, r) && knows(words.state))
    return;
  r.told = words.state;
  record_wait(s, slot, r.told, words.reason, p.now, words.awaited);
  queue_notice told{r.meta.id,
                    r.told,
                    model.queue.position(lane_of(s, r), r.tenant, place_of(r)),
                    {},
                    std::move(words.reason)};
  if (words.eta_at > 0)
    told.eta_us = time_left(words.eta_at, p.now);
  p.send(std::move(told));
}

namespace {

/// What each scorer added, in the order of the scorers; what a cached beginning took off is one
/// term of its own, and of a plan's prefill what sending the KV cache is of it.
void add_terms(const profile& how, const endpoint_figures& figures, const work_size& size,
               const candidate_record& one_of, candidate_view& view) {
  const auto saved = one_of.saved;
  const auto transfer
      = figures.staged && one_of.instance
            ? linear_score{one_of.amount, one_of.limit, 0}.of(size) * how.weight(scorer_id::prefill)
            : 0;
  for (const auto& one : all_scorers()) {
    auto value = one.of(figures).of(size) * how.weight(one.id);
    if (one.id == scorer_id::prefix && how.weight(one.id) != 0)
      value = -how.weigh(figures).per_prompt * saved;
    if (one.id == scorer_id::prefill && transfer != 0) {
      view.terms.push_back({one.name, value / 1000 - transfer / 1000});
      view.terms.push_back({"transfer", transfer / 1000});
    } else if (value != 0) {
      view.terms.push_back({one.name, value / 1000});
    }
  }
}

candidate_view render(const core_state& s, index model, const candidate_record& one,
                      const decision_record& record) {
  candidate_view view;
  view.device = s.devices[one.device].spec.id;
  view.instance = one.instance;
  if (one.removed_by != filter_id::passed) {
    view.removed_by = word(one.removed_by);
    const auto& options = s.models[model].options;
    const auto by = std::find_if(options.begin(), options.end(),
                                 [&](const option& each) { return each.device == one.device; });
    auto facts = facts_of(s, model, one.device, by == options.end() ? nullptr : &*by);
    restore_room(one, facts);
    if (by != options.end())
      word_refusal(s, model, *by, one.removed_by, facts);
    view.reason = all_filters()[static_cast<std::size_t>(one.removed_by)].reason(facts);
    return view;
  }
  if (!one.weighed) {
    view.reason = "not weighed in this decision"; // Whoever shows it goes by how it begins.
    return view;
  }
  view.score = one.score / 1000;
  if (!one.instance)
    view.reason = one.compiling ? "needs an artifact compiled, then a load" : "needs a load";
  else
    view.reason = stage_words_of(s, one.device);
  if (one.session)
    view.reason += (view.reason.empty() ? "" : "; ")
                   + std::string("its session's last turn is cached there");
  if (token_rates_of(s, model, one.device).guessed)
    view.reason += (view.reason.empty() ? "" : "; ")
                   + std::string("what its tokens cost is not known: believed as dear as the "
                                 "dearest there");
  add_terms(s.profiles[record.scored_by], figures_of(s, model, one), record.size, one, view);
  return view;
}

decision_view render(const core_state& s, index model, const decision_record& record,
                     const std::vector<candidate_record>& candidates) {
  decision_view view;
  view.attempt = record.attempt;
  view.at = record.at;
  view.policy = s.profiles[record.profile].name.value;
  view.outcome = record.outcome;
  if (record.explored)
    view.reason = "sent to measure a device that is known too little";
  else if (record.reason != nullptr)
    view.reason = *record.reason;
  else if (record.awaited.device != none)
    view.reason = awaited_words(s, record.awaited);
  if (record.scored_by != record.profile)
    view.reason += (view.reason.empty() ? "" : "; ")
                   + std::string("nobody is predicted to meet the SLO: scored by ")
                   + s.profiles[record.scored_by].name.value;
  if (record.winner != none)
    view.winner = s.devices[record.winner].spec.id;
  for (const auto& one : candidates)
    view.candidates.push_back(render(s, model, one, record));
  view.candidates_total = record.candidates_total;
  return view;
}

/// What becomes of who would be refused at once, and with which status, instead of a wait.
dry_verdict refuse_dry(const core_state& s, const request_row& r, dry_verdict decided,
                       explanation& told) {
  // While nodes are still to say what they have, it would wait for them.
  const bool never = !decided.possible && s.now >= s.returning_until;
  if (const auto full = ends_for_room(s, r, decided.device == none && !never)) {
    told.http_status = full->http_status;
    told.retry_after_us = full->retry_after_us;
    decided.device = none;
    decided.outcome = "rejected";
    decided.reason = full->reason.message;
  } else if (decided.device == none && never) {
    told.http_status = 422;
  }
  return decided;
}

} // namespace

result<explanation> explain_dry(core_state& s, const request_meta& meta) {
  auto drafted = draft_request(s, meta);
  if (!drafted)
    return drafted.failure();
  auto& r = *drafted;
  explanation told;
  const auto verdict = refuse_dry(s, r, decide_dry(s, r), told);
  decision_record record;
  begin(s, r, verdict.outcome, s.now, record);
  record.reason = s.explained.kept(verdict.reason);
  record.winner = verdict.device;
  if (verdict.device != none)
    weigh_candidates(s, r, s.now, record, s.weighed);
  else
    weigh_others(s, r, s.now, s.weighed);
  best_first(s.weighed);
  told.request.external_id = meta.external_id;
  told.request.model = s.models[r.model].spec.name;
  told.request.state = "dry-run";
  told.request.tenant = meta.tenant;
  told.request.priority = word(meta.priority);
  told.request.deadline_left_us = meta.deadline_us;
  if (verdict.device != none) {
    told.starts_in_us = 0;
  } else if (told.http_status == 0 && verdict.possible) {
    const auto ahead = static_cast<std::uint32_t>(s.models[r.model].queue.before(lane_of(s, r)));
    if (const auto start = expected_start(s, r, ahead + 1, s.now); start != 0)
      told.starts_in_us = time_left(start, s.now);
  }
  told.decisions.push_back(render(s, r.model, record, s.weighed));
  return told;
}

std::optional<explanation> explain_request(const core_state& s, std::string_view external_id,
                                           time_us now) {
  const auto* entry = s.explained.latest(external_id);
  if (entry == nullptr)
    return std::nullopt;
  explanation told;
  index waits = none;
  const auto live = s.request_ids.find(entry->id);
  if (live != s.request_ids.end() && s.requests[live->second].sequence == entry->sequence) {
    told.request = view_request(s, live->second, now);
    const auto& r = s.requests[live->second];
    if (r.phase == request_phase::waiting) {
      waits = live->second;
      const auto position = s.models[r.model].queue.position(lane_of(s, r), r.tenant, place_of(r));
      if (const auto start = expected_start(s, r, position, now); start != 0)
        told.starts_in_us = time_left(start, now);
    }
  } else {
    told.request
        = {entry->id,
           entry->external_id,
           entry->model == none ? model_name{entry->asked} : s.models[entry->model].spec.name,
           entry->outcome,
           entry->device == none ? device_id{} : s.devices[entry->device].spec.id,
           entry->attempts,
           entry->ended_at - entry->submitted_at};
    told.outcome = entry->outcome;
  }
  for (std::size_t at = 0; at < entry->used; ++at) {
    const auto& record = entry->decision(at);
    std::vector<candidate_record> candidates;
    s.explained.each_candidate(*entry, record,
                               [&](const candidate_record& one) { candidates.push_back(one); });
    // Of a crowd nothing was kept for it.
    if (candidates.empty() && waits != none && at + 1 == entry->used
        && std::strcmp(record.outcome, preempted_word) != 0)
      weigh_others(s, s.requests[waits], now, candidates);
    told.decisions.push_back(render(s, entry->model, record, candidates));
  }
  // What it waits for may be another thing than when it was told so.
  if (waits != none && !told.decisions.empty() && told.decisions.back().winner.empty()
      && told.decisions.back().outcome != preempted_word)
    told.decisions.back().reason = why_waits(s, s.requests[waits], now).reason;
  return told;
}

} // namespace consort::core
