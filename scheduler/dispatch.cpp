// SPDX-License-Identifier: Apache-2.0
// Who gets a ticket: filter -> score -> pick over the ready endpoints of a model, against devices
// that could serve after a load or compile. Late binding: what cannot start now stays in the queue.
#include "scheduler/dispatch.hpp"

#include "scheduler/modules.hpp"

#include <algorithm>
#include <limits>

namespace consort::core {

namespace {

constexpr auto worst = std::numeric_limits<std::int64_t>::max();

struct pick {
  index place = none;
  std::int64_t score = worst;
  /// Lower score wins; equal ones go to the lower place, which is the lower device id.
  void offer(index at, std::int64_t offered) {
    if (offered < score || (offered == score && at < place)) {
      score = offered;
      place = at;
    }
  }
};

/// Best endpoint that can start it now, and best of those that are full.
struct scan_result {
  pick start, full;
};

struct demand {
  work_size size;
  std::int32_t sequences = 1;
  std::int64_t kv_tokens = 0;
};

demand demand_of(const core_state& s, const request_row& r) {
  const auto held = reservation_for(s, r, 0);
  return {r.size, static_cast<std::int32_t>(held.sequences),
          static_cast<std::int64_t>(held.kv_tokens)};
}

bool startable(const endpoint_room& one, const demand& need) {
  return one.seq_free >= need.sequences && one.kv_free >= need.kv_tokens;
}

template <class Profile>
std::int64_t score_of(const endpoint_pace& one, const work_size& size, std::int64_t prefix_ns,
                      std::int64_t exact_ns) {
  return Profile::score({one.queue_ns, 0, prefill_term(size, one.prefill_ns), prefix_ns,
                         decode_term(size, one.itl_ns), exact_ns});
}

/// Every endpoint is a candidate: the common case, and the hot loop of the core. Nearly all fail
/// the first comparison, a block at a time; what passes it may be the pick, or among the best to be
/// explained. A full endpoint that is slower than the final pick is of no interest, so it may be
/// missed.
template <class Profile>
scan_result scan_all(core_state& s, const model_state& model, const demand& need) {
  scan_result found;
  const auto& paces = model.endpoints.paces();
  const auto count = static_cast<index>(paces.size());
  s.best.reset(count > limits::explain_candidates_max ? limits::explain_crowd_max
                                                      : limits::explain_candidates_max);
  auto bar = worst;
  const auto look = [&](index at, std::int64_t score) {
    const auto& room = model.endpoints.room(at);
    if (score >= bar || room.seq_free < 0)
      return;
    s.best.offer(at, score);
    (startable(room, need) ? found.start : found.full).offer(at, score);
    bar = std::max(s.best.bar(), found.start.score);
  };
  const auto& floors = model.endpoints.floors();
  for (index block = 0; block < floors.size(); ++block) {
    if (score_of<Profile>(floors[block], need.size, 0, 0) >= bar)
      continue;
    const auto first = block * pace_block;
    for (auto at = first; at < std::min(first + pace_block, count); ++at)
      look(at, score_of<Profile>(paces[at], need.size, 0, 0));
  }
  return found;
}

template <class Profile>
scan_result scan_some(core_state& s, const model_state& model, const request_row& r,
                      const demand& need, const barriers& blocked) {
  scan_result found;
  s.best.reset(limits::explain_candidates_max);
  for (index at = 0; at < model.endpoints.size(); ++at) {
    const auto& one = model.endpoints.room(at);
    if (one.seq_free < 0 || !may_serve(s, r, one.device)
        || (r.emitted > 0 && !may_resume(s, model.endpoints.at(at))))
      continue;
    const bool exact = r.emitted == 0 || resumes_exactly(s, r, model.endpoints.at(at));
    const auto score = score_of<Profile>(model.endpoints.pace(at), need.size, 0, exact_term(exact));
    s.best.offer(at, score);
    const bool barred = std::any_of(blocked.begin(), blocked.end(), [&](index selector) {
      return s.selectors[selector].matches[one.device] != 0;
    });
    if (startable(one, need) && !barred)
      found.start.offer(at, score);
    else
      found.full.offer(at, score);
  }
  return found;
}

/// Endpoints that hold the prompt's beginning are scored again without that part of the prefill.
template <class Profile>
void apply_prefixes(core_state& s, const model_state& model, const request_row& r,
                    const demand& need, scan_result& found) {
  s.prefixes.match(r.meta.prefix_blocks, s.matches);
  for (const auto& match : s.matches) {
    const auto instance = s.instance_ids.find(match.instance);
    if (instance == s.instance_ids.end() || s.instances[instance->second].model != r.model)
      continue;
    for (const auto at : s.instances[instance->second].places) {
      const auto& one = model.endpoints.room(at);
      const auto& pace = model.endpoints.pace(at);
      if (one.seq_free < 0 || !may_serve(s, r, one.device)
          || (r.emitted > 0 && !may_resume(s, model.endpoints.at(at))))
        continue;
      const auto saved = prefix_term(prefill_term(need.size, pace.prefill_ns), match.blocks,
                                     r.meta.prefix_blocks.size());
      const bool exact = r.emitted == 0 || resumes_exactly(s, r, model.endpoints.at(at));
      const auto score = score_of<Profile>(pace, need.size, saved, exact_term(exact));
      s.best.offer_again(at, score);
      (startable(one, need) ? found.start : found.full).offer(at, score);
    }
  }
}

pick best_prospect(const core_state& s, const request_row& r, const outlook& seen, time_us now) {
  pick best;
  for (index at = 0; at < seen.prospects.size(); ++at) {
    const auto& one = seen.prospects[at];
    if (!may_serve(s, r, s.models[r.model].options[one.option].device))
      continue;
    // What nobody has started may never start: placement's business, no reason to wait.
    if (one.ready_at != 0)
      best.offer(at, latency_profile::score(terms_of(one, r.size, now)));
  }
  return best;
}

/// Few attempts tell little about a device: now and then one more is sent there.
index explore(core_state& s, const model_state& model, const request_row& r, const demand& need) {
  if (s.random.below(1000) >= s.config.explore_pm || r.attempt > 0 || r.meta.deadline_us)
    return none;
  index chosen = none;
  std::uint32_t fewest = limits::explore_samples;
  for (index at = 0; at < model.endpoints.size(); ++at) {
    const auto& one = model.endpoints.room(at);
    if (one.samples < fewest && startable(one, need) && may_serve(s, r, one.device)) {
      fewest = one.samples;
      chosen = at;
    }
  }
  return chosen;
}

/// Waiting is chosen only over a start that is clearly slower, and never longer than that start
/// would have taken: at worst twice the best choice.
bool better_to_wait(const model_state& model, const request_row& r, const scan_result& found,
                    const pick& later, time_us now) {
  if (r.meta.wait_us && *r.meta.wait_us <= 0 && r.attempt == 0)
    return false;
  const auto start = found.start.score;
  if (now - r.waiting_since > start / 1000)
    return false;
  const auto bar = start / 1000 * limits::wait_gain_pm;
  auto full = found.full.score;
  if (found.full.place != none) {
    const auto& one = model.endpoints.at(found.full.place);
    const auto ahead = static_cast<std::int64_t>(model.queue.size());
    full += std::min(full / std::max<std::int64_t>(one.seq_max, 1), term_ns_max / (ahead + 1))
            * ahead;
  }
  return full < bar || later.score < bar;
}

/// Nothing is called impossible while nodes are still to say what they have.
verdict no_start(core_state& s, const request_row& r, bool possible, time_us now) {
  if (!possible && now >= s.returning_until)
    return verdict::impossible;
  if (!possible)
    recheck_later(s, r.model, now);
  return verdict::blocked;
}

template <class Profile>
verdict decide(pass& p, index slot, const barriers& blocked) {
  auto& s = p.s;
  auto& r = s.requests[slot];
  auto& model = s.models[r.model];
  const auto need = demand_of(s, r);
  const bool plain = s.selectors[r.selector].parsed.everything() && r.excluded.empty()
                     && r.emitted == 0 && r.meta.kind != request_kind::embedding && blocked.empty();
  auto found
      = plain ? scan_all<Profile>(s, model, need) : scan_some<Profile>(s, model, r, need, blocked);
  if (!r.meta.prefix_blocks.empty() && blocked.empty())
    apply_prefixes<Profile>(s, model, r, need, found);
  ++s.counters.decisions;
  const auto& seen = outlook_of(s, r.model, r.selector, p.now);
  if (found.start.place == none)
    return no_start(s, r, seen.possible && possible_for(s, r), p.now);
  const auto later = best_prospect(s, r, seen, p.now);
  if (better_to_wait(model, r, found, later, p.now)) {
    recheck_later(s, r.model, p.now);
    return verdict::blocked;
  }
  const auto explored = explore(s, model, r, need);
  const auto place = explored == none ? found.start.place : explored;
  record_grant(p, slot, place, explored != none);
  grant(p, slot, place, r.emitted == 0 || resumes_exactly(s, r, model.endpoints.at(place)));
  return verdict::granted;
}

} // namespace

bool may_serve(const core_state& s, const request_row& r, index device) {
  return s.selectors[r.selector].matches[device] != 0
         && std::find(r.excluded.begin(), r.excluded.end(), device) == r.excluded.end()
         && (r.meta.kind != request_kind::embedding
             || s.devices[device].spec.capability.runtime.embeddings);
}

bool may_resume(const core_state& s, const endpoint& at) {
  return s.instances[at.instance].runtime.resume != resume_support::none;
}

bool resumes_exactly(const core_state& s, const request_row& r, const endpoint& at) {
  return s.instances[at.instance].content == r.content && r.last_device != none
         && s.devices[at.device].spec.model == s.devices[r.last_device].spec.model;
}

bool possible_for(const core_state& s, const request_row& r) {
  if (r.excluded.empty() && r.meta.kind != request_kind::embedding)
    return true;
  const auto& options = s.models[r.model].options;
  return options.empty() || std::any_of(options.begin(), options.end(), [&](const option& one) {
           return one.removed_by == filter_id::passed && may_serve(s, r, one.device);
         });
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
  held.work_ns = decode_term(r.size, itl_ns) * r.meta.choices;
  return held;
}

duration_us setup_left(const prospect& one, time_us now) {
  if (one.ready_at == 0)
    return one.setup_us;
  // What is late already is expected to stay late.
  return std::max<duration_us>(one.ready_at - now, (now - one.ready_at) / 2 + 1'000);
}

score_terms terms_of(const prospect& one, const work_size& size, time_us now) {
  return {0,
          std::min(setup_left(one, now), term_us_max) * 1000,
          prefill_term(size, one.prefill_ns),
          0,
          decode_term(size, one.decode_ns),
          0};
}

void recheck_later(core_state& s, index model, time_us now) {
  auto& row = s.models[model];
  if (row.recheck_at > now)
    return;
  row.recheck_at = now + limits::recheck_us;
  arm(s, row.recheck_at, timer_kind::model, model);
}

verdict try_grant(pass& p, index slot, const barriers& blocked) {
  const auto& r = p.s.requests[slot];
  return with_profile(r.meta.policy.value_or(p.s.config.policy),
                      [&](auto profile) { return decide<decltype(profile)>(p, slot, blocked); });
}

namespace {

struct cursor {
  lane_key key;
  queue_place place;
  waiting_request who;
  std::size_t passed = 0;
};

bool lane_known_blocked(const model_state& model, const outlook& seen, std::uint64_t version,
                        time_us now) {
  return seen.blocked_version == version && seen.blocked_releases == model.releases
         && now < seen.recheck_at;
}

void note_blocked(core_state& s, model_state& model, index selector, time_us now) {
  auto& seen = model.outlooks[selector];
  seen.blocked_version = s.version;
  seen.blocked_releases = model.releases;
  seen.recheck_at = model.recheck_at > now ? model.recheck_at : std::numeric_limits<time_us>::max();
}

std::vector<cursor> heads_of(core_state& s, model_state& model, time_us now) {
  std::vector<cursor> heads;
  for (const auto& [key, members] : model.queue.lanes()) {
    const auto seen = model.outlooks.find(key.selector);
    if (seen != model.outlooks.end() && lane_known_blocked(model, seen->second, s.version, now))
      continue;
    heads.push_back({key, members.begin()->first, members.begin()->second});
  }
  return heads;
}

/// Moves to the next of its lane behind `after`. Returns: whether there is one.
bool advance(const model_state& model, cursor& at) {
  const auto lane = model.queue.lanes().find(at.key);
  if (lane == model.queue.lanes().end())
    return false;
  const auto next = lane->second.upper_bound(at.place);
  if (next == lane->second.end())
    return false;
  at.place = next->first;
  at.who = next->second;
  return true;
}

/// Fewer endpoints may serve it than its lane says: others of the lane may pass it.
bool particular(const request_row& r) {
  return !r.excluded.empty() || r.emitted > 0 || r.meta.kind == request_kind::embedding;
}

} // namespace

void run_queue(pass& p, index at) {
  auto& s = p.s;
  auto& model = s.models[at];
  auto heads = heads_of(s, model, p.now);
  barriers blocked;
  while (!heads.empty()) {
    const auto first
        = std::min_element(heads.begin(), heads.end(), [&](const cursor& a, const cursor& b) {
            return goes_before(a.key, a.place, a.who, b.key, b.place, b.who, p.now);
          });
    const auto slot = first->who.slot;
    const auto outcome = try_grant(p, slot, blocked);
    if (outcome == verdict::granted)
      dequeue(s, slot);
    else if (outcome == verdict::impossible)
      end_request(p, slot, impossible_ending(s, slot));
    else if (!particular(s.requests[slot]) || ++first->passed > limits::lane_bypass_max) {
      if (starving(first->who, p.now) && !model.endpoints.empty())
        blocked.push_back(first->key.selector);
      note_blocked(s, model, first->key.selector, p.now);
      heads.erase(first);
      continue;
    }
    if (!advance(model, *first))
      heads.erase(first);
  }
}

} // namespace consort::core
