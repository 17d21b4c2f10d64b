// SPDX-License-Identifier: Apache-2.0
#include "scheduler/caches.hpp"

#include <algorithm>

namespace consort::core {

namespace {

/// Decisions see it once the places are refreshed.
void write_price(core_state& s, const instance_row& one) {
  for (const auto place : one.places)
    s.models[one.model].endpoints.at(place).forgets_pm = one.cache.forgets_pm();
}

/// Of its prompt's beginning, what nobody holds any more was forgotten too early by who had it
/// last. Neighbours are mostly of the same instance: it is looked up and written once for these.
void regret(core_state& s, const request_row& r, std::size_t held) {
  const auto& blocks = r.meta.prefix_blocks;
  const auto block = saved_tokens(r.size.prompt_tokens, 1, blocks.size());
  instance_id of;
  instance_row* last = nullptr;
  std::int64_t lost = 0;
  const auto charge = [&] {
    if (lost == 0)
      return;
    last->cache.age(s.now);
    last->cache.regretted += lost;
    write_price(s, *last);
    lost = 0;
  };
  s.prefixes.each_known(blocks, held, [&](instance_id id, std::uint64_t stamp) {
    if (id != of) {
      charge();
      of = id;
      const auto found = s.instance_ids.find(id);
      last = found == s.instance_ids.end() ? nullptr : &s.instances[found->second];
    }
    // There still, when its stamp is believed: too many others have the prompt's beginning.
    if (last != nullptr && stamp < last->cache.since())
      lost += block;
  });
  charge();
}

} // namespace

void age_next_cache(core_state& s, model_state& model) {
  auto& endpoints = model.endpoints;
  const auto behind = [&](index place) { return place + 1 < endpoints.size() ? place + 1 : 0; };
  model.aged_place = behind(model.aged_place);
  fetch_soon(endpoints.at(behind(model.aged_place))); // Its turn is next.
  fetch_soon(endpoints.pace(behind(model.aged_place)).forgets_pm);
  auto& at = endpoints.at(model.aged_place);
  // What is scored may be older than what is known: who forgot is not refreshed when it is found.
  const auto scored = endpoints.pace(model.aged_place).forgets_pm;
  if (at.instance == none || (scored == 0 && at.forgets_pm == 0))
    return;
  auto& cache = s.instances[at.instance].cache;
  cache.age(s.now);
  at.forgets_pm = cache.forgets_pm();
  if (at.forgets_pm != scored)
    endpoints.refresh(model.aged_place, s.pairs[at.pair].speed);
}

void remember_prefix(core_state& s, request_row& r, const endpoint& at) {
  auto& cache = s.instances[at.instance].cache;
  r.saved_age = 0;
  std::uint32_t held = 0;
  for (const auto& match : s.matches) {
    held = std::max(held, match.blocks);
    if (r.saved > 0 && match.instance == at.id)
      r.saved_age = static_cast<std::int64_t>(cache.written - match.stamp);
  }
  if (s.profiles[r.profile].follows_prefixes()) // Else nobody looked for who holds it.
    regret(s, r, held);
  cache.age(s.now);
  cache.write(r.size.prompt_tokens - r.saved);
  write_price(s, s.instances[at.instance]);
  s.prefixes.remember(r.meta.prefix_blocks, at.id, cache.written);
}

} // namespace consort::core
