// SPDX-License-Identifier: Apache-2.0
#include "scheduler/crowds.hpp"

#include "scheduler/modules.hpp"
#include "scheduler/overlap.hpp"
#include "scheduler/policy_bars.hpp"
#include "scheduler/wanting.hpp"

#include <algorithm>
#include <limits>

namespace consort::core {

namespace {

/// So that no product with a crowd or with places overflows: about a quarter of an hour for one.
constexpr std::int64_t step_ns_max = 1'000'000'000'000;
constexpr std::int64_t carried_ns_max = term_ns_max * 2;
constexpr std::int64_t crowd_max = limits::requests_max;
/// A time is found to one part in so many.
constexpr std::int64_t time_parts = 64;

carrier bounded(const carrier& one) {
  return {std::clamp<std::int64_t>(one.first_ns, 1, carried_ns_max),
          std::clamp<std::int64_t>(one.more_ns, 1, step_ns_max),
          std::clamp<std::int64_t>(one.turn_ns, 1, step_ns_max),
          std::clamp<std::int64_t>(one.places, 0, crowd_max)};
}

std::int64_t scored(std::uint32_t tokens) {
  return std::min<std::int64_t>(tokens, scored_tokens_max);
}

/// The longest that the least could be: one carries all alone.
std::int64_t alone_at_best(std::int64_t crowd, std::span<const carrier> carriers) {
  auto best = std::numeric_limits<std::int64_t>::max();
  for (const auto& one : carriers)
    best = std::min(best, one.ends_after(crowd));
  return best;
}

/// What of the crowd is left over by then; no more than nothing.
std::int64_t left_after(std::int64_t span_ns, std::int64_t crowd,
                        std::span<const carrier> carriers) {
  auto left = crowd;
  for (const auto& one : carriers) {
    if (left <= 0)
      break;
    left -= one.ended_by(span_ns, crowd);
  }
  return std::max<std::int64_t>(left, 0);
}

/// The least span that does, to a part in time_parts. Requires: `most` does.
template <class Does>
std::int64_t least_span(std::int64_t most, const Does& does) {
  std::int64_t least = 0;
  while (most - least > most / time_parts + 1) {
    const auto middle = least + (most - least) / 2;
    (does(middle) ? most : least) = middle;
  }
  return most;
}

} // namespace

std::int64_t carrier::ends_after(std::int64_t crowd) const {
  const auto placed = std::clamp<std::int64_t>(crowd, 1, std::max<std::int64_t>(places, 1));
  return first_ns + (placed - 1) * more_ns + (crowd - placed) * turn_ns;
}

std::int64_t carrier::ended_by(std::int64_t span_ns, std::int64_t crowd) const {
  if (span_ns < first_ns)
    return 0;
  const auto placed = std::max<std::int64_t>(places, 1);
  const auto all_placed_ns = first_ns + (placed - 1) * more_ns;
  return std::min(crowd, span_ns < all_placed_ns ? 1 + (span_ns - first_ns) / more_ns
                                                 : placed + (span_ns - all_placed_ns) / turn_ns);
}

std::int64_t time_of(std::int64_t crowd, std::span<const carrier> carriers) {
  return least_span(alone_at_best(crowd, carriers), [&](std::int64_t span_ns) {
    return left_after(span_ns, crowd, carriers) == 0;
  });
}

addition best_addition(std::int64_t crowd, std::span<const carrier> carriers,
                       std::span<const carrier> more) {
  const auto does = [&](std::int64_t span_ns) {
    const auto left = left_after(span_ns, crowd, carriers);
    return std::any_of(more.begin(), more.end(),
                       [&](const carrier& one) { return one.ended_by(span_ns, crowd) >= left; });
  };
  const auto most = std::min(alone_at_best(crowd, more), alone_at_best(crowd, carriers));
  addition found{0, least_span(most, does)};
  // What is left for it then; of those who would end that in time the first.
  const auto left = std::max<std::int64_t>(left_after(found.time_ns, crowd, carriers), 1);
  for (std::size_t at = 1; at < more.size(); ++at)
    if (more[at].ends_after(left) < more[found.which].ends_after(left))
      found.which = at;
  return found;
}

work_size usual_size(const model_state& model) {
  return {static_cast<std::uint32_t>(model.prompt_tokens),
          static_cast<std::uint32_t>(model.output_tokens)};
}

namespace {

/// With nobody there.
carrier empty_carrier(const core_state& s, index pair, std::uint32_t slots) {
  const auto& known = s.pairs[pair];
  const auto& speed = known.speed;
  const auto size = usual_size(s.models[known.model]);
  const auto prompt = scored(size.prompt_tokens), output = scored(size.output_tokens);
  const auto reads = speed.first_ns + speed.prefill_ns * prompt;
  const auto grows = std::int64_t{speed.itl_ns(2)} - speed.itl_ns(1);
  const auto beside = is_remote(s, known.device) ? 0 : reads; // It reads prompts beside each other.
  return bounded({reads + speed.itl_ns(1) * output, beside + grows * output,
                  beside + speed.itl_ns(slots) * output / slots, std::int64_t{slots}});
}

std::int64_t span_ns(duration_us span) {
  return std::clamp<std::int64_t>(span, 0, term_us_max) * 1000;
}

} // namespace

carrier carrier_of(const core_state& s, const prospect& one, duration_us setup_us) {
  const auto& device = s.devices[s.pairs[one.pair].device];
  auto made = empty_carrier(s, one.pair, std::max(device.spec.capability.max_sequences, 1U));
  made.first_ns += span_ns(setup_us);
  return made;
}

carrier carrier_at(const core_state& s, index model, index place) {
  const auto& row = s.models[model];
  const auto& at = row.endpoints.at(place);
  const auto& pace = row.endpoints.pace(place);
  const auto& room = row.endpoints.room(place);
  const auto& speed = s.pairs[at.pair].speed;
  const auto size = usual_size(row);
  const auto prompt = scored(size.prompt_tokens), output = scored(size.output_tokens);
  const auto free
      = std::max<std::int64_t>(std::int64_t{room.slots} - std::int64_t{pace.running}, 0);
  const auto reads = pace.first_ns + pace.prefill_ns * prompt;
  const auto waits = queue_left(pace, s.now * 1000) + (free == 0 ? room_in(pace) : 0);
  const auto grows = std::int64_t{speed.itl_ns(pace.batch + 1)} - pace.itl_ns;
  const auto full_ns = std::max(speed.itl_ns(room.slots), pace.itl_ns);
  const auto beside = at.remote ? 0 : reads;
  return bounded({waits + reads + pace.itl_ns * output, beside + grows * output,
                  beside + full_ns * output / room.slots, free});
}

namespace {

/// Who is late by little counts as ready now.
duration_us setup_in_order(prospect one, time_us now) {
  if (one.ready_at != 0 && one.ready_at < now && now - one.ready_at <= late_load_us)
    one.ready_at = now;
  return setup_left(one, now);
}

} // namespace

std::vector<index> ranked(const core_state& s, const outlook& seen, std::int64_t crowd,
                          time_us now) {
  std::vector<std::pair<std::int64_t, index>> order;
  for (index at = 0; at < seen.prospects.size(); ++at) {
    const auto& one = seen.prospects[at];
    order.emplace_back(carrier_of(s, one, setup_in_order(one, now)).ends_after(crowd), at);
  }
  std::sort(order.begin(), order.end());
  std::vector<index> result;
  for (const auto& [score, at] : order)
    result.push_back(at);
  return result;
}

namespace {

bool look_is_due(const core_state& s, const model_state& model) {
  return model.crowds_at == 0 || s.now - model.crowds_at >= std::max(crowd_look_us, pace_of(s));
}

/// By as much as one more replica must be worth.
bool is_slowed(const core_state& s, const request_row& r) {
  const auto predicted_ns = r.queue_predicted_ns + r.held.work_ns / std::max(r.held.sequences, 1U);
  return predicted_ns / 1000 * crowd_gain_pm > s.pairs[r.pair].speed.service_ns(r.size);
}

} // namespace

void note_crowd(core_state& s, const request_row& r) {
  if (asks_apart(s, r) != 0) // Another replica might not answer it.
    return;
  auto& model = s.models[r.model];
  const bool slowed = is_slowed(s, r);
  if (!slowed && !model.crowded)
    return;
  model.crowded = true;
  if (slowed)
    model.outlooks[r.selector].crowded = true;
  if (look_is_due(s, model))
    mark_dirty(s, r.model);
}

namespace {

/// Who serves those of one selector or is about to, as it is and as if whom it holds were shared
/// out anew, and who could be loaded beside them.
struct carriers {
  std::vector<carrier> there, empty;
  std::int64_t held = 0;              ///< Sequences in all of them.
  std::vector<carrier> more;          ///< From when they are ready.
  std::vector<index> options;         ///< Of these,
  std::vector<duration_us> setups_us; ///< and how long that takes.

  void drop(std::size_t which) {
    const auto at = static_cast<std::ptrdiff_t>(which);
    more.erase(more.begin() + at);
    options.erase(options.begin() + at);
    setups_us.erase(setups_us.begin() + at);
  }
};

bool may_relieve(const core_state& s, const prospect& one) {
  const auto& pair = s.pairs[one.pair];
  // Of parts that overlap somebody else may wait for another, for which this one just left.
  return one.ready_at == 0 && one.free && pair.load_retry_at <= s.now && pair.fuse.admits()
         && !is_remote(s, pair.device) && s.devices[pair.device].spec.stages.empty()
         && !(s.waiting > 0 && overlaps(s, pair.device));
}

/// Whom requests are sent to only where nobody else can begin carries none of a crowd, nor does a
/// plan, whose work is its members'.
bool may_carry(const core_state& s, const endpoint& one, index selector) {
  return one.open && !one.plan && s.selectors[selector].matches[one.device] != 0
         && !(one.remote && (s.config.remote == remote_use::overflow || remote_barred(s)))
         && !unsteady_for(s, selector, one.device);
}

void add_those_there(const core_state& s, index model, index selector, const outlook& seen,
                     carriers& all) {
  const auto& row = s.models[model];
  for (index place = 0; place < row.endpoints.size(); ++place) {
    if (!row.endpoints.used(place) || !may_carry(s, row.endpoints.at(place), selector))
      continue;
    all.there.push_back(carrier_at(s, model, place));
    all.empty.push_back(
        empty_carrier(s, row.endpoints.at(place).pair, row.endpoints.room(place).slots));
    all.held += row.endpoints.pace(place).running;
  }
  for (const auto at : seen.coming) {
    const auto& one = seen.prospects[at];
    const auto device = s.pairs[one.pair].device;
    if (is_remote(s, device) || !s.devices[device].spec.stages.empty())
      continue;
    all.there.push_back(carrier_of(s, one, setup_in_order(one, s.now)));
    all.empty.push_back(all.there.back());
  }
}

/// Nothing is made where none may be loaded, as mostly.
carriers carriers_of(core_state& s, index model, index selector) {
  const auto& seen = outlook_of(s, model, selector, s.now);
  carriers all;
  for (const auto& one : seen.prospects) {
    if (!may_relieve(s, one))
      continue;
    all.options.push_back(one.option);
    all.setups_us.push_back(setup_left(one, s.now));
    all.more.push_back(carrier_of(s, one, 0));
  }
  if (!all.more.empty())
    add_those_there(s, model, selector, seen, all);
  return all;
}

bool clearly_sooner(std::int64_t time_ns, std::int64_t than_ns) {
  return time_ns / 1000 <= than_ns / 1'000'000 * crowd_gain_pm;
}

/// Of those who come while it is made ready.
std::int64_t to_come(const core_state& s, const model_state& model, duration_us setup_us) {
  constexpr duration_us far_us = 1'000 * limits::second_us;
  return std::min(model.arrivals.per_1000_s(s.now) / 1'000 * std::min(setup_us, far_us)
                      / limits::second_us,
                  crowd_max);
}

/// Begins one with which the crowd would end clearly sooner. Whether is a matter of the crowd,
/// which one also of those who come until it is ready. Returns: whether one began.
bool begin_one(pass& p, index model, std::int64_t crowd, std::span<const carrier> there,
               carriers& all) {
  const auto& row = p.s.models[model];
  const auto without_ns = time_of(crowd, there);
  for (std::uint32_t tries = 0; tries < limits::warmups_max && !all.more.empty(); ++tries) {
    const auto now = best_addition(crowd, there, all.more);
    if (!clearly_sooner(now.time_ns, without_ns))
      return false;
    const auto all_of_them = crowd + to_come(p.s, row, all.setups_us[now.which]);
    const auto best = best_addition(all_of_them, there, all.more);
    if (advance_option(p, model, option(row.options[all.options[best.which]])))
      return true;
    all.drop(best.which);
  }
  return false;
}

/// One that pays for itself though nobody will come: who is here now ends sooner, its load or build
/// included.
bool begin_at_once(pass& p, index model, std::int64_t waiting, carriers all) {
  for (std::size_t at = 0; at < all.more.size(); ++at)
    all.more[at].first_ns += span_ns(all.setups_us[at]);
  return begin_one(p, model, std::max<std::int64_t>(waiting, 1), all.there, all);
}

/// One whose load takes no longer than the crowd has lasted, which would have been worth it.
bool begin_at_last(pass& p, index model, std::int64_t crowd, duration_us lasted_us, carriers all) {
  for (auto at = all.more.size(); at-- > 0;)
    if (all.setups_us[at] > lasted_us)
      all.drop(at);
  std::fill(all.setups_us.begin(), all.setups_us.end(), 0); // They are in the crowd.
  return begin_one(p, model, crowd, all.empty, all);
}

/// Of those who wait, whom any device of the selector may serve.
std::int64_t plain_waiting(const core_state& s, index model, index selector) {
  return static_cast<std::int64_t>(who_waits(s, s.models[model], selector).others.waiting);
}

void relieve_those(pass& p, index model, index selector) {
  auto& s = p.s;
  auto& seen = outlook_of(s, model, selector, p.now);
  const auto all = carriers_of(s, model, selector);
  const auto waiting = all.more.empty() ? 0 : plain_waiting(s, model, selector);
  // Where nobody serves it is placement's business.
  if (all.more.empty() || all.there.empty()
      || (waiting == 0 && !seen.crowded && seen.crowded_since == 0)) {
    seen.crowded_since = 0;
    return;
  }
  const auto crowd = std::clamp<std::int64_t>(all.held + waiting, 1, crowd_max);
  const bool lasts = clearly_sooner(best_addition(crowd, all.empty, all.more).time_ns,
                                    time_of(crowd, all.empty));
  if (!lasts)
    seen.crowded_since = 0;
  else if (seen.crowded_since == 0)
    seen.crowded_since = std::max<time_us>(p.now, 1);
  if (begin_at_once(p, model, waiting, all)
      || (lasts && begin_at_last(p, model, crowd, p.now - seen.crowded_since, all)))
    seen.crowded_since = 0; // That is paid.
}

/// Selectors of those who wait, or whose latest tickets were for full engines.
void crowded_selectors(const model_state& model, std::vector<index>& selectors) {
  selectors.clear();
  for (const auto& [selector, seen] : model.outlooks)
    if (seen.crowded || seen.crowded_since != 0)
      selectors.push_back(selector);
  for (const auto& [key, lane] : model.queue.lanes())
    if (std::find(selectors.begin(), selectors.end(), key.selector) == selectors.end())
      selectors.push_back(key.selector);
}

} // namespace

void relieve(pass& p, index at) {
  auto& s = p.s;
  auto& model = s.models[at];
  if ((!model.crowded && model.queue.empty()) || !look_is_due(s, model) || model.removed
      || model.rollout_wanted > 0 || p.now < s.taking_over_until)
    return;
  model.crowds_at = std::max<time_us>(p.now, 1);
  auto& those = s.warming;
  crowded_selectors(model, those);
  model.crowded = false;
  for (const auto selector : those) {
    relieve_those(p, at, selector);
    auto& seen = model.outlooks[selector];
    seen.crowded = false;
    model.crowded = model.crowded || seen.crowded_since != 0;
  }
}

} // namespace consort::core
