// SPDX-License-Identifier: Apache-2.0
#include "scheduler/wanting.hpp"

#include "scheduler/modules.hpp"
#include "scheduler/policy_bars.hpp"

#include <algorithm>
#include <set>

namespace consort::core {

namespace {

std::uint32_t waiting_for(const model_state& model, index selector) {
  std::size_t count = 0;
  for (const auto& [key, lane] : model.queue.lanes())
    if (key.selector == selector)
      count += lane.by_age.size();
  return static_cast<std::uint32_t>(count);
}

/// Text of it was sent, and few can go on with that.
bool is_stream(const request_row& r) {
  return r.emitted > 0;
}
/// Fewer may serve it than what it asks for says.
bool was_narrowed(const request_row& r) {
  return is_stream(r) || was_failed(r);
}

template <class Are>
wanting those_who(const Are& are, const core_state& s, const model_state& model, index selector) {
  wanting those{selector, none, 0};
  for (const auto slot : model.again) {
    if (s.requests[slot].selector != selector || !are(s.requests[slot]))
      continue;
    those.first = those.first == none ? slot : those.first;
    ++those.waiting;
  }
  return those;
}

/// Those whom a device failed, of those who ask for that.
wanting failed_of(std::uint32_t asks, const core_state& s, const model_state& model,
                  index selector) {
  return those_who([&](const request_row& r) { return was_failed(r) && r.apart == asks; }, s, model,
                   selector);
}

/// All that wait for what they ask for. The first is one that all who answer it may serve, if such
/// a one is among those who wait longest.
wanting those_apart(std::uint32_t asks, const core_state& s, const model_state& model,
                    index selector) {
  wanting those{selector, none, 0};
  for (const auto& [key, lane] : model.queue.lanes()) {
    if (key.selector != selector || key.asks != asks)
      continue;
    those.waiting += lane.by_age.size();
    std::size_t seen = 0;
    for (const auto& [age, who] : lane.by_age) {
      if (seen++ == limits::lane_bypass_max
          || (those.first != none && !was_narrowed(s.requests[those.first])))
        break;
      if (those.first == none || !was_narrowed(s.requests[who.slot]))
        those.first = who.slot;
    }
  }
  return those;
}

/// What those in lanes of their own ask for, in order.
std::set<std::uint32_t> asked_apart(const model_state& model, index selector) {
  std::set<std::uint32_t> asked;
  for (const auto& [key, lane] : model.queue.lanes())
    if (key.selector == selector && key.asks != 0)
      asked.insert(key.asks);
  return asked;
}

/// What says for a moment that it is full is no reason to load the model elsewhere.
bool serves_soon(const core_state& s, const endpoint& one) {
  if (one.open || one.instance == none)
    return one.open;
  const auto& pair = s.pairs[one.pair];
  return s.instances[one.instance].state == instance_state::ready
         && !s.instances[one.instance].retiring && takes_work(s, one.device) && pair.fuse.admits()
         && pair.room.full() && s.now - pair.room.since() < limits::full_loads_us;
}

bool may_continue(const core_state& s, const request_row& r, const endpoint& at) {
  return may_serve(s, r, at.device) && (r.emitted == 0 || may_resume(s, r, at));
}

} // namespace

who_want who_waits(const core_state& s, const model_state& model, index selector) {
  who_want all;
  all.streams = those_who(is_stream, s, model, selector);
  const std::uint64_t waiting = waiting_for(model, selector);
  const auto plain_stream = [](const request_row& r) { return is_stream(r) && r.apart == 0; };
  auto elsewhere = those_who(plain_stream, s, model, selector).waiting;
  for (const auto asks : asked_apart(model, selector)) {
    all.apart.push_back(
        {asks, those_apart(asks, s, model, selector), failed_of(asks, s, model, selector)});
    elsewhere += all.apart.back().all.waiting;
  }
  all.others = {selector, none, waiting - std::min(waiting, elsewhere)};
  all.failed = failed_of(0, s, model, selector);
  return all;
}

std::uint64_t serving_sequences(const core_state& s, const model_state& model,
                                const wanting& those) {
  std::uint64_t sequences = 0;
  const bool stays = remote_barred(s);
  for (index at = 0; at < model.endpoints.size(); ++at) {
    const auto& one = model.endpoints.at(at);
    if (!serves_soon(s, one) || s.selectors[those.selector].matches[one.device] == 0
        || (stays && one.remote) || unsteady_for(s, those.selector, one.device))
      continue;
    if (those.first == none || may_continue(s, s.requests[those.first], one))
      sequences += model.endpoints.room(at).slots;
  }
  return sequences;
}

bool may_help(const core_state& s, const model_state& model, const instance_row& one,
              const wanting& those) {
  return s.selectors[those.selector].matches[one.devices.front()] != 0
         && !unsteady_for(s, those.selector, one.devices.front())
         && (those.first == none
             || std::any_of(one.places.begin(), one.places.end(), [&](index place) {
                  return may_continue(s, s.requests[those.first], model.endpoints.at(place));
                }));
}

time_us oldest_wait(const model_state& model, index selector) {
  time_us oldest = 0;
  for (const auto& [key, lane] : model.queue.lanes())
    if (const auto since = lane.by_age.begin()->second.since;
        key.selector == selector && (oldest == 0 || since < oldest))
      oldest = since;
  return oldest;
}

bool any_stranded(const core_state& s, const model_state& model, index selector) {
  for (const auto& [key, lane] : model.queue.lanes()) {
    if (key.selector != selector)
      continue;
    std::size_t seen = 0;
    for (const auto& [age, who] : lane.by_age) {
      if (seen++ == limits::lane_bypass_max)
        break;
      if (stranded(s, s.requests[who.slot]))
        return true;
    }
  }
  return false;
}

} // namespace consort::core
