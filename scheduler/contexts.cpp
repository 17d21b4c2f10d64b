// SPDX-License-Identifier: Apache-2.0
#include "scheduler/contexts.hpp"

#include "scheduler/dispatch.hpp"
#include "scheduler/replica_bounds.hpp"

#include <algorithm>
#include <limits>
#include <vector>

namespace consort::core {

namespace {

constexpr auto unlimited = std::numeric_limits<std::int64_t>::max();

/// The bound on prompts that the request's exceeds, with what it has written so far: whoever goes
/// on reads that, too. 0 = none.
std::uint32_t exceeded_by(const core_state& s, const request_row& r, index instance) {
  const auto most = instance == none ? 0 : s.instances[instance].runtime.prompt_tokens;
  return std::int64_t{r.size.prompt_tokens} + r.emitted > most ? most : 0;
}

std::int64_t told_by(const core_state& s, const request_row& r, index instance) {
  const auto tokens = instance == none ? 0 : s.instances[instance].runtime.context_tokens;
  const auto context = tokens == 0 ? unlimited : std::int64_t{tokens};
  if (exceeded_by(s, r, instance) == 0)
    return context;
  return std::min(context, std::max(std::int64_t{r.size.prompt_tokens}, std::int64_t{1}));
}

bool same_kind(const device_spec& one, const device_spec& other) {
  return one.plugin == other.plugin && one.model == other.model && one.type == other.type;
}

/// One device of each kind that the model is loaded on.
std::vector<const device_spec*> kinds_of(const core_state& s, const model_state& model) {
  std::vector<const device_spec*> kinds;
  for (const auto at : model.instances) {
    const auto& device = s.devices[s.instances[at].devices.front()].spec;
    if (s.instances[at].state == instance_state::ready
        && std::none_of(kinds.begin(), kinds.end(),
                        [&](const auto* one) { return same_kind(*one, device); }))
      kinds.push_back(&device);
  }
  return kinds;
}

/// Where the model is not loaded yet. Devices of one kind run it with one context, so another like
/// those where it is loaded has no more; nor does anybody wait for one that fails to load it.
bool may_have_more(const core_state& s, const model_state& model, const option& by,
                   const std::vector<const device_spec*>& loaded) {
  const auto pair = model.pairs.find(by.device);
  const bool fails = pair != model.pairs.end() && s.pairs[pair->second].load_failures > 0;
  return by.removed_by == filter_id::passed && takes_work(s, by.device) && !fails
         && std::none_of(loaded.begin(), loaded.end(), [&](const auto* one) {
              return same_kind(*one, s.devices[by.device].spec);
            });
}

/// Its prompt, as estimated, and the answer that it asks for; at least one token of that. What is
/// to be embedded may be many texts, each of which has a context of its own.
std::int64_t tokens_of(const request_row& r) {
  if (r.meta.kind == request_kind::embedding)
    return 0;
  return std::int64_t{r.size.prompt_tokens} + std::max(r.meta.max_tokens, 1U);
}

/// Beyond it an engine ends an answer, and need not refuse it.
std::int64_t own_context(const model_state& model) {
  std::uint32_t context = 0;
  for (const auto& variant : model.spec.variants) {
    if (variant.context_tokens == 0)
      return unlimited;
    context = std::max(context, variant.context_tokens);
  }
  return context == 0 ? unlimited : std::int64_t{context};
}

/// Who stays here for now may go to others later, unless nobody ever may.
bool could_serve(const core_state& s, const request_row& r, index device) {
  return s.config.remote == remote_use::never ? may_serve(s, r, device)
                                              : may_serve_away(s, r, device);
}

/// The most that anybody has who may serve it.
std::int64_t largest_context(const core_state& s, const request_row& r) {
  const auto& model = s.models[r.model];
  const auto least = least_kv(s, r);
  std::int64_t largest = 0;
  for (index place = 0; place < model.endpoints.size(); ++place) {
    const auto& at = model.endpoints.at(place);
    if (at.instance != none && could_serve(s, r, at.device) && takes_work(s, at.device)
        && model.endpoints.room(place).kv_all >= least && (r.emitted == 0 || may_resume(s, r, at)))
      largest = std::max(largest, context_of(s, r, at));
  }
  if (largest == unlimited || largest == 0)
    return unlimited;
  const auto replicas_max = model.spec.replicas_max;
  if (replicas_max != 0 && count_of(s, model).serving >= replicas_max)
    return largest;
  const auto loaded = kinds_of(s, model);
  const bool more = std::any_of(model.options.begin(), model.options.end(), [&](const option& by) {
    return could_serve(s, r, by.device) && (r.emitted == 0 || may_take_over(s, r, by))
           && may_have_more(s, model, by, loaded);
  });
  return more ? unlimited : largest;
}

} // namespace

std::int64_t context_of(const core_state& s, const request_row& r, const endpoint& at) {
  auto least = told_by(s, r, at.instance);
  for (const auto stage : {at.reads_at, at.writes_at})
    if (stage != none)
      least = std::min(least, told_by(s, r, s.models[r.model].endpoints.at(stage).instance));
  return least;
}

std::uint32_t short_prompt_of(const core_state& s, const request_row& r, const endpoint& at) {
  auto most = exceeded_by(s, r, at.instance);
  for (const auto stage : {at.reads_at, at.writes_at})
    if (stage != none && most == 0)
      most = exceeded_by(s, r, s.models[r.model].endpoints.at(stage).instance);
  return most;
}

bool exceeds_smallest(const model_state& model, const request_row& r) {
  return tokens_of(r) > model.context_smallest && own_context(model) > model.context_smallest;
}

std::int64_t least_context(const core_state& s, const request_row& r) {
  const auto& model = s.models[r.model];
  if (!asks_context(model, r))
    return std::min(tokens_of(r), model.context_smallest);
  return std::min({tokens_of(r), own_context(model), largest_context(s, r)});
}

} // namespace consort::core
