// SPDX-License-Identifier: Apache-2.0
// Batch work makes room for interactive work that would wait for it. Engines are black boxes: an
// attempt is cancelled where it runs and resumed elsewhere, or there again later.
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

} // namespace

index make_place(pass& p, index slot) {
  auto& s = p.s;
  const auto& r = s.requests[slot];
  auto& model = s.models[r.model];
  if (r.meta.priority != priority_class::interactive || model.batch_running == 0)
    return none;
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
  failover how;
  how.failure = {recovery::retry_elsewhere, "preempted", "it made room for interactive work"};
  how.fault = false;
  how.revoke = true;
  how.counts = false;
  for (const auto each : yielding) {
    ++s.requests[each].preempted;
    ++s.counters.preemptions;
    fail_attempt(p, each, how);
  }
  return best;
}

} // namespace consort::core
