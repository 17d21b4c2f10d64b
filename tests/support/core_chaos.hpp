// SPDX-License-Identifier: Apache-2.0
#pragma once
/// A small hostile world around a core: nodes, devices, gateways and a network that answer what the
/// core asks for, late, twice, wrongly or never, as a stream of draws decides. The same world is
/// driven by a seeded generator (tests/property) and by raw bytes (tests/fuzz). After every step it
/// checks the core's own invariants and, from outside, what no outsider may ever see broken. It
/// reports the first violation as a string and then stands still.

#include "scheduler/core.hpp"
#include "scheduler/labels.hpp"
#include "scheduler/prng.hpp"
#include "scheduler/selector.hpp"
#include "tests/support/chaos_specs.hpp"

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace consort::core::testing {

class core_chaos : chaos_specs {
public:
  explicit core_chaos(draw_source draw, core_config config = {})
      : chaos_specs(std::move(draw)),
        config_(std::move(config)),
        core_(std::make_unique<core>(config_)) {}

  /// One thing happens.
  void act() {
    if (!failure_.empty())
      return;
    if (steps_++ == 0)
      begin();
    switch (draw_(16)) {
    case 0:
    case 1: return submit();
    case 2:
    case 3:
    case 4:
    case 5:
    case 6: return answer();
    case 7: return draw_(8) == 0 ? stand_still() : pass_time();
    case 8: return node_event();
    case 9: return device_event();
    case 10: return model_event();
    case 11: return report();
    case 12: return draw_(2) == 0 ? stray() : reconnect();
    case 13: return repeat();
    case 14: return cancel();
    default: return renew_all();
    }
  }

  /// Faults stop, everything is answered, time passes. Every accepted request must end.
  void heal() {
    const auto held = held_;
    for (const auto& [target, kinds] : held)
      feed(drain_changed{target, false, ""});
    for (const auto& node : node_names)
      if (failure_.empty())
        join(node);
    for (int round = 0; round < 400 && failure_.empty() && (!live_.empty() || round < 3); ++round) {
      renew_all();
      while (!owed_.empty() && failure_.empty()) {
        const auto next = owed_.front();
        owed_.erase(owed_.begin());
        feed(next);
      }
      advance(second_us / 2);
    }
    if (failure_.empty() && !live_.empty())
      failure_ = std::to_string(live_.size()) + " accepted requests never ended";
    for (const auto& replica : core_->view(now_).replicas)
      if (failure_.empty() && (replica.running != 0 || replica.kv_tokens_reserved != 0))
        failure_ = "at rest an instance still holds something";
  }

  [[nodiscard]] const std::string& failure() const { return failure_; }
  [[nodiscard]] std::uint64_t digest() const { return core_->digest(); }
  [[nodiscard]] std::uint64_t ended() const { return ended_; }
  [[nodiscard]] const core& tested() const { return *core_; }
  [[nodiscard]] time_us now() const { return now_; }

private:
  // --- the world ---

  void begin() {
    for (const auto& node : node_names)
      join(node);
    for (std::uint64_t which = 0; which < model_names.size(); ++which)
      feed(model_declared{model(which)});
  }

  void join(const std::string& node) {
    auto& life = lives_[node];
    if (life == 0 || draw_(3) == 0)
      life = ++next_life_;
    hello(node);
    if (fenced_.contains(incarnation{life})) {
      life = ++next_life_;
      hello(node);
    }
  }
  void hello(const std::string& node) {
    const auto life = lives_[node];
    feed(node_joined{node_id{node}, incarnation{life}, "", {profile(false), profile(true)}, {}});
    for (std::uint64_t number = 0; number < 4; ++number)
      feed(device_advertised{device(node, number), incarnation{life}});
    feed(device_advertised{plan(node), incarnation{life}});
  }

  // --- feeding and checking ---

  void feed(const event& happened) {
    if (!failure_.empty())
      return;
    if (const auto* told = std::get_if<request_restored>(&happened))
      known_.insert(told->meta.id);
    if (const auto* told = std::get_if<request_submitted>(&happened))
      known_.insert(told->meta.id);
    if (const auto* said = std::get_if<drain_changed>(&happened))
      note_hold(*said);
    std::vector<command> out;
    core_->step(happened, now_, out);
    if (past_.size() < 64)
      past_.push_back(happened);
    else
      past_[steps_ % past_.size()] = happened;
    for (const auto& one : out)
      std::visit([&](const auto& what) { heard(what); }, one);
    if (const auto bad = core_->check_invariants(); bad && failure_.empty())
      failure_ = *bad;
  }

  /// As the core must take it: a device has to be known.
  void note_hold(const drain_changed& said) {
    const bool node = said.target.find('/') == std::string::npos;
    const bool known = node ? lives_.contains(said.target) : has_device(said.target);
    if (!known && !(held_.contains(said.target) && !said.draining))
      return;
    auto& kinds = held_[said.target];
    if (said.kind != hold_kind::cordon)
      kinds.first = said.draining;
    if (said.kind == hold_kind::cordon || (said.kind == hold_kind::any && !said.draining))
      kinds.second = said.draining;
    if (!kinds.first && !kinds.second)
      held_.erase(said.target);
  }
  [[nodiscard]] bool has_device(const std::string& id) const {
    for (const auto& one : core_->view(now_).devices)
      if (one.spec.id.value == id)
        return true;
    return false;
  }

  void broken(const std::string& what) {
    if (failure_.empty())
      failure_ = what;
  }

  template <class Command>
  void heard(const Command&) {}

  incarnation life_of(const node_id& node) { return incarnation{lives_[node.value]}; }

  void heard(const reserve_allocation& asked) {
    if (draw_(5) == 0)
      owe(allocation_refused{asked.grant.id,
                             asked.node,
                             life_of(asked.node),
                             asked.grant.fence,
                             {recovery::retry_elsewhere, "no", "no"}});
    else
      owe(allocation_reserved{asked.grant.id, asked.node, life_of(asked.node), asked.grant.fence});
  }
  void heard(const load_replica& load) {
    capacity_vector capacity;
    if (draw_(4) != 0)
      capacity.sequences.value = 1 + draw_(4);
    if (draw_(2) == 0)
      capacity.kv_tokens.value = draw_(3'000);
    runtime_capabilities runtime;
    runtime.resume = draw_(3) == 0 ? resume_support::none : resume_support::text;
    runtime.cancel = draw_(2) == 0;
    if (load.rank == 0) {
      instances_[load.instance] = load.grant.shares.front().device;
      loads_[load.instance] = load;
    }
    if (load.rank != 0 && draw_(5) != 0)
      return; // Only the leader says that all is well.
    if (load.rank != 0 || draw_(5) == 0)
      owe(replica_failed{
          load.instance, life_of(load.node), {recovery::retry_elsewhere, "oom", "oom"}});
    else
      owe(replica_loaded{load.instance, life_of(load.node),
                         std::vector<capacity_vector>(1 + draw_(2), capacity), runtime, 1'000});
  }
  void heard(const unload_replica& what) {
    owe(replica_unloaded{what.instance, life_of(what.node)});
  }
  void heard(const start_compile& order) {
    if (order.grant && order.grant->state != allocation_state::granted)
      broken("a compile was started on devices that were not granted");
    if (draw_(4) == 0)
      return owe(compile_failed{
          order.compile,
          life_of(order.node),
          {draw_(3) == 0 ? recovery::refuse : recovery::retry_later, "cc", "cc failed"}});
    artifact_record record;
    record.key = order.key;
    record.content = consort::digest{"artifact-" + order.key.binds};
    record.node = order.node;
    owe(compile_finished{order.compile, life_of(order.node), record});
  }
  void heard(const grant_lease& what) { leases_[what.node] = what.until; }
  void heard(const fence_node& what) { fenced_.insert(what.life); }
  void heard(const fetch_artifact& what) {
    if (draw_(4) == 0)
      return owe(fetch_failed{what.key,
                              what.content,
                              what.node,
                              life_of(what.node),
                              {recovery::retry_elsewhere, "gone", "holder gone"}});
    artifact_record record;
    record.key = what.key;
    record.content = what.content;
    record.node = what.node;
    owe(artifact_found{record, life_of(what.node)});
  }
  void heard(const grant_ticket& granted) {
    const auto& ticket = granted.granted;
    auto& attempts = live_[ticket.attempt.request];
    if (!accepted_.contains(ticket.attempt.request))
      broken("a ticket was granted to a request that ended or never was");
    if (ticket.attempt.number != attempts + 1 || ticket.attempt.number > limits::attempts_total_max)
      broken("attempts are not counted up one by one");
    attempts = ticket.attempt.number;
    tickets_[ticket.attempt.request] = ticket;
    if (ticket.node_incarnation != life_of(ticket.node))
      broken("a ticket names a dead incarnation");
    if (leases_[ticket.node] <= now_)
      broken("a ticket was granted on an expired lease");
    if (held_.contains(ticket.node.value) || held_.contains(ticket.device.value))
      broken("a ticket was granted where an operator stopped work: " + ticket.device.value);
    check_stages(ticket);
    check_labels(ticket);
    owe(attempt_started{ticket.attempt});
    for (std::uint64_t more = draw_(3); more > 0; --more)
      owe(attempt_progressed{ticket.attempt, static_cast<std::uint32_t>(draw_(64))});
    if (draw_(4) == 0)
      return owe(attempt_failed{ticket.attempt,
                                {static_cast<recovery>(draw_(4)), "engine", "broke"},
                                static_cast<std::uint32_t>(draw_(3)),
                                draw_(2) == 0});
    attempt_measurement measured;
    measured.usage
        = {static_cast<std::uint32_t>(draw_(1'000)), static_cast<std::uint32_t>(draw_(1'000)), 0};
    measured.first_token_us = static_cast<duration_us>(draw_(1'000'000));
    measured.total_us = measured.first_token_us + static_cast<duration_us>(draw_(10'000'000));
    measured.batch = static_cast<std::uint32_t>(draw_(5));
    owe(attempt_finished{ticket.attempt, measured});
  }
  /// Neither stage of a plan is stopped, silent or gone.
  void check_stages(const ticket& granted) {
    const auto seen = core_->view(now_);
    const auto at = std::find_if(seen.devices.begin(), seen.devices.end(),
                                 [&](const auto& one) { return one.spec.id == granted.device; });
    if (at == seen.devices.end() || at->spec.stages.empty())
      return;
    for (const auto& member : {at->spec.stages.prefill, at->spec.stages.decode}) {
      const auto known = std::find_if(seen.devices.begin(), seen.devices.end(),
                                      [&](const auto& one) { return one.spec.id == member; });
      if (known == seen.devices.end() || !known->alive || known->draining || known->cordoned
          || leases_[known->spec.node] <= now_ || !known->spec.stages.empty())
        broken("a ticket was granted to a plan whose stage cannot work: " + member.value);
    }
  }
  void check_labels(const ticket& granted) {
    const auto& labels = metas_[granted.attempt.request].labels;
    const auto devices = core_->view(now_).devices;
    const auto forbids = [&](const device_id& id) {
      return std::any_of(devices.begin(), devices.end(), [&](const device_view& one) {
        return one.spec.id == id && !labels_admit(labels, one.spec);
      });
    };
    for (const auto& one : devices)
      if (one.spec.id == granted.device
          && (forbids(one.spec.id) || forbids(one.spec.stages.prefill)
              || forbids(one.spec.stages.decode)))
        broken("data went to a device that its labels forbid");
  }
  /// Some device could serve it, now or ever: formats alone, since whether an artifact can be had
  /// is the core's business.
  [[nodiscard]] bool feasible(const request_meta& meta) const {
    const auto seen = core_->view(now_);
    const auto selected = selector::parse(meta.selector);
    const auto served
        = std::find_if(seen.models.begin(), seen.models.end(),
                       [&](const model_view& one) { return one.spec.name == meta.model; });
    if (!selected || served == seen.models.end() || meta.kind == request_kind::embedding)
      return false;
    const auto need = served->spec.variants.at(0).weight_bytes / served->spec.devices_per_instance;
    // Whoever fixes the number of replicas leaves other devices out.
    const bool fixed
        = served->spec.replicas_max != 0 && served->spec.replicas_min >= served->spec.replicas_max;
    return std::any_of(seen.devices.begin(), seen.devices.end(), [&](const device_view& one) {
      const auto& spec = one.spec;
      const bool small = std::any_of(
          seen.replicas.begin(), seen.replicas.end(), [&](const replica_view& replica) {
            return replica.leader == spec.id && replica.model == meta.model
                   && replica.kv_tokens_max != 0
                   && replica.kv_tokens_max <= 2 * (std::uint64_t{meta.prompt_tokens} + 1);
          });
      const bool leads = std::any_of(
          seen.replicas.begin(), seen.replicas.end(), [&](const replica_view& replica) {
            return replica.leader == spec.id && replica.model == meta.model
                   && replica.state != "unloading"; // It goes, and nothing follows it.
          });
      return !spec.capability.formats.empty() && selected->matches(spec) && (!fixed || leads)
             && spec.capability.devices_max >= served->spec.devices_per_instance
             && labels_admit(meta.labels, spec) && !small && spec.stages.empty()
             && spec.capability.devices_max >= served->spec.devices_per_instance
             && (spec.memory_bytes == 0 || spec.memory_bytes >= need);
    });
  }
  void heard(const reject_request& what) {
    if (what.http_status == 422 && metas_.contains(what.request) && feasible(metas_[what.request]))
      broken("a request that some device could serve was called impossible: "
             + what.reason.message);
    if (!rejected_.insert(what.request).second)
      broken("a request was rejected twice");
  }
  void heard(const record_request& what) {
    if (accepted_.erase(what.request) == 0)
      broken("a request ended twice or was never submitted");
    live_.erase(what.request);
    metas_.erase(what.request);
    tickets_.erase(what.request);
    ++ended_;
  }

  /// The world owes the core an event; when and whether it comes is drawn later.
  void owe(event happened) {
    if (owed_.size() < 512)
      owed_.push_back(std::move(happened));
  }

  // --- actions ---

  void submit() {
    request_meta meta;
    meta.id = {gateway_id{1 + draw_(2)}, ++sequence_};
    meta.external_id = "r" + std::to_string(sequence_);
    meta.model = model_name{draw_(12) == 0 ? "unknown" : model_names[draw_(3)]};
    const std::vector<std::string> selectors
        = {"auto", "auto", "cpu", "npu", "a/*", "gpu", "node=b|cpu", "=,"};
    meta.selector = selectors[draw_(selectors.size())];
    meta.kind = draw_(10) == 0 ? request_kind::embedding : request_kind::completion;
    meta.hedge = draw_(2) == 0;
    meta.priority = static_cast<priority_class>(draw_(3));
    meta.tenant = tenant_id{"t" + std::to_string(draw_(4))};
    if (draw_(6) == 0)
      meta.labels = {draw_(2) == 0 ? "local-only" : "pii"};
    meta.prompt_tokens = static_cast<std::uint32_t>(draw_(2'000));
    meta.max_tokens = static_cast<std::uint32_t>(draw_(100));
    meta.choices = draw_(8) == 0 ? static_cast<std::uint32_t>(draw_(18)) : 1;
    meta.resumable = draw_(3) != 0;
    meta.streaming = sequence_ % 3 != 0;
    if (draw_(4) == 0)
      meta.deadline_us = static_cast<duration_us>(draw_(20)) * second_us;
    if (draw_(4) == 0)
      meta.wait_us = static_cast<duration_us>(draw_(3)) * second_us;
    for (std::uint64_t block = draw_(4); block > 0; --block)
      meta.prefix_blocks.push_back(100 + block);
    if (sequence_ % 2 == 0)
      meta.session = "s" + std::to_string(sequence_ % 6);
    accepted_.insert(meta.id);
    live_[meta.id] = 0;
    metas_[meta.id] = meta;
    feed(request_submitted{meta});
  }

  void answer() {
    if (owed_.empty())
      return submit();
    // Mostly in order: what a link really does; now and then out of order, or lost.
    const auto at = draw_(3) != 0 ? 0 : draw_(owed_.size());
    const auto happened = owed_[at];
    owed_.erase(owed_.begin() + static_cast<std::ptrdiff_t>(at));
    if (draw_(12) != 0)
      feed(happened);
  }

  void advance(duration_us span) {
    const auto until = now_ + span;
    for (auto next = core_->next_deadline(); next && *next <= until && failure_.empty();
         next = core_->next_deadline()) {
      now_ = std::max(now_, *next);
      feed(tick{});
    }
    now_ = until;
  }

  void pass_time() {
    const std::vector<duration_us> spans
        = {0, 1, 1'000, 50'000, second_us, 3 * second_us, 11 * second_us, 61 * second_us};
    // Mostly short steps: long ones expire every lease.
    const auto at = draw_(4) == 0 ? draw_(spans.size()) : draw_(4);
    advance(spans[at]);
  }

  void renew_all() {
    for (const auto& node : node_names)
      if (draw_(16) != 0)
        feed(lease_renewed{node_id{node}, incarnation{lives_[node]}});
  }

  std::string some_node() { return node_names[draw_(node_names.size())]; }

  void node_event() {
    const auto node = some_node();
    switch (draw_(5)) {
    case 0: return join(node);
    case 1:
      return feed(node_lost{node_id{node}, incarnation{lives_[node]}, draw_(2) == 0, "gone",
                            draw_(4) == 0, draw_(4) == 0});
    case 2:
      return feed(drain_changed{node, draw_(2) == 0, "drawn",
                                static_cast<duration_us>(draw_(3)) * limits::second_us,
                                static_cast<hold_kind>(draw_(3))});
    case 3: return feed(lease_renewed{node_id{node}, incarnation{1 + draw_(next_life_)}});
    default: return feed(lease_renewed{node_id{node}, incarnation{lives_[node]}});
    }
  }

  void device_event() {
    const auto node = some_node();
    const auto number = draw_(5);
    const auto spec = number == 4 ? plan(node) : device(node, number);
    switch (draw_(4)) {
    case 0: return feed(device_lost{spec.id, incarnation{lives_[node]}, "unplugged"});
    case 1:
      return feed(drain_changed{spec.id.value, draw_(2) == 0, "drawn", 0,
                                static_cast<hold_kind>(draw_(3))});
    default: return feed(device_advertised{spec, incarnation{lives_[node]}});
    }
  }

  void model_event() {
    const auto which = draw_(model_names.size());
    switch (draw_(4)) {
    case 0: return feed(model_removed{model_name{model_names[which]}});
    case 1: return feed(compile_requested{model_name{model_names[which]}, "npu"});
    case 2: {
      artifact_record lost;
      lost.key = {artifact_kind::engine_weights, "weights-" + model_names[which],
                  profile(draw_(2) == 0)};
      const auto node = some_node();
      return feed(artifact_lost{lost.key, consort::digest{"artifact-" + lost.key.binds},
                                node_id{node}, incarnation{lives_[node]}, "corrupt"});
    }
    default: {
      auto spec = model(which);
      if (draw_(4) == 0) // A version that replaces the other.
        spec.variants[0].content = consort::digest{"weights-2-" + model_names[which]};
      return feed(model_declared{spec});
    }
    }
  }

  /// The process slept: nothing was handled at its deadline.
  void stand_still() {
    now_ += static_cast<duration_us>(1 + draw_(8)) * second_us;
    feed(tick{});
  }

  /// A link dropped and came back, or the scheduler was replaced.
  void reconnect() {
    switch (draw_(8)) {
    case 0: return restart();
    case 1:
    case 2: return found(some_node());
    default: break;
    }
    const gateway_id gateway{1 + draw_(2)};
    if (draw_(3) != 0)
      feed(gateway_lost{gateway});
    if (draw_(3) != 0)
      restore(gateway);
  }

  /// A gateway tells of what it still has; now and then it forgot something, or missed a ticket.
  void restore(gateway_id gateway) {
    const auto all = metas_;
    for (const auto& [id, meta] : all) {
      if (id.gateway != gateway || draw_(8) == 0 || !live_.contains(id))
        continue;
      request_restored told{meta, live_[id], static_cast<std::uint32_t>(draw_(3)), {}};
      if (told.attempts > 0 && draw_(8) == 0)
        --told.attempts;
      if (told.attempts > 0 && tickets_[id].attempt.number == told.attempts && draw_(3) != 0)
        told.running = tickets_[id];
      // Unknown ones begin anew, with the attempts that their gateway knows of.
      if (accepted_.insert(id).second || !known_.contains(id))
        live_[id] = told.attempts;
      feed(told);
    }
    feed(gateway_restored{gateway});
  }

  void found(const std::string& node) {
    for (const auto& [instance, load] : loads_) {
      if (load.node.value != node || draw_(2) == 0)
        continue;
      replica_found told{instance,
                         node_id{node},
                         incarnation{lives_[node]},
                         load.grant,
                         load.model,
                         load.variant.content,
                         load.artifact ? load.artifact->content : consort::digest{},
                         std::vector<capacity_vector>(draw_(3)),
                         {},
                         {}};
      if (draw_(4) == 0) { // Of an earlier scheduler.
        told.instance = instance_id{instance.value + 1'000'000};
        told.grant.id = allocation_id{load.grant.id.value + 1'000'000};
      }
      feed(told);
    }
  }

  /// Another scheduler takes over; nodes and gateways tell it what they have.
  void restart() {
    config_.numbers_from += 1'000'000'000;
    config_.holds = core_->holds(now_);
    leases_.clear();
    core_ = std::make_unique<core>(config_);
    known_.clear();
    for (std::uint64_t which = 0; which < model_names.size(); ++which)
      feed(model_declared{model(which)});
    for (const auto& node : node_names) {
      hello(node);
      found(node);
    }
    for (const std::uint64_t gateway : {1, 2})
      restore(gateway_id{gateway});
    // What no gateway told of again ended with the earlier scheduler.
    for (auto one = live_.begin(); one != live_.end();) {
      const auto id = one->first;
      ++one;
      if (known_.contains(id))
        continue;
      accepted_.erase(id);
      live_.erase(id);
      metas_.erase(id);
      tickets_.erase(id);
    }
  }

  void report() {
    const auto node = some_node();
    device_reported said;
    said.device = device(node, draw_(3)).id;
    said.life = incarnation{lives_[node]};
    if (draw_(2) == 0)
      said.reading.memory_used_bytes = draw_(1'200);
    said.reading.health = static_cast<device_health>(draw_(8) == 0 ? draw_(3) : 0);
    for (const auto& [request, attempts] : live_)
      if (attempts > 0 && draw_(2) == 0)
        said.running.push_back({request, attempts});
    for (const auto& [instance, device] : instances_)
      if (device == said.device && draw_(2) == 0) {
        capacity_vector capacity;
        if (draw_(3) != 0)
          capacity.sequences.value = draw_(5);
        said.endpoints.emplace_back(instance, capacity);
      }
    feed(said);
  }

  /// Events about things that nobody knows.
  void stray() {
    const attempt_id attempt{{gateway_id{9}, draw_(100)}, 1};
    switch (draw_(7)) {
    case 0: return feed(attempt_finished{attempt, {}});
    case 1:
      return feed(allocation_reserved{allocation_id{draw_(50)}, node_id{some_node()},
                                      incarnation{lives_["a"]}, epoch{draw_(50)}});
    case 2: return feed(replica_loaded{instance_id{draw_(50)}, incarnation{draw_(9)}, {}, {}, -1});
    case 3: return feed(compile_failed{compile_id{draw_(50)}, incarnation{lives_["a"]}, {}});
    case 4: return feed(replica_failed{instance_id{draw_(50)}, incarnation{lives_["b"]}, {}});
    case 5: return feed(lease_renewed{node_id{"stranger"}, incarnation{1}});
    default: return feed(tick{});
    }
  }

  void repeat() {
    if (past_.empty())
      return;
    const auto again = past_[draw_(past_.size())];
    // A gateway tells nothing anew of what has ended.
    if (const auto* told = std::get_if<request_restored>(&again);
        told != nullptr && !live_.contains(told->meta.id))
      return;
    // A gateway never submits one id twice, and a node never says hello with an old life.
    if (!std::holds_alternative<request_submitted>(again)
        && !std::holds_alternative<node_joined>(again))
      feed(again);
  }

  void cancel() {
    if (draw_(20) == 0)
      return feed(gateway_lost{gateway_id{1 + draw_(2)}});
    if (live_.empty())
      return;
    auto one = live_.begin();
    std::advance(one, static_cast<std::ptrdiff_t>(draw_(live_.size())));
    feed(request_cancelled{one->first, "left"});
  }

  core_config config_;
  std::unique_ptr<core> core_;
  time_us now_ = 1;
  std::uint64_t steps_ = 0, sequence_ = 0, next_life_ = 0, ended_ = 0;
  std::map<std::string, std::uint64_t> lives_;
  std::map<request_id, std::uint32_t> live_; ///< Attempts so far.
  std::map<request_id, request_meta> metas_; ///< Of live ones, like tickets_.
  std::map<request_id, ticket> tickets_;
  std::set<request_id> accepted_, rejected_;
  std::set<request_id> known_; ///< To the present scheduler, once told.
  std::map<instance_id, load_replica> loads_;
  std::set<incarnation> fenced_;
  std::map<node_id, time_us> leases_;
  std::map<std::string, std::pair<bool, bool>> held_; ///< Drained, cordoned.
  std::map<instance_id, device_id> instances_;
  std::vector<event> owed_, past_;
  std::string failure_;
};

} // namespace consort::core::testing
