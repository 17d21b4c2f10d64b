// SPDX-License-Identifier: Apache-2.0
// Who gets a ticket: the pick among the ready endpoints of a model, against devices that could
// serve after a load or compile. Late binding: what cannot start now stays in the queue.
#include "scheduler/dispatch.hpp"

#include "scheduler/contexts.hpp"
#include "scheduler/crowds.hpp"
#include "scheduler/modules.hpp"
#include "scheduler/picks.hpp"
#include "scheduler/preemption.hpp"
#include "scheduler/replica_bounds.hpp"
#include "scheduler/spending.hpp"
#include "scheduler/waiting.hpp"

#include <algorithm>
#include <limits>

namespace consort::core {

namespace {

/// Endpoints drawn to find one that is known too little; fewer are all looked at.
constexpr index explore_draws = 16;

pick best_prospect(const core_state& s, const question& asked, const outlook& seen) {
  pick best;
  for (const auto at : seen.coming) {
    const auto& one = seen.prospects[at];
    const auto& by = s.models[asked.r.model].options[one.option];
    if (may_take_over(s, asked.r, by))
      best.offer(at,
                 asked.how.weigh(figures_of(s, asked.r.model, by.device, one, asked.now))
                     .of(asked.need.size),
                 0);
  }
  return best;
}

/// Few attempts tell little about a device: now and then one more is sent there.
index explore(core_state& s, const model_state& model, const question& asked) {
  const auto& r = asked.r;
  if (!asked.how.waits || s.random.below(1000) >= s.config.explore_pm || r.attempt > 0
      || r.meta.deadline_us)
    return none;
  const auto count = static_cast<index>(model.endpoints.size());
  index chosen = none;
  std::uint32_t fewest = limits::explore_samples;
  for (index draw = 0; draw < std::min(count, explore_draws); ++draw) {
    const auto at = count <= explore_draws ? draw : static_cast<index>(s.random.below(count));
    const auto& one = model.endpoints.room(at);
    if (one.samples < fewest && may_begin(s, model, asked, at)) {
      fewest = one.samples;
      chosen = at;
    }
  }
  return chosen;
}

/// Predicted, of the request itself: without what it costs others or anybody in money or energy.
std::int64_t own_end_ns(const question& asked, const pick& at, const endpoint_figures& pace) {
  auto size = asked.need.size;
  size.prompt_tokens -= std::min(at.saved, size.prompt_tokens);
  return finish_of(pace).of(size) + queue_left(pace, asked.now * 1000) - pace.queue_ns;
}

/// Who waits for an endpoint before one that comes now.
struct line_ahead {
  std::int64_t ahead = 0; ///< How many.
  std::int64_t slots = 1; ///< That serve them.
  std::int64_t wait_ns = 0;
};

/// Of the time, per mille, for which requests as often as they come lately keep an endpoint busy
/// that gets through one in `each_ns`.
std::int64_t busy_pm(const model_state& model, time_us now, std::int64_t each_ns) {
  constexpr std::int64_t most = 1'000'000'000;
  const auto each_us = std::min(each_ns / 1000, most);
  const auto load = std::min(model.arrivals.per_1000_s(now), most) * each_us / 1'000'000;
  return std::min<std::int64_t>(load, 1000);
}

/// Whoever waits for a better endpoint keeps it from all who come while there is a line for it.
/// Where only time counts, that is a part of the wait: in a line that does not end before others
/// join it, all come as late as if they had begun elsewhere, and the places where they did not
/// begin are wasted. A few who take its next free places keep nobody from it. What others would
/// lose is no reason to wait for longer than beginning takes.
bool line_pays(const line_ahead& line, std::int64_t gain_ns, std::int64_t idle_pm) {
  if (line.ahead * 1000 <= line.slots * limits::wait_line_pm)
    return line.wait_ns < gain_ns;
  return line.wait_ns < gain_ns / 1000 * idle_pm;
}

/// Waiting is chosen only over a start that is clearly worse, and never longer than that start is
/// predicted to take: at worst the request ends after twice that time.
bool better_to_wait(const core_state& s, const model_state& model, const question& asked,
                    const choice& found, const pick& later) {
  const auto& r = asked.r;
  if (!asked.how.waits || (impatient(r) && r.attempt == 0))
    return false;
  const auto now_ns = asked.now * 1000;
  const auto& begins = model.endpoints.pace(found.start.place);
  const auto finish_ns
      = finish_of(begins).of(asked.need.size) + queue_left(begins, now_ns) - begins.queue_ns;
  if (asked.now - r.waiting_since > finish_ns / 1000)
    return false;
  const auto bar = found.start.score / 1000 * limits::wait_gain_pm;
  if (later.score < bar)
    return true;
  if (found.full.place == none || found.full.score >= bar)
    return false;
  // Whoever waits already is served before it.
  const auto& pace = model.endpoints.pace(found.full.place);
  const auto& room = model.endpoints.room(found.full.place);
  const bool has_place = startable(room, asked.need); // It only has enough to read.
  const auto blocked_ns = has_place ? 0 : room_in(pace);
  const auto slots = std::max<std::int64_t>(room.slots, 1);
  const auto each = finish_of(pace).of(asked.need.size) / slots;
  const auto ahead = static_cast<std::int64_t>(model.queue.before(lane_of(s, r)));
  const auto wait_ns = std::min(each, term_ns_max / (ahead + 1)) * ahead;
  const auto delay = std::max<std::int64_t>(asked.how.weight(scorer_id::queue), 1);
  return found.full.score + std::min(wait_ns, term_ns_max / delay) * delay < bar
         && queue_left(pace, now_ns) + blocked_ns + wait_ns < finish_ns
         && (!asked.how.weighs_time_alone()
             || line_pays({ahead, slots, blocked_ns + wait_ns},
                          own_end_ns(asked, found.start, begins)
                              - own_end_ns(asked, found.full, pace),
                          has_place ? 1000 : 1000 - busy_pm(model, asked.now, each)));
}

/// The device that it is better to wait for than to begin where it could now; none = it begins.
index awaited(const core_state& s, const model_state& model, const question& asked,
              const choice& found, const outlook& seen) {
  const auto later = best_prospect(s, asked, seen);
  if (!better_to_wait(s, model, asked, found, later))
    return none;
  if (later.score < found.start.score / 1000 * limits::wait_gain_pm)
    return model.options[seen.prospects[later.place].option].device;
  return model.endpoints.at(found.full.place).device;
}

/// Nothing is called impossible while nodes are still to say what they have.
verdict no_start(core_state& s, const request_row& r, bool possible, time_us now) {
  if (!possible && now >= s.returning_until)
    return verdict::impossible;
  if (!possible)
    recheck_later(s, r.model, now);
  return verdict::blocked;
}

/// Interactive work that could only queue, here or in an engine, while batch work runs.
bool would_queue(const model_state& model, const request_row& r, index start) {
  if (r.meta.priority != priority_class::interactive || model.batch_running == 0)
    return false;
  if (start == none)
    return true;
  const auto& at = model.endpoints.at(start);
  return at.seq_used + at.foreign() >= at.seq_max;
}

} // namespace

bool may_serve(const core_state& s, const request_row& r, index device) {
  return !(r.stays && is_remote(s, device)) && may_serve_away(s, r, device);
}

bool may_serve_away(const core_state& s, const request_row& r, index device) {
  return s.selectors[r.selector].matches[device] != 0
         && std::find(r.excluded.begin(), r.excluded.end(), device) == r.excluded.end()
         && (asks::of(r.meta) & asks::refused_by(s.devices[device].spec.capability.runtime)) == 0;
}

namespace {

/// What its present attempt runs, else what the last one ran; empty = unknown.
const digest& weights_of(const core_state& s, const request_row& r) {
  return r.instance == none ? r.weights : s.instances[r.instance].weights;
}

const model_variant* variant_with(const model_spec& spec, const digest& weights) {
  for (const auto& one : spec.variants)
    if (one.content == weights)
      return &one;
  return nullptr;
}

/// Whether text of one may be continued by the other.
bool same_voice(const core_state& s, const request_row& r, const digest& weights) {
  const auto& begun = weights_of(s, r);
  if (begun.empty() || weights.empty() || begun == weights)
    return true;
  const auto& spec = s.models[r.model].spec;
  const auto* before = variant_with(spec, begun);
  const auto* after = variant_with(spec, weights);
  return before != nullptr && after != nullptr && !before->tokenizer.empty()
         && before->tokenizer == after->tokenizer && before->chat_template == after->chat_template
         && before->quantization == after->quantization;
}

} // namespace

bool may_resume(const core_state& s, const request_row& r, const endpoint& at) {
  const auto& one = s.instances[at.instance];
  return one.runtime.resume != resume_support::none && same_voice(s, r, one.weights);
}

bool may_take_over(const core_state& s, const request_row& r, const option& by) {
  if (!may_serve(s, r, by.device))
    return false;
  if (r.emitted == 0)
    return true;
  const auto& variants = s.models[r.model].spec.variants;
  return s.devices[by.device].spec.capability.runtime.resume != resume_support::none
         && by.variant < variants.size() && same_voice(s, r, variants[by.variant].content);
}

bool resumes_exactly(const core_state& s, const request_row& r, const endpoint& at) {
  const auto& one = s.instances[at.instance];
  // An engine of an architecture runs other weights too.
  return one.content == r.content && one.weights == weights_of(s, r) && r.last_device != none
         && s.devices[at.device].spec.model == s.devices[r.last_device].spec.model;
}

bool possible_for(const core_state& s, const request_row& r) {
  const bool streamed = r.emitted > 0;
  if (r.excluded.empty() && !streamed && !r.stays && asks_apart(s, r) == 0)
    return true;
  const auto& model = s.models[r.model];
  if (model.options.empty()
      || std::any_of(model.options.begin(), model.options.end(), [&](const option& one) {
           return one.removed_by == filter_id::passed && may_take_over(s, r, one);
         }))
    return true;
  // What runs a former version may still be there.
  for (index place = 0; place < model.endpoints.size(); ++place)
    if (model.endpoints.at(place).instance != none
        && may_serve(s, r, model.endpoints.at(place).device)
        && (!streamed || may_resume(s, r, model.endpoints.at(place))))
      return true;
  return false;
}

std::int64_t least_kv(const core_state& s, const request_row& r) {
  std::uint32_t context = 0;
  for (const auto& variant : s.models[r.model].spec.variants) {
    if (variant.context_tokens == 0)
      return std::int64_t{r.size.prompt_tokens} + 1;
    context = std::max(context, variant.context_tokens);
  }
  const auto prompt = std::int64_t{r.size.prompt_tokens} + 1;
  return context == 0 ? prompt : std::min<std::int64_t>(prompt, context);
}

bool stranded(const core_state& s, const request_row& r) {
  const auto& model = s.models[r.model];
  const auto least = least_kv(s, r), context = least_context(s, r);
  if (least <= model.kv_smallest && context <= model.context_smallest)
    return false;
  for (index place = 0; place < model.endpoints.size(); ++place)
    if (const auto& at = model.endpoints.at(place);
        at.instance != none && may_serve(s, r, at.device)
        && model.endpoints.room(place).kv_all >= least && context_of(s, r, at) >= context)
      return false;
  return true;
}

bool fits_somewhere(const core_state& s, const request_row& r) {
  const auto& model = s.models[r.model];
  const auto least = least_kv(s, r);
  if (least <= model.kv_smallest)
    return true;
  return std::any_of(model.options.begin(), model.options.end(), [&](const option& by) {
    return by.removed_by == filter_id::passed && may_serve(s, r, by.device)
           && largest_kv(s, r.model, by.device) >= least;
  });
}

namespace {

/// Whether it has as many replicas as it may, of which none ever goes.
bool keeps_all_replicas(const core_state& s, const model_state& model) {
  return model.spec.replicas_max != 0 && model.spec.replicas_min >= model.spec.replicas_max
         && count_of(s, model).serving >= model.spec.replicas_max;
}

} // namespace

std::int64_t largest_kv(const core_state& s, index model, index device) {
  std::int64_t largest = -1;
  for (const auto at : s.devices[device].instances) {
    const auto& one = s.instances[at];
    if (one.model != model || !active(one) || one.devices.front() != device)
      continue;             // Led from elsewhere it may have more.
    if (one.places.empty()) // Under way: its engine is still to say.
      return std::numeric_limits<std::int64_t>::max();
    for (const auto place : one.places)
      largest = std::max(largest, s.models[model].endpoints.room(place).kv_all);
  }
  return largest < 0 && !keeps_all_replicas(s, s.models[model])
             ? std::numeric_limits<std::int64_t>::max()
             : largest;
}

reservation reservation_for(const core_state& s, const request_row& r, std::uint32_t itl_ns) {
  const auto& variants = s.models[r.model].spec.variants;
  const std::uint64_t context = variants.empty() ? 0 : variants.front().context_tokens;
  const std::uint64_t bound
      = r.meta.max_tokens != 0 ? r.meta.max_tokens : std::uint64_t{2} * r.size.output_tokens;
  std::uint64_t tokens = std::uint64_t{r.size.prompt_tokens} + bound;
  if (context != 0)
    tokens = std::min(r.meta.max_tokens != 0 ? tokens : context, context);
  reservation held;
  held.sequences = r.meta.choices;
  held.kv_tokens = std::min<std::uint64_t>(tokens, kv_tokens_max) * r.meta.choices;
  held.work_ns = std::int64_t{r.size.output_tokens} * itl_ns * r.meta.choices;
  return held;
}

duration_us setup_left(const prospect& one, time_us now) {
  if (one.ready_at == 0)
    return one.setup_us;
  // What is late already is expected to stay late.
  return std::max<duration_us>(one.ready_at - now, (now - one.ready_at) / 2 + 1'000);
}

std::int64_t finish_of(const prospect& one, const work_size& size, time_us now) {
  return linear_score{std::min(setup_left(one, now), term_us_max) * 1000, one.prefill_ns,
                      one.decode_ns}
      .of(size);
}

endpoint_figures figures_of(const core_state& s, index model, index device, const prospect& one,
                            time_us now) {
  endpoint_figures made;
  made.setup_ns = std::min(setup_left(one, now), term_us_max) * 1000;
  made.prefill_ns = one.prefill_ns;
  made.itl_ns = made.shared_ns = one.decode_ns;
  made.read_ns = one.prefill_ns;
  add_rates(s, model, device, made);
  return made;
}

void recheck_later(core_state& s, index model, time_us now) {
  auto& row = s.models[model];
  if (row.recheck_at > now)
    return;
  row.recheck_at = now + limits::recheck_us;
  arm(s, row.recheck_at, timer_kind::model, model);
}

namespace {

/// `saved`: tokens of its prompt that are thought to be cached there.
void issue(pass& p, index slot, index place, bool explored, std::uint32_t saved,
           std::string_view reason = {}) {
  const auto& r = p.s.requests[slot];
  const auto& at = p.s.models[r.model].endpoints.at(place);
  fetch_soon(p.s.pairs[at.pair]);
  fetch_soon(p.s.instances[at.instance]);
  fetch_soon(p.s.devices[at.device].spec.id); // Of a row that is mostly of no interest.
  fetch_soon(p.s.devices[at.device].node);
  charge_remote(p.s, slot, place, finish_of(p.s.models[r.model].endpoints.pace(place)).of(r.size));
  record_grant(p, slot, place, explored, reason);
  grant(p, slot, place,
        r.emitted == 0 || resumes_exactly(p.s, r, p.s.models[r.model].endpoints.at(place)), saved);
  note_crowd(p.s, r);
}

std::string_view words_of(promised predicted) {
  return predicted == promised::late ? "late by choice: more promises were kept than are aimed at, "
                                       "and who is in time costs more"
                                     : "";
}

verdict try_once(pass& p, index slot, const barriers& blocked) {
  auto& s = p.s;
  auto& r = s.requests[slot];
  auto& model = s.models[r.model];
  r.held_for = none;
  r.predicted = promised::nothing;
  if (asks_context(model, r)) // The question looks at who could be loaded.
    refresh_options(s, r.model);
  const auto asked = question_of(s, r, blocked);
  const auto found = choose(s, model, asked);
  ++s.counters.decisions;
  const auto& seen = outlook_of(s, r.model, r.selector, p.now);
  if (would_queue(model, r, found.start.place))
    if (const auto freed = make_place(p, slot); freed.place != none) {
      weigh_chosen(s, model, asked, freed.place); // It has room now, and so another score.
      issue(p, slot, freed.place, false, 0, freed.words);
      return verdict::granted;
    }
  if (found.start.place == none)
    return no_start(s, r, seen.possible && possible_for(s, r) && fits_somewhere(s, r), p.now);
  r.held_for = awaited(s, model, asked, found, seen);
  if (r.held_for != none) {
    recheck_later(s, r.model, p.now);
    return verdict::blocked;
  }
  const auto explored = explore(s, model, asked);
  if (explored != none) {
    issue(p, slot, explored, true, 0);
    return verdict::granted;
  }
  const auto predicted = r.emitted == 0 ? found.start_is : promised::nothing;
  issue(p, slot, found.start.place, false, found.start.saved, words_of(predicted));
  r.predicted = predicted;
  if (predicted == promised::late)
    model.promises[static_cast<std::size_t>(r.meta.priority)].waive();
  return verdict::granted;
}

} // namespace

verdict try_grant(pass& p, index slot, const barriers& blocked) {
  auto& r = p.s.requests[slot];
  const bool barred = remote_barred(p.s);
  const bool first_here = stays_first(p.s, r);
  r.stays = barred || first_here;
  const auto outcome = try_once(p, slot, blocked);
  r.stays = false;
  if (outcome == verdict::granted || (!barred && !first_here))
    return outcome;
  if (!barred)
    return try_once(p, slot, blocked);
  // What is only spent for now is not impossible, and comes back without anything happening.
  const bool for_good = p.s.config.remote == remote_use::never;
  if (!for_good)
    recheck_later(p.s, r.model, p.now);
  return outcome == verdict::impossible && !for_good ? verdict::blocked : outcome;
}

namespace {

/// As try_once, for a request that is not run.
dry_verdict dry_once(core_state& s, request_row& r) {
  auto& model = s.models[r.model];
  const barriers nothing;
  if (asks_context(model, r))
    refresh_options(s, r.model);
  const auto asked = question_of(s, r, nothing);
  const auto found = choose_dry(s, model, asked);
  const auto& seen = outlook_of(s, r.model, r.selector, s.now);
  dry_verdict told;
  told.possible = seen.possible && possible_for(s, r) && fits_somewhere(s, r);
  const auto before = model.queue.before(lane_of(s, r));
  r.held_for = found.start.place == none ? none : awaited(s, model, asked, found, seen);
  if (found.start.place != none && r.held_for == none && before == 0) {
    told.device = model.endpoints.at(found.start.place).device;
    return told;
  }
  update_outlook(s, r.model, r.selector, s.now);
  told.outcome = told.possible ? seen.state : "rejected";
  told.reason = !told.possible ? impossible_ending(s, r).reason.message
                : before > 0   ? std::to_string(before) + " requests wait before it"
                               : why_waits(s, r, s.now).reason;
  return told;
}

} // namespace

dry_verdict decide_dry(core_state& s, request_row& r) {
  const bool barred = remote_barred(s);
  const bool first_here = stays_first(s, r);
  r.stays = barred || first_here;
  auto told = dry_once(s, r);
  if (!barred && first_here && told.device == none) {
    r.stays = false;
    told = dry_once(s, r);
  }
  if (!barred || told.possible || s.config.remote == remote_use::never)
    return told;
  // As in try_grant: what is only spent for now is waited for.
  told.possible = true;
  told.outcome = "queued";
  told.reason = spent_words(s, s.now);
  return told;
}

} // namespace consort::core
