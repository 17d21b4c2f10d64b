// SPDX-License-Identifier: Apache-2.0
// Batch work makes room for interactive work that would wait for it. Engines are black boxes: an
// attempt is cancelled where it runs and resumed elsewhere, or there again later.
#include "scheduler/preemption.hpp"

#include "scheduler/modules.hpp"

#include <algorithm>
#include <tuple>

namespace consort::core {

namespace {

/// Who waited so long that its turn came before every class keeps it.
bool may_yield(const request_row& r, const instance_row& one) {
  const bool begun = r.tokens > 0 || r.emitted > 0;
  const bool aged = r.granted_at - r.waiting_since > limits::starvation_us;
  return r.meta.priority == priority_class::batch && !aged && r.preempted < limits::preemptions_max
         && (r.phase == request_phase::running || r.phase == request_phase::ticketed)
         && (!begun || (r.meta.resumable && one.runtime.resume != resume_support::none));
}

/// Attempts that give the request its room there, least work lost first; empty when there are not
/// enough.
std::vector<index> who_yields(const core_state& s, const endpoint& at, const reservation& need) {
  const auto& one = s.instances[at.instance];
  std::vector<std::tuple<std::uint32_t, std::uint64_t, index>> order;
  for (const auto slot : one.attempts) {
    const auto& r = s.requests[slot];
    if (r.rank == at.rank && may_yield(r, one))
      order.emplace_back(r.tokens, ~r.sequence, slot);
  }
  std::sort(order.begin(), order.end());
  std::uint64_t sequences = at.seq_used + at.foreign();
  std::uint64_t kv = at.kv_used;
  const auto fits_now = [&] {
    return sequences + need.sequences <= at.seq_max
           && (at.kv_max == 0 || kv + std::min(need.kv_tokens, at.kv_max) <= at.kv_max);
  };
  std::vector<index> slots;
  for (const auto& [tokens, sequence, slot] : order) {
    if (fits_now())
      break;
    sequences -= s.requests[slot].held.sequences;
    kv -= s.requests[slot].held.kv_tokens;
    slots.push_back(slot);
  }
  if (!fits_now())
    slots.clear();
  return slots;
}

/// Somebody would wait there long enough, and some of what he would wait for can be stopped.
bool worth_it(const core_state& s, const model_state& model, const request_row& r, index place) {
  const auto& at = model.endpoints.at(place);
  return at.open && at.batch_used > 0 && s.instances[at.instance].runtime.cancel
         && model.endpoints.pace(place).queue_ns / 1000 >= limits::preempt_wait_us_min && !at.plan
         && may_serve(s, r, at.device) && (r.emitted == 0 || may_resume(s, r, at));
}

/// So that whoever asks is told why there was another attempt.
void record_stop(core_state& s, const request_row& r, const request_row& urgent) {
  auto* entry = s.explained.find(r.explained, r.sequence);
  if (entry == nullptr)
    return;
  const bool raced = r.is_hedge || r.twin != none;
  const auto words = "attempt " + std::to_string(r.attempt) + " on "
                     + s.devices[r.last_device].spec.id.value + " was stopped for request "
                     + urgent.meta.external_id + ", which is interactive and would have waited; "
                     + (raced ? "the one beside it goes on" : "it goes on later");
  auto& record = s.explained.add(*entry);
  record.at = s.now;
  record.outcome = preempted_word;
  record.profile = r.profile;
  record.scored_by = static_cast<std::uint8_t>(r.profile);
  record.size = r.size;
  record.reason = s.explained.kept(words);
  s.explained.keep(*entry, record, {});
  s.explained.prepare(*entry, candidates_kept(s.models[r.model])); // Another ticket follows.
}

/// For the explanation of whom they make room for. Requires: they still run.
std::string words_of(const core_state& s, index device, const std::vector<index>& yielding) {
  auto words = "stopped " + std::to_string(yielding.size())
               + (yielding.size() == 1 ? " batch request" : " batch requests") + " on "
               + s.devices[device].spec.id.value + " to begin at once, to go on later: ";
  const auto named = std::min(yielding.size(), limits::preempted_told_max);
  for (std::size_t at = 0; at < named; ++at)
    words += (at == 0 ? "" : ", ") + s.requests[yielding[at]].meta.external_id;
  if (named < yielding.size())
    words += " and " + std::to_string(yielding.size() - named) + " more";
  return words;
}

} // namespace

freed_place make_place(pass& p, index slot) {
  auto& s = p.s;
  const auto& r = s.requests[slot];
  auto& model = s.models[r.model];
  if (r.meta.priority != priority_class::interactive || model.batch_running == 0)
    return {};
  const auto need = reservation_for(s, r, 0);
  index best = none;
  std::vector<index> yielding;
  for (index place = 0; place < model.endpoints.size(); ++place) {
    if (!worth_it(s, model, r, place))
      continue;
    const auto& pace = model.endpoints.pace(place);
    const auto speed = [&](const endpoint_figures& one) {
      return std::int64_t{r.size.prompt_tokens} * one.prefill_ns
             + std::int64_t{r.size.output_tokens} * one.itl_ns;
    };
    if (best != none && speed(pace) >= speed(model.endpoints.pace(best)))
      continue;
    auto those = who_yields(s, model.endpoints.at(place), need);
    if (those.empty())
      continue;
    best = place;
    yielding = std::move(those);
  }
  if (best == none)
    return {};
  freed_place made{best, words_of(s, model.endpoints.at(best).device, yielding)};
  failover how;
  how.failure = {recovery::retry_elsewhere, preempted_word, "it made room for interactive work"};
  how.fault = false;
  how.revoke = true;
  how.counts = false;
  for (const auto each : yielding) {
    ++s.requests[each].preempted;
    ++s.counters.preemptions;
    record_stop(s, s.requests[each], r);
    fail_attempt(p, each, how);
  }
  return made;
}

} // namespace consort::core
