// SPDX-License-Identifier: Apache-2.0
// The picks. All but the random ones descend the floors of a profile's scores: the most promising
// branch first, and no branch whose floor is no better than what was found.
#include "scheduler/picks.hpp"

#include "scheduler/caches.hpp"
#include "scheduler/contexts.hpp"
#include "scheduler/modules.hpp"
#include "scheduler/policy_bars.hpp"

#include <algorithm>
#include <bit>

namespace consort::core {

candidate_facts optional_facts(const core_state& s, const model_state& model, index place) {
  const auto& one = model.endpoints.at(place);
  candidate_facts facts;
  facts.loaded = true;
  facts.remote = is_remote(s, one.device);
  facts.health = s.devices[one.device].reading.health;
  facts.health_reason = s.devices[one.device].reading.health_reason;
  facts.samples = model.endpoints.room(place).samples;
  return facts;
}

namespace {

/// Draws before the next free place in order is taken.
constexpr int draws_max = 16;

bool has_room(const room_floor& some, const demand& need) {
  return some.seq_free >= need.sequences && some.kv_free >= need.kv_tokens;
}

bool barred(const core_state& s, const question& asked, index device) {
  return std::any_of(asked.blocked.begin(), asked.blocked.end(), [&](const barrier& one) {
    return s.selectors[one.selector].matches[device] != 0
           && (one.asks & asks::refused_by(s.devices[device].spec.capability.runtime)) == 0;
  });
}

/// Added to a score where the text may turn out different.
std::int64_t inexact(const core_state& s, const model_state& model, const question& asked,
                     index place) {
  if (asked.r.emitted == 0 || resumes_exactly(s, asked.r, model.endpoints.at(place)))
    return 0;
  return asked.how.weight(scorer_id::exact) * inexact_penalty_ns;
}

/// Of those who hold most of the prompt, the one whose first token would come first.
struct holder_seen {
  std::uint32_t saved = 0;
  std::int64_t first_ns = worst_score;
};

/// Predicted, the wait for those ahead included.
std::int64_t first_token_ns(const endpoint_figures& pace, std::int64_t fresh, std::int64_t now_ns) {
  return queue_left(pace, now_ns) + pace.first_ns + fresh * pace.prefill_ns;
}

/// Looks for the lowest score among endpoints of some kinds, within bounds of first token and gap
/// when there are any.
class search {
public:
  search(core_state& s, model_state& model, const question& asked, const score_view& by)
      : s_(s),
        model_(model),
        asked_(asked),
        by_(by),
        how_(s.profiles[by.number()]),
        prompt_(std::min<std::int64_t>(asked.need.size.prompt_tokens, scored_tokens_max)),
        output_(std::min<std::int64_t>(asked.need.size.output_tokens, scored_tokens_max)),
        wait_weight_(how_.weight(scorer_id::queue)),
        now_ns_(asked.now * 1000),
        shares_(by.shares_of(prompt_, output_, now_ns_)),
        late_(how_.late && !impatient(asked.r)),
        passes_busy_(how_.late && !late_),
        all_(!is_crowd(model)) {}

  /// Only endpoints of these kinds, by bits.
  void among(std::uint32_t kinds) { kinds_ = kinds; }
  /// Only those that are predicted to meet the SLO. Requires: the profile promises times.
  /// `late`: as late as may be by choice.
  void within_slo(bool late) {
    promised_ = true;
    comes_late_ = late;
    bounds_ = slo_of(s_, model_, asked_, 0, late);
  }
  /// What was found before, e.g. where the prompt's beginning is cached.
  choice found;

  void run() {
    const auto& floors = by_.floors();
    if (floors.height() == 0)
      return;
    // Nothing can start it: who is full is of no interest either.
    if (!may_start(floors.top().room))
      return;
    descend(floors, floors.height() - 1, 0);
    const auto& full = by_.full();
    if (full.top().room.seq_free >= 0 && worth(full.top().room, shares_.bound(full.top().score)))
      descend(full, full.height() - 1, 0);
  }

  /// Who holds most of the prompt, and how many run at an endpoint: what others would read again
  /// weighs on those.
  void spare(const holder_seen& most, std::int64_t others) {
    most_ = most;
    others_ = most.saved == 0 ? 0 : others * how_.weight(scorer_id::reading);
  }

  /// At one where so much of the prompt is cached.
  void look(index place, std::uint32_t saved) {
    if (model_.endpoints.room(place).seq_free >= 0
        && (kinds_ >> model_.endpoints.at(place).kind & 1U) != 0)
      weigh(place, saved, score_at(place, saved));
  }

private:
  struct branch {
    float bound = 0;
    index at = 0;
  };

  /// As profile::at, for the request with nothing of it cached.
  [[nodiscard]] std::int64_t score_of(const linear_score& score) const {
    return score.fixed + score.per_prompt * prompt_ + score.per_output * output_
           + wait_until(score.ready_ns, score.behind_ns, now_ns_, wait_ns_max) * wait_weight_;
  }
  [[nodiscard]] std::int64_t score_at(index place, std::uint32_t saved) const {
    return how_.at(by_.score(place), asked_.need.size.prompt_tokens - saved,
                   asked_.need.size.output_tokens, now_ns_);
  }

  /// An open endpoint of a kind that is looked for, by its score as far as all endpoints have one.
  void weigh(index place, std::uint32_t saved, std::int64_t scored) {
    const auto& room = model_.endpoints.room(place);
    const auto again = read_again(place, saved);
    const bool room_now = startable(room, asked_.need);
    const bool fits = room_now && (!late_ || !room.reads_enough);
    const auto blocked_ns = room_now ? 0 : room_in(model_.endpoints.pace(place));
    const auto score = scored + again + blocked_ns * wait_weight_;
    if (!all_ && !hopeful(place, score, fits))
      return;
    if (!admits(s_, model_, asked_, place) || (promised_ && !meets_slo(place, saved, blocked_ns)))
      return;
    const auto total = score + inexact(s_, model_, asked_, place);
    s_.best.offer(place, total, saved, again, blocked_ns);
    const bool now = fits && !barred(s_, asked_, room.device);
    (now ? found.start : found.full).offer(place, total, saved);
    raise_bars();
  }

  [[nodiscard]] std::int64_t read_again(index place, std::uint32_t saved) const {
    if (others_ == 0 || saved >= most_.saved)
      return 0;
    const auto& pace = model_.endpoints.pace(place);
    const auto own = first_token_ns(pace, asked_.need.size.prompt_tokens - saved, now_ns_);
    if (own < most_.first_ns)
      return 0;
    return std::min(std::int64_t{most_.saved - saved} * pace.prefill_ns, wait_ns_max / others_)
           * others_;
  }

  /// Such a score, or a lower one at a higher place, may still be of use: as a start where it fits,
  /// else to be waited for, when it is clearly better than a start.
  [[nodiscard]] bool hopeful(index place, std::int64_t bound, bool fits) const {
    if (fits && found.start.yields_to(place, bound))
      return true;
    return asked_.how.waits && found.full.yields_to(place, bound)
           && bound < found.start.score / 1000 * limits::wait_gain_pm;
  }

  /// Predicted, the wait for those ahead included.
  [[nodiscard]] std::int64_t first_token(const linear_score& finish, std::int64_t prompt) const {
    return finish.of(prompt, 0)
           + wait_until(finish.ready_ns, finish.behind_ns, now_ns_, wait_ns_max);
  }
  [[nodiscard]] bool meets_slo(index place, std::uint32_t saved, std::int64_t blocked_ns) const {
    const auto bounds = slo_of(s_, model_, asked_, saved, comes_late_);
    const auto& finish = by_.finish_of_place(place);
    return finish.per_output <= bounds.itl_ns
           && (asked_.r.emitted > 0
               || first_token(finish, asked_.need.size.prompt_tokens - saved) + blocked_ns
                      <= bounds.ttft_ns);
  }

  [[nodiscard]] bool may_meet_slo(const linear_score& finish) const {
    return finish.per_output <= bounds_.itl_ns
           && (asked_.r.emitted > 0
               || first_token(finish, asked_.need.size.prompt_tokens) <= bounds_.ttft_ns);
  }

  /// Whether anybody there is open, of a kind that is looked for and maybe in time.
  [[nodiscard]] bool open(const room_floor& room, const linear_score* finish) const {
    return room.seq_free >= 0 && (room.kinds & kinds_) != 0
           && (finish == nullptr || may_meet_slo(*finish));
  }

  /// Looks at those under one of the lowest floors. Most are passed over by their score alone:
  /// whatever comes on top only makes it higher, and who is waited for is better than the start.
  template <class Floors>
  void scan(index first) {
    static_assert(limits::wait_gain_pm <= 1000);
    const auto end = std::min(first + tree_width, by_.size());
    s_.looked += end - first;
    for (auto at = first; at < end; ++at) {
      const auto& one = by_.leaf(at);
      if (!Floors::members::has(one))
        continue;
      const auto score = score_of(by_.score_at(at));
      if ((all_ || score <= found.start.score)
          && open(one.room, promised_ ? &by_.finish(at) : nullptr) && !known(one.place))
        weigh(one.place, 0, score);
    }
  }

  template <class Floors>
  void descend(const Floors& floors, index level, index node) {
    const auto first = node * tree_width;
    if (level == 0)
      return scan<Floors>(first);
    const auto below = level - 1;
    const auto bounds = shares_.bounds(floors.beside(below, node)).of;
    std::array<branch, tree_width> order;
    std::size_t count = 0;
    for (index which = 0; which < tree_width; ++which) {
      const auto bound = bounds[which];
      // Where nobody is it is above all scores.
      if (!all_ && bound > start_bar_)
        continue;
      const auto at = first + which;
      if (all_ && at >= floors.width(below))
        break;
      const auto& some = floors.at(below, at);
      if (!open(some.room, promised_ ? &by_.finishes().at(below, at) : nullptr)
          || !worth(some.room, bound) || ties_in_vain(some, bound))
        continue;
      auto place = count++;
      for (; place > 0 && bound < order[place - 1].bound; --place)
        order[place] = order[place - 1];
      order[place] = {bound, at};
    }
    for (std::size_t each = 0; each < count; ++each)
      if (const auto& one = order[each]; worth(floors.at(below, one.at).room, one.bound))
        descend(floors, below, one.at);
  }

  /// Floors count who has enough to read as full, which not everybody minds.
  [[nodiscard]] bool may_start(const room_floor& room) const {
    return passes_busy_ || has_room(room, asked_.need);
  }

  /// Somebody above such a floor may be of use, as hopeful() says of one.
  [[nodiscard]] bool worth(const room_floor& room, float bound) const {
    return all_ || (bound <= start_bar_ && may_start(room))
           || (asked_.how.waits && bound <= full_bar_);
  }

  /// All under that floor score the same, about as what was found, and the first of them is no
  /// better: their bound is too coarse to say so.
  [[nodiscard]] bool ties_in_vain(const leaf_floor& some, float bound) const {
    return some.like != 0 && bound >= tie_bar_ && !all_
           && !hopeful(some.place, score_of(by_.score(some.place)), may_start(some.room));
  }

  /// What bounds are compared with; to be called when something better was found.
  void raise_bars() {
    start_bar_ = rounded_up(found.start.score);
    tie_bar_ = start_bar_ * (1.0F - 4 * floor_slack);
    full_bar_
        = rounded_up(std::min(found.full.score, found.start.score / 1000 * limits::wait_gain_pm));
  }

  /// Looked at already, with its cache.
  [[nodiscard]] bool known(index place) const {
    return !s_.holders.empty()
           && std::find(s_.holders.begin(), s_.holders.end(), place) != s_.holders.end();
  }

  core_state& s_;
  model_state& model_;
  const question& asked_;
  const score_view& by_;
  const profile& how_; ///< Whose scores these are.
  bool promised_ = false, comes_late_ = false;
  slo_bounds bounds_; ///< Without anything cached, which no request beats.
  holder_seen most_;
  std::int64_t others_ = 0;
  std::uint32_t kinds_ = ~std::uint32_t{0};
  std::int64_t prompt_, output_; ///< Tokens, as many as are scored.
  std::int64_t wait_weight_;
  std::int64_t now_ns_;
  floor_shares shares_; ///< Between the sizes of the floors.
  float start_bar_ = rounded_up(worst_score), full_bar_ = start_bar_, tie_bar_ = start_bar_;
  bool late_;        ///< Whoever has enough to read is waited for.
  bool passes_busy_; ///< Among those who wait for such, this one does not.
  bool all_;         ///< Few enough to look at every one.
};

/// By the hashes of the prompt's blocks.
void find_by_blocks(core_state& s, const question& asked) {
  const auto& blocks = asked.r.meta.prefix_blocks;
  s.prefixes.match(blocks, s.matches, [&](instance_id id) {
    const auto instance = s.instance_ids.find(id);
    return instance == s.instance_ids.end() ? 0 : s.instances[instance->second].cache.since();
  });
  for (const auto& match : s.matches) {
    const auto instance = s.instance_ids.find(match.instance);
    if (instance == s.instance_ids.end() || s.instances[instance->second].model != asked.r.model)
      continue;
    const auto saved = saved_tokens(asked.need.size.prompt_tokens, match.blocks, blocks.size());
    for (const auto place : s.instances[instance->second].places) {
      s.holders.push_back(place);
      s.held_tokens.push_back(saved);
    }
  }
}

/// By the request's session, where that says more.
void find_by_session(core_state& s, const question& asked) {
  auto& claim = s.claimed;
  claim = claim_of(s, asked.r);
  if (claim.place == none)
    return;
  const auto known = std::find(s.holders.begin(), s.holders.end(), claim.place);
  const auto at = static_cast<std::size_t>(known - s.holders.begin());
  if (known == s.holders.end()) {
    s.holders.push_back(claim.place);
    s.held_tokens.push_back(0);
  }
  auto& held = s.held_tokens[at];
  if (held >= claim.tokens) {
    claim = {};
    return;
  }
  claim.beyond = claim.tokens - held;
  held = claim.tokens;
}

/// Looks for endpoints that probably hold the prompt's beginning: s.holders, with the tokens that
/// they hold.
void find_holders(core_state& s, const question& asked) {
  s.holders.clear();
  s.held_tokens.clear();
  if (!asked.how.follows_prefixes())
    return;
  if (!asked.r.meta.prefix_blocks.empty())
    find_by_blocks(s, asked);
  if (asked.r.session != 0)
    find_by_session(s, asked);
}

template <class Use>
void each_holder(const core_state& s, Use&& use) {
  for (std::size_t at = 0; at < s.holders.size(); ++at)
    use(s.holders[at], s.held_tokens[at]);
}

/// Sequences that run beside another in the mean.
std::int64_t others_in_mean(const model_state& model) {
  return std::int64_t{model.running} / std::max<std::int64_t>(model.endpoints.used_places(), 1);
}

/// Of those who hold most of the prompt and can start it, the one whose first token comes first.
holder_seen most_held(const core_state& s, const model_state& model, const question& asked) {
  holder_seen most;
  each_holder(s, [&](index place, std::uint32_t saved) {
    const auto& room = model.endpoints.room(place);
    if (saved < most.saved || room.seq_free < 0 || !startable(room, asked.need)
        || !admits(s, model, asked, place))
      return;
    const auto first = first_token_ns(model.endpoints.pace(place),
                                      asked.need.size.prompt_tokens - saved, asked.now * 1000);
    most = {saved, saved > most.saved ? first : std::min(first, most.first_ns)};
  });
  return most;
}

choice pick_best(core_state& s, model_state& model, const question& asked, const score_view& by) {
  search lowest(s, model, asked, by);
  find_holders(s, asked);
  if (asked.how.weight(scorer_id::reading) != 0)
    lowest.spare(most_held(s, model, asked), others_in_mean(model));
  each_holder(s, [&](index place, std::uint32_t saved) { lowest.look(place, saved); });
  lowest.run();
  return lowest.found;
}

/// What is looked at from here on is what gets explained.
void forget_best(core_state& s, const model_state& model, const question& asked, index by) {
  s.best.reset(is_crowd(model) ? limits::explain_crowd_max : limits::explain_candidates_max,
               asked.r.sequence, s.now, by);
}

// --- slo ---

choice pick_within_slo(core_state& s, model_state& model, const question& asked,
                       const score_view& by, std::uint32_t kinds, promised how) {
  search cheapest(s, model, asked, by);
  cheapest.among(kinds);
  cheapest.within_slo(how == promised::late);
  cheapest.found.start_is = how;
  find_holders(s, asked);
  each_holder(s, [&](index place, std::uint32_t saved) { cheapest.look(place, saved); });
  cheapest.run();
  return cheapest.found;
}

/// Requests of about the same size and with the same SLO share what they prefer.
std::size_t size_class(work_size size, priority_class priority) {
  const auto rung = [](std::uint32_t tokens) {
    return std::clamp<std::size_t>(std::bit_width(tokens) / 2, 3, 10) - 3;
  };
  return static_cast<std::size_t>(priority) * 64 + rung(size.prompt_tokens) * 8
         + rung(size.output_tokens);
}

bool cheaper_by_far(const pick& one, const pick& other) {
  return one.place != none && one.score < other.score / 1000 * (1000 - limits::hybrid_gain_pm);
}

/// The cheapest of these kinds that comes late, but not too late, and keeps the gap between tokens,
/// which those who run there share; nobody unless a promise may be let off.
choice pick_late(core_state& s, model_state& model, const question& asked, const score_view& by,
                 std::uint32_t kinds) {
  if (asked.r.emitted > 0
      || !model.promises[static_cast<std::size_t>(asked.r.meta.priority)].spares_one())
    return {};
  return pick_within_slo(s, model, asked, by, kinds, promised::late);
}

/// Cheapest that meets the SLO, staying with the kind of device that its size class prefers: that
/// one is left for another only when the other is cheaper by limits::hybrid_gain_pm, or when it met
/// no SLO for limits::hybrid_hold_us, and at most once in that span. Where the preferred kind has
/// nobody in time, the cheapest other one serves, and the preference stands; while more promises
/// were kept than are aimed at, it serves late instead where that is cheaper by as much.
choice pick_slo(core_state& s, model_state& model, const question& asked, const score_view& by) {
  const auto cheapest = pick_within_slo(s, model, asked, by, ~std::uint32_t{0}, promised::in_time);
  if (cheapest.start.place == none) {
    constexpr index fastest = 0; // `latency`
    forget_best(s, model, asked, fastest);
    return pick_best(s, model, asked,
                     model.endpoints.scores_by(fastest, s.profiles[fastest], asked.now * 1000));
  }
  if (model.preferred.empty())
    model.preferred.resize(size_classes);
  auto& preferred = model.preferred[size_class(asked.need.size, asked.r.meta.priority)];
  const auto kind = model.endpoints.at(cheapest.start.place).kind;
  const auto prefer = [&] {
    preferred = {kind, asked.now, asked.now, true};
    return cheapest;
  };
  if (!preferred.set)
    return prefer();
  if (kind == preferred.kind) {
    preferred.met_at = asked.now;
    return cheapest;
  }
  const bool held = asked.now - preferred.since < limits::hybrid_hold_us;
  const auto kinds = std::uint32_t{1} << preferred.kind;
  const auto stay = pick_within_slo(s, model, asked, by, kinds, promised::in_time);
  if (stay.start.place == none) {
    const auto late = pick_late(s, model, asked, by, kinds);
    if (cheaper_by_far(late.start, cheapest.start))
      return late;
    const bool lost = asked.now - preferred.met_at >= limits::hybrid_hold_us;
    return lost && !held ? prefer() : cheapest;
  }
  preferred.met_at = asked.now;
  return cheaper_by_far(cheapest.start, stay.start) && !held ? prefer() : stay;
}

// --- baselines ---

bool usable(const core_state& s, const model_state& model, const question& asked, index place) {
  const auto& room = model.endpoints.room(place);
  return room.seq_free >= 0 && startable(room, asked.need) && admits(s, model, asked, place)
         && !barred(s, asked, room.device);
}

/// The first place at or behind `from` that can start it; none when there is none.
index usable_from(const core_state& s, model_state& model, const question& asked, index level,
                  index node, index from) {
  const auto first = node * tree_width;
  const auto& floors = model.endpoints.room_floors();
  const auto count
      = level == 0 ? static_cast<index>(model.endpoints.size()) : floors.width(level - 1);
  for (auto at = first; at < std::min(first + tree_width, count); ++at) {
    if (level == 0) {
      if (at >= from && usable(s, model, asked, at))
        return at;
      continue;
    }
    const auto behind = std::uint64_t{at + 1} << (tree_width_bits * level);
    if (behind <= from || !has_room(floors.at(level - 1, at), asked.need))
      continue;
    const auto inside = usable_from(s, model, asked, level - 1, at, from);
    if (inside != none)
      return inside;
  }
  return none;
}

/// As usable_from, and from the beginning when there is none behind.
index next_usable(const core_state& s, model_state& model, const question& asked, index from) {
  const auto height = model.endpoints.room_floors().height();
  if (height == 0)
    return none;
  const auto behind = usable_from(s, model, asked, height - 1, 0, from);
  return behind != none || from == 0 ? behind : usable_from(s, model, asked, height - 1, 0, 0);
}

index draw(core_state& s, model_state& model, const question& asked) {
  const auto count = model.endpoints.size();
  if (count == 0)
    return none;
  index place = 0;
  for (int tries = 0; tries < draws_max; ++tries) {
    place = static_cast<index>(s.random.below(count));
    if (usable(s, model, asked, place))
      return place;
  }
  return next_usable(s, model, asked, place);
}

choice chosen(core_state& s, const score_view& by, const question& asked, index place,
              std::uint32_t saved = 0) {
  choice made;
  if (place == none)
    return made;
  const auto score = asked.how.at(by.score(place), asked.need.size.prompt_tokens,
                                  asked.need.size.output_tokens, asked.now * 1000);
  s.best.offer(place, score, saved);
  made.start.offer(place, score, saved);
  return made;
}

choice pick_two(core_state& s, model_state& model, const question& asked, const score_view& by) {
  const auto one = draw(s, model, asked);
  const auto other = draw(s, model, asked);
  if (one == none)
    return {};
  auto made = chosen(s, by, asked, one);
  const auto second = chosen(s, by, asked, other);
  made.start.offer(second.start.place, second.start.score, 0);
  return made;
}

choice pick_prefix(core_state& s, model_state& model, const question& asked, const score_view& by) {
  index place = none;
  std::uint32_t most = 0;
  find_holders(s, asked);
  each_holder(s, [&](index at, std::uint32_t saved) {
    if (!usable(s, model, asked, at) || saved < most
        || (saved == most && place != none && by.score(at).fixed >= by.score(place).fixed))
      return;
    place = at;
    most = saved;
  });
  s.holders.clear();
  if (place != none && most > 0)
    return chosen(s, by, asked, place, most);
  search lowest(s, model, asked, by);
  lowest.run();
  return lowest.found;
}

} // namespace

demand demand_of(const core_state& s, const request_row& r) {
  const auto held = reservation_for(s, r, 0);
  return {r.size, static_cast<std::int32_t>(held.sequences),
          static_cast<std::int64_t>(held.kv_tokens), least_kv(s, r), least_context(s, r)};
}

question question_of(const core_state& s, const request_row& r, const barriers& blocked) {
  question asked{r, s.profiles[r.profile], demand_of(s, r), blocked};
  asked.plain = s.selectors[r.selector].everything && r.excluded.empty() && r.emitted == 0
                && asks_apart(s, r) == 0 && !r.stays;
  asked.waited_us = s.now - r.submitted_at;
  asked.now = s.now;
  asked.optional = optional_filters_now(s, s.models[r.model], asked);
  return asked;
}

bool startable(const endpoint_room& one, const demand& need) {
  return one.seq_free >= need.sequences && one.kv_free >= need.kv_tokens;
}

bool admits(const core_state& s, const model_state& model, const question& asked, index place) {
  const auto device = model.endpoints.room(place).device;
  if (model.endpoints.room(place).kv_all < asked.need.kv_least
      || (asked.need.context > model.context_smallest
          && context_of(s, asked.r, model.endpoints.at(place)) < asked.need.context))
    return false;
  if (!asked.plain
      && (!may_serve(s, asked.r, device)
          || (asked.r.emitted > 0 && !may_resume(s, asked.r, model.endpoints.at(place)))))
    return false;
  return asked.optional == 0
         || first_refusal(optional_facts(s, model, place), asked.optional) == filter_id::passed;
}

bool may_begin(const core_state& s, const model_state& model, const question& asked, index place) {
  const bool binds_late = asked.how.late && !impatient(asked.r);
  return !(binds_late && model.endpoints.room(place).reads_enough)
         && usable(s, model, asked, place);
}

slo_bounds slo_of(const core_state& s, const model_state& model, const question& asked,
                  std::uint32_t saved, bool late) {
  const auto of = static_cast<std::size_t>(asked.r.meta.priority);
  const auto& target = s.config.slo[of];
  const auto fresh = std::int64_t{asked.need.size.prompt_tokens} - saved;
  const auto ttft_us = target.ttft_us + target.ttft_per_1000_us * fresh / 1000;
  return {(ttft_us * (late ? limits::slo_late_times : 1) - asked.waited_us) * 1000,
          target.itl_us * model.promises[of].gap_pm()};
}

choice choose_dry(core_state& s, model_state& model, const question& asked) {
  const auto random = s.random;
  const auto turn = model.turn;
  const auto preferred = model.preferred;
  const auto found = choose(s, model, asked);
  s.random = random;
  model.turn = turn;
  model.preferred = preferred;
  return found;
}

void weigh_chosen(core_state& s, model_state& model, const question& asked, index place) {
  static_cast<void>(choose_dry(s, model, asked));
  const auto by = s.best.scored_by();
  const auto& scores = model.endpoints.scores_by(by, s.profiles[by], asked.now * 1000);
  s.best.insist(place, s.profiles[by].at(scores.score(place), asked.need.size.prompt_tokens,
                                         asked.need.size.output_tokens, asked.now * 1000));
}

choice choose(core_state& s, model_state& model, const question& asked) {
  const auto profile = static_cast<index>(&asked.how - s.profiles.data());
  forget_best(s, model, asked, profile);
  const auto& by = model.endpoints.scores_by(profile, asked.how, asked.now * 1000);
  switch (asked.how.pick) {
  case pick_kind::best: return pick_best(s, model, asked, by);
  case pick_kind::slo: return pick_slo(s, model, asked, by);
  case pick_kind::random: return chosen(s, by, asked, draw(s, model, asked));
  case pick_kind::turn: {
    const auto place = next_usable(s, model, asked, model.turn);
    model.turn = place == none ? model.turn : place + 1;
    return chosen(s, by, asked, place);
  }
  case pick_kind::two_choices: return pick_two(s, model, asked, by);
  case pick_kind::prefix: return pick_prefix(s, model, asked, by);
  }
  return {};
}

} // namespace consort::core
