// SPDX-License-Identifier: Apache-2.0
// Plans: devices that have a request's prompt read on one device and its answer written on another.
// A plan is one candidate. What it works is its members' work: each attempt of it holds a
// reservation at its own endpoint and one at each member's, of the prefilling one until the first
// token. A member that is gone, held or closed for the model takes the plan with it, and with it
// the attempts that hold anything there.
#include "scheduler/modules.hpp"
#include "scheduler/policy_bars.hpp"
#include "scheduler/spending.hpp"

#include <algorithm>

namespace consort::core {

namespace {

constexpr std::array<const char*, 2> stage_words{"prefill", "decode"};
constexpr std::size_t prefill_stage = 0, decode_stage = 1;

const char* why_not_working(const core_state& s, const device_state& one) {
  const auto& node = s.nodes[one.node];
  if (one.draining || node.empties())
    return "is draining";
  if (one.cordoned || node.cordoned)
    return "is cordoned";
  return one.present && node.alive && one.reading.health == device_health::unhealthy
             ? "is unhealthy"
             : "is not up";
}

/// The instance of the model that a stage on that device is worked by; none when there is none.
index stage_instance(const core_state& s, const model_state& model, index member) {
  index found = none;
  if (member == none || !s.devices[member].spec.stages.empty())
    return none;
  for (const auto at : s.devices[member].instances) {
    const auto& one = s.instances[at];
    if (&s.models[one.model] == &model && one.devices.front() == member && !one.places.empty()
        && active(one) && (found == none || !one.superseded))
      found = at;
  }
  return found;
}

index stage_place(const core_state& s, const model_state& model, index member) {
  const auto at = stage_instance(s, model, member);
  return at == none ? none : s.instances[at].places.front();
}

void set_links(core_state& s, index instance, endpoint& at) {
  const auto& one = s.instances[instance];
  const auto& model = s.models[one.model];
  const auto& plan = s.devices[one.devices.front()].spec.stages;
  const auto members = stages_of(s, one.devices.front());
  at.plan = !plan.empty();
  at.reads_at = stage_place(s, model, members[prefill_stage]);
  at.writes_at = stage_place(s, model, members[decode_stage]);
  if (!at.whole() || members[prefill_stage] == members[decode_stage]) {
    at.reads_at = at.writes_at = none;
    return;
  }
  const auto& reads = model.endpoints.at(at.reads_at);
  const auto& writes = model.endpoints.at(at.writes_at);
  at.read_mw = reads.active_mw;
  at.read_price_micros = reads.price_micros;
  at.active_mw = writes.active_mw;
  at.price_micros = writes.price_micros;
  at.prompt_pico = reads.prompt_pico;
  at.output_pico = writes.output_pico;
  at.transfer_bytes_per_s = plan.transfer_bytes_per_s;
  at.transfer_us = std::clamp<duration_us>(plan.transfer_us, 0, limits::transfer_us_max);
  at.kv_bytes_per_token
      = one.variant < model.spec.variants.size()
            ? static_cast<std::uint32_t>(model.spec.variants[one.variant].kv_bytes_per_token)
            : 0;
}

void hold_stage(core_state& s, index slot, std::size_t stage, index place, reservation held) {
  auto& r = s.requests[slot];
  auto& endpoints = s.models[r.model].endpoints;
  auto& at = endpoints.at(place);
  if (at.kv_max != 0)
    held.kv_tokens = std::min(held.kv_tokens, at.kv_max);
  auto& list = s.instances[at.instance].staged;
  r.stages[stage] = {at.instance, static_cast<std::uint32_t>(list.size()), held};
  list.push_back(slot);
  endpoints.reserve(place, held, s.now);
  at.seq_staged += held.sequences;
  endpoints.refresh(place, s.pairs[at.pair].speed);
}

/// Takes the hold off the member's list, whose last one moves into its place.
void unlist(core_state& s, instance_row& member, index instance, const stage_hold& hold) {
  const auto moved = member.staged.back();
  member.staged[hold.listed] = moved;
  for (auto& each : s.requests[moved].stages)
    if (each.instance == instance)
      each.listed = hold.listed;
  member.staged.pop_back();
}

void leave_stage(pass& p, index slot, std::size_t stage) {
  auto& s = p.s;
  auto& r = s.requests[slot];
  const auto hold = r.stages[stage];
  if (hold.instance == none)
    return;
  auto& member = s.instances[hold.instance];
  auto& model = s.models[r.model];
  const auto place = member.places.front();
  model.endpoints.release(place, hold.held, p.now);
  model.endpoints.at(place).seq_staged -= hold.held.sequences;
  unlist(s, member, hold.instance, hold);
  r.stages[stage] = {};
  model.endpoints.refresh(place, s.pairs[model.endpoints.at(place).pair].speed);
  ++model.releases;
  if (!model.queue.empty())
    mark_dirty(s, r.model);
  became_idle(p, hold.instance);
}

} // namespace

std::array<index, 2> stages_of(const core_state& s, index device) {
  const auto& plan = s.devices[device].spec.stages;
  if (plan.empty())
    return {none, none};
  return {find(s.device_names, plan.prefill.value), find(s.device_names, plan.decode.value)};
}

bool stages_ready(const core_state& s, const model_state& model, index device) {
  if (s.devices[device].spec.stages.empty())
    return true;
  const auto members = stages_of(s, device);
  return members[prefill_stage] != members[decode_stage]
         && std::all_of(members.begin(), members.end(), [&](index member) {
              return stage_instance(s, model, member) != none && takes_work(s, member);
            });
}

std::string stage_lack(const core_state& s, index model, index device) {
  const auto& plan = s.devices[device].spec.stages;
  if (plan.empty())
    return {};
  if (plan.prefill == plan.decode)
    return "both of its stages are " + plan.prefill.value;
  const auto members = stages_of(s, device);
  for (std::size_t stage = 0; stage < members.size(); ++stage) {
    const auto member = members[stage];
    const auto& id = stage == prefill_stage ? plan.prefill : plan.decode;
    const char* lack = nullptr;
    if (member == none)
      lack = "is not known";
    else if (!s.devices[member].spec.stages.empty())
      lack = "has stages itself";
    else if (!takes_work(s, member))
      lack = why_not_working(s, s.devices[member]);
    else if (const auto at = stage_place(s, s.models[model], member); at == none)
      lack = "has no replica of the model yet";
    else if (!s.models[model].endpoints.at(at).open)
      lack = "is closed for the model";
    if (lack != nullptr)
      return std::string(stage_words[stage]) + " stage " + id.value + " " + lack;
  }
  return {};
}

std::string stage_words_of(const core_state& s, index device) {
  const auto& plan = s.devices[device].spec.stages;
  return plan.empty() ? std::string()
                      : "prefill on " + plan.prefill.value + ", decode on " + plan.decode.value;
}

bool is_remote(const core_state& s, index device) {
  if (s.devices[device].spec.type == resource_type::remote)
    return true;
  const auto members = stages_of(s, device);
  return std::any_of(members.begin(), members.end(), [&](index member) {
    return member != none && s.devices[member].spec.type == resource_type::remote;
  });
}

bool asks_for(const core_state& s, const selector_row& row, index device) {
  const auto& one = s.devices[device];
  if (one.withdrawn || !row.admits(one.spec))
    return false;
  const auto members = stages_of(s, device);
  return std::all_of(members.begin(), members.end(), [&](index member) {
    return member == none || labels_admit(row.labels, s.devices[member].spec);
  });
}

bool admits_device(const core_state& s, const selector_row& row, index device) {
  return asks_for(s, row, device) && !kept_here(s, row, device);
}

speed_spec sheet_of(const core_state& s, index device) {
  auto sheet = s.devices[device].spec.spec;
  const auto members = stages_of(s, device);
  if (members[prefill_stage] == none || members[decode_stage] == none)
    return sheet;
  const auto& writes = s.devices[members[decode_stage]].spec.spec;
  sheet.prefill_tokens_per_s = s.devices[members[prefill_stage]].spec.spec.prefill_tokens_per_s;
  sheet.decode_tokens_per_s = writes.decode_tokens_per_s;
  sheet.decode_batch_gain_pm = writes.decode_batch_gain_pm;
  return sheet;
}

void add_rates(const core_state& s, index model, index device, endpoint_figures& to) {
  const auto& pairs = s.models[model].pairs;
  const auto power = [&](index at) {
    const auto sheet_mw = active_power_mw(s.devices[at].spec);
    const auto pair = pairs.find(at);
    const auto used_mw
        = pair == pairs.end() ? sheet_mw : used_power_mw(s.pairs[pair->second].power, sheet_mw);
    return static_cast<std::uint32_t>(std::min(used_mw, limits::power_mw_max));
  };
  const auto price = [&](index at) {
    return static_cast<std::uint32_t>(
        std::min(s.devices[at].spec.spec.cost_micros_per_hour, limits::price_micros_max));
  };
  const auto members = stages_of(s, device);
  to.staged = members[prefill_stage] != none && members[decode_stage] != none;
  const auto writes = to.staged ? members[decode_stage] : device;
  const auto reads = to.staged ? members[prefill_stage] : device;
  to.active_mw = power(writes);
  to.price_micros = price(writes);
  to.prompt_pico = token_rates_of(s, model, reads).prompt_pico;
  to.output_pico = token_rates_of(s, model, writes).output_pico;
  if (!to.staged)
    return;
  to.read_mw = power(reads);
  to.read_price_micros = price(reads);
}

void note_plan(core_state& s, index device) {
  const auto at = std::lower_bound(s.plans.begin(), s.plans.end(), device);
  const bool known = at != s.plans.end() && *at == device;
  const bool plan = !s.devices[device].spec.stages.empty();
  if (plan && !known)
    s.plans.insert(at, device);
  else if (!plan && known)
    s.plans.erase(at);
}

bool is_stage_of(const core_state& s, index device, index plan) {
  const auto members = stages_of(s, plan);
  return std::find(members.begin(), members.end(), device) != members.end();
}

void link_stages(core_state& s, index instance) {
  auto& one = s.instances[instance];
  auto& endpoints = s.models[one.model].endpoints;
  for (const auto place : one.places)
    set_links(s, instance, endpoints.at(place));
  // Attempts of an earlier scheduler life may be known before both members are.
  for (const auto slot : one.attempts)
    if (s.requests[slot].stages[decode_stage].instance == none)
      hold_stages(s, slot);
}

void refresh_plans_with(core_state& s, index instance) {
  const auto device = s.instances[instance].devices.front();
  const auto model = s.instances[instance].model;
  for (const auto plan : s.plans)
    if (is_stage_of(s, device, plan))
      for (const auto at : s.devices[plan].instances)
        if (s.instances[at].model == model)
          refresh_instance(s, at);
}

void hold_stages(core_state& s, index slot) {
  const auto& r = s.requests[slot];
  auto& endpoints = s.models[r.model].endpoints;
  const auto place = r.place;
  const auto at = endpoints.at(place);
  if (!at.plan || !at.whole())
    return;
  const auto whole = r.held;
  if (whole.prefill_ns != 0) {
    const auto& pace = endpoints.pace(at.reads_at);
    const auto fresh = std::int64_t{r.size.prompt_tokens} - r.saved;
    const auto read_ns = std::max<std::int64_t>(pace.first_ns + fresh * pace.prefill_ns, 1);
    hold_stage(s, slot, prefill_stage, at.reads_at, {1, r.size.prompt_tokens, read_ns, read_ns});
  }
  hold_stage(s, slot, decode_stage, at.writes_at,
             {whole.sequences, whole.kv_tokens,
              std::max<std::int64_t>(whole.work_ns - whole.prefill_ns, 0), 0});
}

void prefill_is_over(pass& p, index slot) {
  auto& hold = p.s.requests[slot].stages[prefill_stage];
  if (hold.instance == none)
    return;
  const auto place = p.s.instances[hold.instance].places.front();
  p.s.models[p.s.requests[slot].model].endpoints.first_token(place, hold.held, p.now);
  leave_stage(p, slot, prefill_stage);
}

void leave_stages(pass& p, index slot) {
  leave_stage(p, slot, prefill_stage);
  leave_stage(p, slot, decode_stage);
}

void move_holds(core_state& s, index from, index to) {
  for (const auto& hold : s.requests[to].stages)
    if (hold.instance != none) {
      auto& listed = s.instances[hold.instance].staged[hold.listed];
      assert(listed == from);
      (void)from;
      listed = to;
    }
}

} // namespace consort::core
