// SPDX-License-Identifier: Apache-2.0
// One step: what was due, then what happened, then one pass of decisions.
#include "scheduler/core.hpp"

#include "scheduler/crowds.hpp"
#include "scheduler/handlers.hpp"
#include "scheduler/resting_weights.hpp"
#include "scheduler/spending.hpp"

#include <algorithm>
#include <limits>
#include <tuple>

namespace consort::core {

namespace {

constexpr int settle_rounds_max = 16; ///< Of one step; what is left waits for the next.

void fire(pass& p, const timer& due) {
  const auto row = static_cast<index>(due.who);
  switch (due.kind) {
  case timer_kind::lease: return check_lease(p, row);
  case timer_kind::allocation: return check_allocation(p, allocation_id{due.who});
  case timer_kind::instance: return check_instance(p, row);
  case timer_kind::compile: return check_compile(p, compile_id{due.who});
  case timer_kind::pair: return check_pair(p, row);
  case timer_kind::fetch: return check_fetch(p, row);
  case timer_kind::gateway: return check_gateway(p, row);
  case timer_kind::drain_node: return check_drained_node(p, row);
  case timer_kind::drain_device: return check_drained_device(p, row);
  case timer_kind::withdraw: return check_withdrawn(p, row);
  case timer_kind::found: return judge_found(p);
  case timer_kind::trust: return refresh_node(p, row);
  case timer_kind::look: p.s.looking = false; return look_later(p);
  case timer_kind::model: p.s.models[row].placed_version = 0; return mark_dirty(p.s, row);
  }
}

void run_timers(pass& p) {
  while (!p.s.timers.empty() && p.s.timers.first().at <= p.now)
    fire(p, p.s.timers.take_first());
}

void run_dues(pass& p) {
  for (auto first = p.s.dues.first(); first && first->at <= p.now; first = p.s.dues.first())
    check_request(p, first->who);
}

void tell_newcomers(pass& p) {
  auto& waiting = p.s.newcomers;
  for (const auto slot : waiting)
    if (p.s.requests.holds(slot) && p.s.requests[slot].told == nullptr)
      tell_waiting(p, slot);
  waiting.clear();
}

/// Since when; never when nobody waits.
time_us oldest_waiting(const model_state& model) {
  auto oldest = std::numeric_limits<time_us>::max();
  for (const auto& [key, lane] : model.queue.lanes())
    oldest = std::min(oldest, lane.by_age.begin()->second.since);
  return oldest;
}

} // namespace

void settle(pass& p) {
  auto& s = p.s;
  if (s.dirty_models.empty() && s.newcomers.empty())
    return;
  for (int round = 0; round < settle_rounds_max && !s.dirty_models.empty(); ++round) {
    auto& models = s.settling_models;
    models.swap(s.dirty_models);
    s.dirty_models.clear();
    // What waits longest is looked at first: two models may want the same device.
    std::sort(models.begin(), models.end(), [&](index one, index other) {
      return std::tuple(oldest_waiting(s.models[one]), one)
             < std::tuple(oldest_waiting(s.models[other]), other);
    });
    for (const auto model : models)
      s.models[model].dirty = false;
    for (const auto model : models) {
      run_queue(p, model);
      place(p, model);
      relieve(p, model);
    }
  }
  tell_newcomers(p);
}

void on(pass&, const tick&) {}

struct core::state {
  explicit state(core_config config) : all(std::move(config)) {}
  core_state all;
};

core::core(core_config config) : state_(std::make_unique<state>(std::move(config))) {}
core::~core() = default;

void core::step(const event& happened, time_us now, std::vector<command>& out) {
  auto& s = state_->all;
  assert(now >= s.now);
  s.now = std::max(now, s.now);
  pass p{s, s.now, out};
  make_up_for_pause(p);
  run_timers(p);
  run_dues(p);
  std::visit([&](const auto& e) { on(p, e); }, happened);
  settle(p);
  // Whoever asked for now or never has had its chance.
  run_dues(p);
  settle(p);
}

std::optional<time_us> core::next_deadline() const {
  const auto& s = state_->all;
  return s.dirty_models.empty() ? earliest_due(s) : s.now;
}

snapshot core::view(time_us now) const {
  return view_all(state_->all, now);
}

snapshot_page core::view_page(const view_cursor& from, std::size_t bytes_max, time_us now) const {
  return view_page_of(state_->all, from, bytes_max, now);
}

snapshot_page core::requests(const requests_wish& wish, std::size_t bytes_max, time_us now) const {
  return requests_page(state_->all, wish, bytes_max, now);
}

std::optional<explanation> core::explain(std::string_view external_id, time_us now) const {
  return explain_request(state_->all, external_id, now);
}

result<explanation> core::explain(const request_meta& meta, time_us now) {
  auto& s = state_->all;
  s.now = std::max(now, s.now);
  return explain_dry(s, meta);
}

result<explanation> core::plan(const plan_wish& wish, time_us now) const {
  return plan_of(state_->all, wish, now);
}

hold_map core::holds(time_us now) const {
  return holds_of(state_->all, now);
}

std::uint64_t core::holds_version() const {
  return state_->all.holds_version;
}

std::optional<std::uint64_t> core::remote_spent_to_keep() {
  return spending_to_keep(state_->all);
}

std::uint64_t core::digest() const {
  return digest_of(state_->all);
}

std::optional<std::string> core::check_invariants() const {
  return violation_of(state_->all);
}

} // namespace consort::core
