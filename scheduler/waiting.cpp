// SPDX-License-Identifier: Apache-2.0
// What a request waits for, in words that are true of that very request, and how it ends when
// nobody may take it over: fewer may go on with a stream than may begin one.
#include "scheduler/waiting.hpp"

#include "scheduler/alike.hpp"
#include "scheduler/device_waits.hpp"
#include "scheduler/overlap.hpp"
#include "scheduler/picks.hpp"
#include "scheduler/policy/filter_steady.hpp"
#include "scheduler/policy_bars.hpp"
#include "scheduler/resting_weights.hpp"
#include "scheduler/spending.hpp"
#include "scheduler/units.hpp"
#include "scheduler/weights.hpp"

#include <algorithm>
#include <cstring>
#include <limits>
#include <optional>

namespace consort::core {

namespace {

/// When the first open endpoint that is kept is free; nothing when there is none.
template <class Keep>
std::optional<std::int64_t> least_of(const endpoint_table& endpoints, time_us now, Keep&& keep) {
  std::optional<std::int64_t> least;
  for (index place = 0; place < endpoints.size(); ++place) {
    const auto& room = endpoints.room(place);
    if (room.seq_free < 0 || !keep(place))
      continue;
    const auto& pace = endpoints.pace(place);
    const bool crowded = endpoints.at(place).seq_used >= room.slots;
    const auto wait = queue_left(pace, now * 1000) + (crowded ? room_in(pace) : 0);
    least = std::min(least.value_or(term_ns_max), wait);
  }
  return least;
}

/// When the first endpoint that may serve it is free; nothing when there is none.
std::optional<std::int64_t> least_wait_ns(const core_state& s, const request_row& r, time_us now) {
  const auto& endpoints = s.models[r.model].endpoints;
  const bool spent = remote_spent(s);
  return least_of(endpoints, now, [&](index place) {
    const auto device = endpoints.room(place).device;
    return may_serve(s, r, device) && !(spent && is_remote(s, device))
           && (r.emitted == 0 || may_resume(s, r, endpoints.at(place)));
  });
}

/// Devices that may serve its model but cannot go on with its text, each with the reason. Those
/// that failed it are not among them.
std::string who_cannot_go_on(const core_state& s, const request_row& r) {
  alike those(limits::message_devices_max);
  for (const auto& by : s.models[r.model].options) {
    if (by.removed_by != filter_id::passed || !may_serve(s, r, by.device)
        || may_take_over(s, r, by))
      continue;
    const auto& device = s.devices[by.device].spec;
    those.add(device.id.value, device.capability.runtime.resume == resume_support::none
                                   ? "cannot continue a stream begun elsewhere"
                                   : "runs another quantisation or template");
  }
  return those.told();
}

/// Whether anybody could go on with its text, had nobody failed it.
bool any_goes_on(const core_state& s, request_row r) {
  r.excluded.clear();
  return possible_for(s, r);
}

/// Whether one that failed it is worth asking again.
bool asks_again(const core_state& s, const request_row& r) {
  auto forgiven = r;
  forgiven.excluded.clear();
  const auto& options = s.models[r.model].options;
  return std::any_of(options.begin(), options.end(), [&](const option& by) {
    return by.removed_by == filter_id::passed && may_take_over(s, forgiven, by)
           && std::find(r.excluded.begin(), r.excluded.end(), by.device) != r.excluded.end();
  });
}

/// What keeps a device that is there from taking the selector's work; empty = nothing.
std::string unfit_words(const core_state& s, index selector, index device) {
  const auto& one = s.devices[device];
  const auto& node = s.nodes[one.node];
  if (!one.present || !node.alive)
    return {};
  if (one.reading.health == device_health::unhealthy)
    return "is unhealthy"
           + (one.reading.health_reason.empty() ? "" : ": " + one.reading.health_reason);
  if (!one.stopped() && !node.stopped()) {
    candidate_facts facts;
    facts.health_reason = one.reading.health_reason;
    return unsteady_for(s, selector, device) ? filters::steady::reason(facts) : std::string();
  }
  const auto& why = one.stopped() ? one.hold_reason : node.hold_reason;
  return std::string(one.draining || node.empties() ? "is draining" : "is cordoned")
         + (why.empty() ? "" : ": " + why);
}

/// What it waits for when nothing that may serve it is loaded.
wait_words prospects_of(const core_state& s, const request_row& r, const outlook& seen,
                        time_us now) {
  const auto& model = s.models[r.model];
  std::vector<prospect> those;
  if (seen.options_made == model.options_made)
    std::copy_if(
        seen.prospects.begin(), seen.prospects.end(), std::back_inserter(those),
        [&](const prospect& one) { return may_take_over(s, r, model.options[one.option]); });
  those = affordable(s, r.model, std::move(those));
  const prospect* first = nullptr;
  for (const auto& one : those)
    if (one.ready_at != 0 && (first == nullptr || one.ready_at < first->ready_at))
      first = &one;
  if (first != nullptr) {
    const auto& by = model.options[first->option];
    const char* state = first->compiling ? "compiling" : "loading";
    return {state,
            std::string(state) + " for " + s.devices[by.device].spec.id.value + fetch_words(s, by)
                + failed_before(s, r.model, by).words,
            eta_known(s, by, now) ? now + setup_left(*first, now) : 0};
  }
  if (!those.empty()) {
    auto words = held_up_words(s, r.model, those, now);
    words.reason += kept_out_words(s, r.model, those) + latest_failure(s, r.model, those);
    words.again_at = next_try_at(s, r.model, those);
    return words;
  }
  if (r.excluded.size() > r.shunned.size() && asks_again(s, r))
    return {"queued", "no other device may take it over now: what failed it is asked again later",
            r.excluded_until};
  auto held = held_back(s, r.model, r.selector, now);
  if (held.reason.empty())
    held = spent_for(s, r.model, r.selector, now);
  if (held.reason.empty())
    held.reason = led_elsewhere(s, r.model, r.selector);
  if (!held.reason.empty())
    return held;
  return {"queued",
          (r.emitted > 0 ? "no device that may go on with it is up"
                         : "no device that may serve it is up")
              + unfit_devices(s, r.model, r.selector),
          0};
}

} // namespace

duration_us time_left(time_us at, time_us now) {
  return std::clamp<duration_us>(at - now, 0, limits::told_span_us_max);
}

std::string unfit_devices(const core_state& s, index model, index selector) {
  constexpr std::size_t reasons_max = 4; // Who waits is told this again and again.
  alike unfit(reasons_max);
  for (const auto& by : s.models[model].options) {
    if (by.removed_by != filter_id::passed || s.selectors[selector].matches[by.device] == 0)
      continue;
    if (auto words = unfit_words(s, selector, by.device); !words.empty())
      unfit.add(s.devices[by.device].spec.id.value, std::move(words));
  }
  return unfit.empty() ? std::string() : ": " + unfit.told();
}

std::string breaker_words(const core_state& s, const pair_state& pair, time_us now) {
  const auto& fuse = pair.fuse;
  const bool open = fuse.state() == breaker_state::open;
  const auto failures = fuse.failures();
  return "the breaker for " + s.models[pair.model].spec.name.value + " on "
         + s.devices[pair.device].spec.id.value + " is " + std::string(word(fuse.state()))
         + " after " + std::to_string(failures) + (failures == 1 ? " failure" : " failures")
         + (pair.fault_error.empty() ? "" : ": " + pair.fault_error)
         + (open ? "; it is tried again in "
                       + format_duration(std::max<duration_us>(fuse.retry_at() - now, 1))
                 : "; one request at a time tries it");
}

/// That it says itself that it is full, or that its server does not listen just now: no word of
/// either that would be wrong of the other.
std::string full_words(const core_state& s, const pair_state& pair, time_us now) {
  const auto until = pair.room.until();
  return s.devices[pair.device].spec.id.value + " takes nothing more for "
         + s.models[pair.model].spec.name.value
         + (pair.full_error.empty() ? "" : ": " + pair.full_error)
         + (until > now ? "; it is asked again in " + format_duration(until - now)
                        : "; it is asked again when it says that it has room");
}

namespace {

/// What is known of the model on each device of the selector that would take its work now.
template <class See>
void see_pairs(const core_state& s, index model, index selector, See&& see) {
  const auto& matches = s.selectors[selector].matches;
  for (const auto& by : s.models[model].options) {
    const auto known = s.models[model].pairs.find(by.device);
    if (known != s.models[model].pairs.end() && by.removed_by == filter_id::passed
        && takes_work(s, by.device) && by.device < matches.size() && matches[by.device] != 0)
      see(s.pairs[known->second]);
  }
}

/// When its breaker lets one through; never, as far as is known, while one is through.
time_us opens_at(const pair_state& pair) {
  return pair.fuse.state() == breaker_state::open ? pair.fuse.retry_at()
                                                  : std::numeric_limits<time_us>::max();
}

} // namespace

wait_words held_back(const core_state& s, index model, index selector, time_us now) {
  const pair_state* full = nullptr;
  const pair_state* broken = nullptr;
  see_pairs(s, model, selector, [&](const pair_state& pair) {
    if (!pair.fuse.admits())
      broken = broken == nullptr || opens_at(pair) < opens_at(*broken) ? &pair : broken;
    else if (pair.room.full()
             && (full == nullptr || pair.room.expected(now) < full->room.expected(now)))
      full = &pair;
  });
  constexpr auto never = std::numeric_limits<time_us>::max();
  const auto opens = broken == nullptr ? never : opens_at(*broken);
  if (full != nullptr)
    return {"queued", full_words(s, *full, now), std::min(full->room.expected(now), opens)};
  if (broken == nullptr)
    return {};
  return {"queued", breaker_words(s, *broken, now), opens == never ? 0 : opens};
}

std::string spent_words(const core_state& s, time_us now) {
  return "the budget for remote APIs is used up for now; some of it is back in "
         + format_duration(std::max<duration_us>(remote_back_at(s) - now, 1));
}

wait_words spent_for(const core_state& s, index model, index selector, time_us now) {
  if (!remote_spent(s))
    return {};
  const auto& matches = s.selectors[selector].matches;
  const auto& options = s.models[model].options;
  const bool any = std::any_of(options.begin(), options.end(), [&](const option& by) {
    return by.removed_by == filter_id::passed && matches[by.device] != 0 && is_remote(s, by.device)
           && takes_work(s, by.device);
  });
  return any ? wait_words{"queued", spent_words(s, now), remote_back_at(s)} : wait_words{};
}

std::vector<prospect> affordable(const core_state& s, index model, std::vector<prospect> among) {
  if (remote_spent(s))
    std::erase_if(among, [&](const prospect& one) {
      return is_remote(s, s.models[model].options[one.option].device);
    });
  return among;
}

std::optional<std::int64_t> usable_wait_ns(core_state& s, index model, index selector,
                                           time_us now) {
  auto& endpoints = s.models[model].endpoints;
  const bool spent = remote_spent(s);
  if (!spent && !wants_steady(s, selector))
    return endpoints.least_wait_ns(now * 1000, s.selectors[selector].matches);
  return least_of(endpoints, now, [&](index place) {
    const auto device = endpoints.room(place).device;
    return s.selectors[selector].matches[device] != 0 && !(spent && is_remote(s, device))
           && !unsteady_for(s, selector, device);
  });
}

namespace {

/// Looks at it again when it no longer counts among those who serve soon.
void watch_room(core_state& s, index at) {
  const auto loads_at = s.pairs[at].room.since() + limits::full_loads_us;
  if (s.pairs[at].room.full() && loads_at > s.now)
    arm(s, loads_at, timer_kind::pair, at);
}

} // namespace

void judge_room(core_state& s, index at) {
  auto& pair = s.pairs[at];
  const auto& endpoints = s.models[pair.model].endpoints;
  bool any = false, shut = true;
  for (const auto instance : s.devices[pair.device].instances) {
    const auto& one = s.instances[instance];
    if (one.model != pair.model || one.devices.front() != pair.device || one.retiring)
      continue;
    any = any || !one.places.empty();
    shut = shut && std::all_of(one.places.begin(), one.places.end(), [&](index place) {
             return endpoints.at(place).shut;
           });
  }
  const bool was_full = pair.room.full();
  if (!any)
    pair.room = {};
  const bool turned = any && pair.room.reported(shut, s.now);
  if (!any || (turned && shut)) // It said that some other time, or was another.
    pair.full_error.clear();
  watch_room(s, at);
  if (pair.room.full() == was_full)
    return;
  refresh_device(s, pair.device);
  ++s.models[pair.model].releases;
  mark_dirty(s, pair.model);
}

void note_full(pass& p, const request_row& r, const std::string& why, duration_us wait_us) {
  auto& s = p.s;
  auto& at = endpoint_of(s, r);
  at.overloaded(p.now);
  auto& pair = s.pairs[at.pair];
  pair.full_error = cut_text(why, limits::fault_error_bytes_max);
  if (pair.room.refused(p.now, wait_us))
    p.tell(note::severity::info, s.devices[pair.device].spec.id.value, full_words(s, pair, p.now));
  if (pair.room.until() != 0)
    arm(s, pair.room.until(), timer_kind::pair, at.pair);
  watch_room(s, at.pair);
  refresh_device(s, pair.device);
}

bool only_full(const request_row& r) {
  return r.emitted == 0 && r.failure.action == recovery::retry_later;
}

bool has_failed(const request_row& r) {
  return r.attempt > 0 && !only_full(r);
}

ending turned_away(core_state& s, index slot, time_us now) {
  const auto& r = s.requests[slot];
  auto how = unavailable_ending(s, slot, now);
  how.reason.code = "turned_away";
  how.reason.message = "turned away " + std::to_string(r.issued) + " times, at last by "
                       + s.devices[r.last_device].spec.id.value + ": " + r.failure.message;
  return how;
}

bool eta_known(const core_state& s, const option& by, time_us now) {
  if (by.artifact == none || !s.artifacts[by.artifact].building)
    return true;
  return build_eta(s.compiles.at(s.artifacts[by.artifact].building), now).has_value();
}

namespace {

/// What the optional filters of its profile say of all who could serve it; empty while one passes,
/// or somebody is to come.
std::string barred_by_policy(const core_state& s, const request_row& r, const outlook& seen) {
  const auto& how = s.profiles[r.profile];
  const auto& model = s.models[r.model];
  if (!how.has_optional_filters() || std::strcmp(seen.state, "queued") != 0
      || !seen.prospects.empty())
    return {};
  const auto asked = filters_now(s, r) & ~required_filters;
  alike those(limits::message_devices_max);
  for (index place = 0; place < model.endpoints.size(); ++place) {
    const auto& room = model.endpoints.room(place);
    if (room.seq_free < 0 || !may_serve(s, r, room.device))
      continue;
    const auto facts = optional_facts(s, model, place);
    const auto refused = first_refusal(facts, asked);
    if (refused == filter_id::passed)
      return {};
    those.add(s.devices[room.device].spec.id.value,
              all_filters()[static_cast<std::size_t>(refused)].reason(facts));
  }
  return those.told();
}

} // namespace

wait_words why_waits(const core_state& s, const request_row& r, time_us now) {
  const auto& model = s.models[r.model];
  const auto seen = model.outlooks.find(r.selector);
  if (seen == model.outlooks.end())
    return {};
  if (auto chosen = chosen_wait(s, r, seen->second, now))
    return std::move(*chosen);
  if (const auto barred = barred_by_policy(s, r, seen->second); !barred.empty())
    return {"queued", "its policy " + s.profiles[r.profile].name.value
                          + " keeps it from all who could serve it: " + barred};
  // Of a crowd many may serve it, whatever it is.
  if (!particular(s, r) || is_crowd(model))
    return {seen->second.state, seen->second.reason, seen->second.eta_at, seen->second.again_at};
  if (const auto wait_ns = least_wait_ns(s, r, now))
    return {"queued",
            r.emitted > 0 ? "every endpoint that may go on with it is busy"
                          : "every endpoint that may serve it is busy",
            now + *wait_ns / 1000};
  return prospects_of(s, r, seen->second, now);
}

namespace {

/// What has to be made first of what the option lacks: its weights, or what is built from them.
/// Returns: none when somebody has it, or it needs none.
index lacking(const core_state& s, const option& by) {
  if (by.artifact == none || !s.artifacts[by.artifact].copies.empty())
    return none;
  const auto weights = missing_weights(s, s.artifacts[by.artifact]);
  return weights == none ? by.artifact : weights;
}

/// The nodes that could make it, all of which make as many others as they may; empty when one of
/// them could begin now, or none is up.
std::vector<index> full_makers(const core_state& s, const build_profile& profile) {
  std::vector<index> full;
  for (const auto& [name, at] : s.node_names) {
    const auto& node = s.nodes[at];
    if (!node.alive || node.suspect || node.stopped()
        || std::find(node.toolchains.begin(), node.toolchains.end(), profile)
               == node.toolchains.end())
      continue;
    if (node.compiles < limits::compiles_per_node_max)
      return {};
    full.push_back(at);
  }
  return full;
}

/// Why what is lacking is not being made; empty when that is not what is waited for.
std::string held_up(const core_state& s, index at, time_us now) {
  if (at == none)
    return {};
  const auto& entry = s.artifacts[at];
  const bool fetched = is_weights(entry.key.profile);
  if (entry.building)
    return fetched ? "its weights have to come first" : std::string();
  if (entry.retry_at > now)
    return std::string(fetched ? "its download" : "its build") + " has to be tried again";
  const auto full = full_makers(s, entry.key.profile);
  if (full.empty())
    return device_wait_words(s, entry);
  std::uint32_t others = 0;
  for (const auto node : full)
    others += s.nodes[node].compiles;
  return std::string(fetched ? "its download" : "its build") + " waits for "
         + std::to_string(others) + " others on "
         + (full.size() == 1 ? s.nodes[full.front()].id.value
                             : std::to_string(full.size()) + " nodes");
}

} // namespace

std::string fetch_words(const core_state& s, const option& by) {
  const auto at = lacking(s, by);
  if (at == none || !s.artifacts[at].building || !is_weights(s.artifacts[at].key.profile))
    return {};
  const auto& fetch = s.compiles.at(s.artifacts[at].building);
  return "; " + s.nodes[fetch.node].id.value + " fetches its weights, "
         + std::to_string(fetch.done_pm / 10) + " % so far";
}

wait_words held_up_words(const core_state& s, index model, const std::vector<prospect>& among,
                         time_us now) {
  std::string first;
  // Many devices lack the same, and who could make it takes a look at all nodes.
  std::vector<index> known;
  for (const auto& one : among) {
    const auto& by = s.models[model].options[one.option];
    const auto at = lacking(s, by);
    if (std::find(known.begin(), known.end(), at) != known.end())
      continue;
    auto words = held_up(s, at, now);
    if (words.empty())
      return load_waits(s, model, among, now);
    if (first.empty())
      first = std::move(words) + fetch_words(s, by);
    known.push_back(at);
  }
  return {"queued", std::move(first)};
}

past_failure failed_before(const core_state& s, index model, const option& by) {
  auto at = lacking(s, by);
  if (at != none && s.artifacts[at].last_error.empty())
    at = by.artifact; // Its weights never failed to come.
  if (at != none && !s.artifacts[at].last_error.empty()) {
    const auto& entry = s.artifacts[at];
    return {(is_weights(entry.key.profile) ? "; the last fetch of its weights failed: "
                                           : "; the last build for it failed: ")
                + entry.last_error + next_try_words(s, entry, s.now),
            entry.retry_at};
  }
  if (by.artifact != none) {
    const auto& entry = s.artifacts[by.artifact];
    const auto fetch = entry.fetching.find(s.devices[by.device].node);
    if (fetch != entry.fetching.end() && fetch->second.failures > 0 && !entry.last_error.empty())
      return {"; the last " + entry.last_error, fetch->second.until};
  }
  const auto& pairs = s.models[model].pairs;
  const auto known = pairs.find(by.device);
  if (known == pairs.end() || s.pairs[known->second].load_failures == 0)
    return {};
  return {"; the last try on " + s.devices[by.device].spec.id.value
              + " failed: " + s.pairs[known->second].load_error,
          s.pairs[known->second].load_retry_at};
}

time_us next_try_at(const core_state& s, index model, const std::vector<prospect>& among) {
  time_us first = 0;
  for (const auto& one : among) {
    const auto at = failed_before(s, model, s.models[model].options[one.option]).again_at;
    if (at == 0)
      return 0;
    first = first == 0 ? at : std::min(first, at);
  }
  return first;
}

std::string latest_failure(const core_state& s, index model, const std::vector<prospect>& among) {
  const auto& row = s.models[model];
  std::string last;
  time_us latest = -1;
  for (const auto& one : among) {
    const auto& by = row.options[one.option];
    const auto pair = row.pairs.find(by.device);
    const auto at = pair == row.pairs.end() ? 0 : s.pairs[pair->second].load_failed_at;
    if (at <= latest)
      continue;
    auto those = failed_before(s, model, by);
    if (those.words.empty())
      continue;
    last = std::move(those.words);
    latest = at;
  }
  return last;
}

std::optional<time_us> all_rest_until(const core_state& s, index model, index selector,
                                      time_us now) {
  const auto& row = s.models[model];
  const auto seen = row.outlooks.find(selector);
  if (seen == row.outlooks.end() || seen->second.version != s.version
      || seen->second.prospects.empty() || now < s.returning_until)
    return std::nullopt;
  std::optional<time_us> again_at;
  for (const auto& one : seen->second.prospects) {
    const auto& by = row.options[one.option];
    const auto pair = row.pairs.find(by.device);
    if (one.ready_at != 0 || one.compiling || pair == row.pairs.end()
        || (by.artifact != none && s.artifacts[by.artifact].copies.empty()))
      return std::nullopt;
    const auto& tried = s.pairs[pair->second];
    if (tried.broken_loads < limits::load_tries_max || tried.load_retry_at <= now)
      return std::nullopt;
    again_at = std::min(again_at.value_or(tried.load_retry_at), tried.load_retry_at);
  }
  const bool any_ready = std::any_of(row.instances.begin(), row.instances.end(), [&](index at) {
    const auto& one = s.instances[at];
    return one.state == instance_state::ready
           && s.selectors[selector].matches[one.devices.front()] != 0;
  });
  return any_ready ? std::nullopt : again_at;
}

ending broken_ending(const core_state& s, index model, index selector, time_us again_at,
                     time_us now) {
  const auto& row = s.models[model];
  ending how{request_outcome::rejected, 503, {}, {}, "queued", {}, {}};
  alike loads(limits::message_devices_max);
  for (const auto& one : row.outlooks.at(selector).prospects) {
    const auto device = row.options[one.option].device;
    const auto& tried = s.pairs[row.pairs.at(device)];
    loads.add(s.devices[device].spec.id.value,
              std::to_string(tried.broken_loads) + " times in a row: " + tried.load_error);
  }
  how.retry_after_us
      = std::clamp(again_at - now, limits::retry_after_min_us, limits::retry_after_max_us);
  how.reason = {recovery::retry_later, "load_failed",
                "every device that could serve it failed to load it: " + loads.told()};
  return how;
}

ending gateway_502(const char* code, const std::string& what, const error& last) {
  ending how{request_outcome::failed, 502, {}, {}, {}, {}, {}};
  how.reason = {recovery::retry_later, code, what + ": " + last.message};
  return how;
}

ending nobody_left(const core_state& s, const request_row& r, const error& last) {
  auto why = r.emitted > 0 ? who_cannot_go_on(s, r) : std::string();
  if (!why.empty())
    why = " (" + why + ")";
  const auto who
      = r.last_device == none ? std::string("the device") : s.devices[r.last_device].spec.id.value;
  const auto what = who + (last.code == drained_code ? " takes no more work" : " failed");
  if (r.emitted > 0 && !any_goes_on(s, r))
    return gateway_502("not_resumable",
                       "text was already sent, and no device that it may use can go on with it"
                           + why + ": " + what,
                       last);
  return gateway_502("device_failed", what + " and no other could take over" + why, last);
}

ending nobody_in_time(core_state& s, index slot, time_us now) {
  const auto& r = s.requests[slot];
  update_outlook(s, r.model, r.selector, now);
  return gateway_502("device_failed",
                     "no other device took over in time (" + why_waits(s, r, now).reason + ")",
                     r.failure);
}

} // namespace consort::core
