// SPDX-License-Identifier: Apache-2.0
// Who waits by choice, although somebody could begin it: for which device, and until when. In a
// crowd most who wait do, each for another device, so that the words are made once, in one piece.
#include "scheduler/modules.hpp"
#include "scheduler/picks.hpp"
#include "scheduler/waiting.hpp"

#include <cstring>
#include <optional>
#include <string_view>

namespace consort::core {

namespace {

/// Where the device serves the model; none when it does not.
index open_place(const core_state& s, index model, index device) {
  index open = none;
  each_place_on(s, model, device, [&](index place) {
    if (open == none && s.models[model].endpoints.room(place).seq_free >= 0)
      open = place;
  });
  return open;
}

/// Without words; nothing when it does not wait by choice, or when that is over.
std::optional<wait_words> own_choice(const core_state& s, const request_row& r, const outlook& seen,
                                     time_us now) {
  const auto& model = s.models[r.model];
  if (r.held_for == none)
    return std::nullopt;
  wait_words made;
  made.awaited.device = r.held_for;
  if (seen.options_made == model.options_made)
    for (const auto at : seen.coming) {
      const auto& one = seen.prospects[at];
      const auto& by = model.options[one.option];
      if (by.device != r.held_for)
        continue;
      made.awaited.lacks = one.compiling ? awaited_device::lack::build : awaited_device::lack::load;
      made.eta_at = eta_known(s, by, now) ? now + setup_left(one, now) : 0;
      return made;
    }
  const auto place = open_place(s, r.model, r.held_for);
  if (place == none)
    return std::nullopt;
  const auto& pace = model.endpoints.pace(place);
  const bool crowded = model.endpoints.at(place).seq_used >= model.endpoints.room(place).slots;
  made.eta_at = now + (queue_left(pace, now * 1000) + (crowded ? room_in(pace) : 0)) / 1000;
  return made;
}

} // namespace

std::string awaited_words(const core_state& s, const awaited_device& awaited) {
  using lack = awaited_device::lack;
  const std::string_view begin
      = awaited.behind ? "behind others, of whom the first waits for " : "waits for ";
  const std::string_view state = awaited.lacks == lack::build  ? ", for which it is being compiled"
                                 : awaited.lacks == lack::load ? ", which is loading"
                                                               : ", which is busy";
  constexpr std::string_view why = ": sooner done there than by whoever could begin now";
  const auto& name = s.devices[awaited.device].spec.id.value;
  std::string words;
  words.reserve(begin.size() + name.size() + state.size() + why.size());
  return words.append(begin).append(name).append(state).append(why);
}

std::optional<wait_words> chosen_wait(const core_state& s, const request_row& r,
                                      const outlook& seen, time_us now) {
  if (std::strcmp(seen.state, "queued") != 0)
    return std::nullopt;
  auto made = own_choice(s, r, seen, now);
  if (!made) {
    const auto first = s.models[r.model].queue.head(lane_of(s, r), false, {});
    if (!first || s.requests[first->who.slot].sequence == r.sequence)
      return std::nullopt;
    made = own_choice(s, s.requests[first->who.slot], seen, now);
    if (!made)
      return std::nullopt;
    made->awaited.behind = true;
  }
  made->reason = awaited_words(s, made->awaited);
  return made;
}

} // namespace consort::core
