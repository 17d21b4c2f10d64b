// SPDX-License-Identifier: Apache-2.0
// What would be done, by doing it to a copy of the state: the same rules decide, and nothing is
// ordered. Slow on purpose, as large as the state; only operators ask.
#include "scheduler/handlers.hpp"
#include "scheduler/nearest_name.hpp"
#include "scheduler/units.hpp"
#include "scheduler/weights.hpp"

namespace consort::core {

namespace {

constexpr gateway_id nobody{~std::uint64_t{0}};

/// Commands in words, one step each; what only tells somebody is none.
class step_teller {
public:
  explicit step_teller(const core_state& s) : s_(s) {}

  void operator()(const reserve_allocation& what) {
    if (!what.grant.owner_instance)
      return;
    const auto known = s_.instance_ids.find(what.grant.owner_instance);
    if (known == s_.instance_ids.end())
      return;
    const auto& share = what.grant.shares.front();
    const auto& at = s_.instances[known->second];
    if (s_.nodes[node_of(s_, at)].id != what.node)
      return; // One step, not one for each node of it.
    add("load", share.device,
        s_.models[at.model].spec.name.value
            + (share.whole ? ", the whole device" : ", " + format_size(share.memory_bytes))
            + ", ready in " + format_duration(std::max<duration_us>(at.ready_at - s_.now, 0)));
  }
  void operator()(const start_compile& what) {
    if (is_weights(what.key.profile))
      return add("fetch", device_id{what.node.value}, "the weights of " + what.model.value);
    add("build", device_id{what.node.value},
        what.model.value + " for " + what.key.profile.target + " with "
            + what.key.profile.compiler);
  }
  void operator()(const fetch_artifact& what) {
    add("fetch", device_id{what.node.value}, "an artifact from " + what.from.value);
  }
  void operator()(const unload_replica& what) {
    const auto known = s_.instance_ids.find(what.instance);
    if (known == s_.instance_ids.end())
      return;
    const auto& at = s_.instances[known->second];
    if (s_.nodes[node_of(s_, at)].id == what.node) // One step, as a load.
      add("unload", s_.devices[at.devices.front()].spec.id,
          s_.models[at.model].spec.name.value + ": " + what.reason);
  }
  void operator()(const grant_ticket& what) {
    const auto& id = what.granted.attempt.request;
    add("serve", what.granted.device,
        id.gateway == nobody ? "at once"
                             : "what ran elsewhere goes on here, attempt "
                                   + std::to_string(what.granted.attempt.number));
  }
  void operator()(const revoke_attempt& what) { add("stop", what.device, what.reason); }
  /// The last one tells what is waited for once all else is begun.
  void operator()(const queue_notice& what) {
    if (what.request.gateway != nobody)
      return;
    std::erase_if(steps_, [](const decision_view& step) { return step.outcome == "wait"; });
    add("wait", {},
        what.reason + (what.eta_us ? ", about " + format_duration(*what.eta_us) : std::string()));
  }
  void operator()(const reject_request& what) { add("refuse", {}, what.reason.message); }
  template <class Other>
  void operator()(const Other&) {}

  [[nodiscard]] std::vector<decision_view> take() { return std::move(steps_); }

private:
  void add(const char* action, const device_id& where, std::string detail) {
    decision_view step;
    step.at = s_.now;
    step.outcome = action;
    step.reason = std::move(detail);
    step.winner = where;
    if (steps_.size() < limits::plan_steps_max)
      steps_.push_back(std::move(step));
  }

  const core_state& s_;
  std::vector<decision_view> steps_;
};

error unknown_target(const core_state& s, const std::string& target) {
  std::vector<std::string> known;
  for (const auto* names : {&s.node_names, &s.device_names})
    for (const auto& [name, at] : *names)
      known.push_back(name);
  return {recovery::refuse, "unknown_target",
          "no node or device `" + target + "`" + did_you_mean(target, known)};
}

/// As core::step, to the copy.
void happen(core_state& trial, const event& happened, std::vector<command>& out) {
  pass p{trial, trial.now, out};
  std::visit([&](const auto& e) { on(p, e); }, happened);
  settle(p);
}

/// Tells of what was ordered, and of what follows once all that is to be unloaded is: the load that
/// it makes room for.
std::vector<decision_view> told(core_state& trial, std::vector<command> orders) {
  step_teller teller(trial);
  for (std::size_t round = 0; !orders.empty() && round < limits::plan_steps_max; ++round) {
    for (const auto& one : orders)
      std::visit(teller, one);
    std::vector<command> next;
    for (const auto& one : orders)
      if (const auto* unload = std::get_if<unload_replica>(&one))
        happen(trial,
               replica_unloaded{unload->instance,
                                trial.nodes[find(trial.node_names, unload->node.value)].life},
               next);
    orders = std::move(next);
  }
  return teller.take();
}

} // namespace

result<explanation> plan_of(const core_state& s, const plan_wish& wish, time_us now) {
  if (!wish.drain.empty() && find(s.node_names, wish.drain) == none
      && find(s.device_names, wish.drain) == none)
    return unknown_target(s, wish.drain);
  core_state trial = s;
  trial.now = std::max(now, s.now);
  std::vector<command> out;
  if (!wish.drain.empty()) {
    // One moment later its deadline is there.
    happen(trial, drain_changed{wish.drain, true, "planned", 1, hold_kind::drain}, out);
    trial.now += 1;
    pass p{trial, trial.now, out};
    const auto node = find(trial.node_names, wish.drain);
    const auto device = find(trial.device_names, wish.drain);
    if (node != none)
      check_drained_node(p, node);
    else if (device != none)
      check_drained_device(p, device);
    settle(p);
  } else {
    request_meta meta;
    meta.id = {nobody, 1};
    meta.external_id = "plan";
    meta.model = wish.model;
    meta.selector = wish.selector.empty() ? "auto" : wish.selector;
    meta.prompt_tokens = limits::prompt_guess_tokens;
    meta.asks = asks::anything;
    happen(trial, request_submitted{meta}, out);
  }
  explanation planned;
  planned.request.external_id = wish.drain.empty() ? wish.model.value : wish.drain;
  planned.request.model = wish.model;
  planned.decisions = told(trial, std::move(out));
  planned.outcome = planned.decisions.empty() ? "nothing to do" : "";
  return planned;
}

} // namespace consort::core
