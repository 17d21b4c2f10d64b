// SPDX-License-Identifier: Apache-2.0
// What engines' prefix caches hold and forget, as far as it can be told from what was sent to them.
#include "scheduler/modules.hpp"

#include <algorithm>

namespace consort::core {

namespace {

/// Of its prompt's beginning, what nobody holds any more was forgotten too early by who had it
/// last.
void regret(core_state& s, const request_row& r, std::size_t held) {
  const auto& blocks = r.meta.prefix_blocks;
  const auto block = saved_tokens(r.size.prompt_tokens, 1, blocks.size());
  s.prefixes.each_known(blocks, held, [&](instance_id id) {
    const auto found = s.instance_ids.find(id);
    if (found == s.instance_ids.end())
      return;
    auto& last = s.instances[found->second];
    last.cache.age(s.now);
    last.cache.regretted += block;
    for (const auto place : last.places)
      s.models[last.model].endpoints.at(place).forgets_pm = last.cache.forgets_pm();
  });
}

} // namespace

void age_next_cache(core_state& s, model_state& model) {
  auto& endpoints = model.endpoints;
  model.aged_place = model.aged_place + 1 < endpoints.size() ? model.aged_place + 1 : 0;
  auto& at = endpoints.at(model.aged_place);
  if (at.forgets_pm == 0 || at.instance == none)
    return;
  auto& cache = s.instances[at.instance].cache;
  cache.age(s.now);
  if (cache.forgets_pm() == at.forgets_pm)
    return;
  at.forgets_pm = cache.forgets_pm();
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
  for (const auto place : s.instances[at.instance].places)
    s.models[r.model].endpoints.at(place).forgets_pm = cache.forgets_pm();
  s.prefixes.remember(r.meta.prefix_blocks, at.id, cache.written);
}

} // namespace consort::core
