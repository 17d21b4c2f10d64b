// SPDX-License-Identifier: Apache-2.0
#include "scheduler/caches.hpp"

#include <algorithm>
#include <string_view>

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

/// Of less, the end may be a part of an engine's block.
constexpr std::uint32_t telling_tokens = 64;

/// FNV-1a.
std::uint64_t hash_text(std::string_view text) {
  std::uint64_t made = 0xcbf29ce484222325U;
  for (const char c : text)
    made = (made ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
  return made;
}

/// Of the adapter that the request names; 0 = it names the model itself.
std::uint64_t adapter_salt(const model_spec& spec, const request_meta& meta) {
  if (spec.variants.empty())
    return 0;
  const auto& adapters = spec.variants.front().adapters;
  const bool named = std::any_of(adapters.begin(), adapters.end(),
                                 [&](const model_adapter& one) { return one.name == meta.model; });
  return named ? hash_text(meta.model.value) : 0;
}

/// Of one session those that begin alike. The session is nobody else's, so that this is, too.
std::uint64_t conversation_of(const request_row& r) {
  const auto& blocks = r.meta.prefix_blocks;
  return blocks.empty() ? r.session : mix(r.session ^ blocks.front());
}

/// Tokens by the engine's count as gateways estimate them, by what both say of the prompt. Where
/// one says more than twice what the other does, that is not the tokenizer: a part of it is no
/// text, or no part of the estimate.
std::uint32_t as_estimated(std::uint32_t tokens, const request_row& r, const token_usage& usage) {
  const std::uint64_t told = usage.prompt_tokens, estimated = r.size.prompt_tokens;
  const bool alike = told > 0 && told <= 2 * estimated && estimated <= 2 * told;
  const auto made = alike ? tokens * estimated / told : tokens;
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(made, limits::prompt_tokens_max));
}

/// Less than half of what its session adds to what hashes tell was there. Where the engine does not
/// say, or served no turn before, it stays as it was.
bool doubts(const core_state& s, const request_row& r, const session_turn& last,
            const token_usage& usage) {
  const auto& one = s.instances[r.instance];
  const auto said = last.repeated_in(r.size.prompt_tokens, r.meta.prefix_blocks);
  const auto known = r.saved - r.beyond;
  if (!one.cache.tells || last.instance != one.id || last.rank != r.rank
      || last.stamp < one.cache.since() || said < known + telling_tokens)
    return last.doubted;
  const std::uint64_t found = as_estimated(usage.cached_tokens, r, usage);
  return 2 * found < std::uint64_t{known} + said;
}

} // namespace

void name_cached(const model_spec& spec, request_row& r) {
  auto& meta = r.meta;
  if (meta.prefix_blocks.empty() && meta.session.empty())
    return;
  const auto salt = adapter_salt(spec, meta);
  if (salt != 0)
    for (auto& block : meta.prefix_blocks)
      block ^= salt;
  // Embeddings leave nothing that a next turn would begin with.
  if (meta.session.empty() || meta.kind == request_kind::embedding)
    return;
  r.session
      = mix(mix(mix(salt ^ r.model) ^ hash_text(meta.tenant.value)) ^ hash_text(meta.session));
}

session_claim claim_of(const core_state& s, const request_row& r) {
  const auto* last = s.sessions.find(conversation_of(r));
  if (last == nullptr || last->doubted)
    return {};
  const auto found = s.instance_ids.find(last->instance);
  if (found == s.instance_ids.end())
    return {};
  const auto& one = s.instances[found->second];
  if (one.model != r.model || last->rank >= one.places.size() || last->stamp < one.cache.since())
    return {};
  const auto tokens = last->repeated_in(r.size.prompt_tokens, r.meta.prefix_blocks);
  if (tokens == 0)
    return {};
  return {one.places[last->rank], tokens, 0, last->blocks};
}

void note_claim(core_state& s, request_row& r, index place) {
  r.beyond = r.saved > 0 && s.claimed.place == place ? std::min(s.claimed.beyond, r.saved) : 0;
  if (!r.meta.prefix_blocks.empty())
    return; // remember_prefix() follows.
  auto& one = s.instances[s.models[r.model].endpoints.at(place).instance];
  one.cache.age(s.now);
  one.cache.write(r.size.prompt_tokens - r.saved);
  write_price(s, one);
}

void remember_turn(core_state& s, const request_row& r, const token_usage& usage) {
  const auto& one = s.instances[r.instance];
  const auto& blocks = r.meta.prefix_blocks;
  const auto* before = s.sessions.find(conversation_of(r));
  session_turn now;
  now.instance = one.id;
  now.rank = r.rank;
  now.prompt_tokens = r.size.prompt_tokens;
  // A plan's answer is written where no prompt is read.
  if (!s.models[r.model].endpoints.at(r.place).plan)
    now.answer_tokens
        = as_estimated(usage.completion_tokens / std::max(r.meta.choices, 1U), r, usage);
  now.blocks = static_cast<std::uint32_t>(blocks.size());
  now.last_block = blocks.empty() ? 0 : blocks.back();
  now.stamp = one.cache.written;
  now.doubted = before != nullptr && doubts(s, r, *before, usage);
  s.sessions.remember(conversation_of(r), now);
}

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

namespace {

/// Of prompts that came there before it and have had no first token yet.
std::int64_t unread_tokens(const core_state& s, const request_row& r) {
  const auto& endpoints = s.models[r.model].endpoints;
  const auto place = endpoints.reads_at(r.place);
  const auto ahead_ns = endpoints.at(place).prefill_ahead_ns - r.held.prefill_ns;
  return ahead_ns / std::max<std::int64_t>(endpoints.pace(place).prefill_ns, 1);
}

} // namespace

void remember_prefix(core_state& s, request_row& r, const endpoint& at) {
  auto& cache = s.instances[at.instance].cache;
  r.saved_age = 0;
  std::uint32_t held = 0;
  for (const auto& match : s.matches) {
    held = std::max(held, match.blocks);
    if (r.saved == 0 || match.instance != at.id)
      continue;
    // What another is only about to read is not cached yet, which does not say that it was
    // forgotten.
    const auto age = static_cast<std::int64_t>(cache.written - match.stamp);
    r.saved_age = age > unread_tokens(s, r) ? age : cache_clock::unbounded;
  }
  if (r.session != 0)
    held = std::max(held, s.claimed.blocks);
  if (s.profiles[r.profile].follows_prefixes()) // Else nobody looked for who holds it.
    regret(s, r, held);
  cache.age(s.now);
  cache.write(r.size.prompt_tokens - r.saved);
  write_price(s, s.instances[at.instance]);
  s.prefixes.remember(r.meta.prefix_blocks, at.id, cache.written);
}

} // namespace consort::core
