// SPDX-License-Identifier: Apache-2.0
#include "scenarios/sim/simulation.hpp"

#include "scenarios/sim/arrivals.hpp"
#include "scenarios/sim/check/capacity.hpp"
#include "scenarios/sim/check/conservation.hpp"
#include "scenarios/sim/check/ended_once.hpp"
#include "scenarios/sim/check/fencing.hpp"
#include "scenarios/sim/check/liveness.hpp"
#include "scenarios/sim/check/starvation.hpp"
#include "scenarios/sim/engine_replay.hpp"
#include "scenarios/sim/fault_injector.hpp"
#include "scenarios/sim/recorder.hpp"
#include "scenarios/sim/size_watcher.hpp"
#include "scenarios/sim/timeline.hpp"
#include "scheduler/units.hpp"

#include <algorithm>
#include <array>
#include <unordered_map>

namespace consort::sim {

namespace {

/// How often the liveness phase looks whether all is done.
constexpr duration_us settle_check_us = 100'000;
/// Time after the last answer for frames still under way, e.g. the last reports to the core.
constexpr duration_us last_frames_us = limits::second_us;
/// A run whose clock stands still for so many steps is stuck.
constexpr std::uint64_t steps_at_one_time_max = 1'000'000;

core::core_config settings_of(const scenario& plan, const run_options& options) {
  core::core_config made;
  made.cluster = "sim";
  made.seed = options.seed;
  made.policy = options.policy.value_or(plan.policy);
  made.profiles = plan.profiles;
  made.slo = plan.aims;
  made.queue_max = plan.queue_max;
  made.lease_us = plan.lease_us;
  made.queue_timeout_us = plan.queue_timeout_us;
  made.remote = plan.remote;
  made.remote_budget_micros_per_hour = plan.remote_budget_micros_per_hour;
  return made;
}

model_spec spec_of(const scenario_model& model) {
  model_spec made;
  made.name = model_name(model.name);
  made.policy = model.policy;
  made.replicas_min = model.replicas_min;
  made.replicas_max = model.replicas_max;
  made.devices_per_instance = model.devices_per_instance;
  auto& variant = made.variants.emplace_back();
  variant.format = "gguf";
  variant.source = "sim:" + model.name;
  std::string content;
  auto state = fold(fold_start, model.name);
  for (int part = 0; part < 64; ++part) {
    state = core::mix(state);
    content += "0123456789abcdef"[state & 15U];
  }
  variant.content = digest(content);
  variant.shape = model.name;
  variant.quantization = "f16";
  variant.weight_bytes = model.weight_bytes;
  variant.kv_bytes_per_token = model.kv_bytes_per_token;
  variant.context_tokens = model.context_tokens;
  return made;
}

/// Everything of one run.
class simulation {
public:
  simulation(const scenario& plan, const run_options& options)
      : plan_(plan),
        options_(options),
        policy_(options.policy.value_or(plan.policy)),
        links_(heap_, plan.network, options.seed),
        scheduler_(heap_, links_, watchers_, settings_of(plan, options), plan.check_every,
                   [this, devices = device_count(plan)] { return devices + gateway_.live(); }),
        gateway_(heap_, links_, watchers_),
        arrivals_(heap_, gateway_, plan, options.seed, options.requests_max),
        recorder_(summary_, plan.gathers_tokens) {
    watchers_.add(recorder_);
    watchers_.add(sizes_);
    // After the recorder, so that a summary already holds what a checker objects to.
    for (auto* one : checkers_)
      watchers_.add(*one);
    if (plan.slo.given())
      watchers_.add(slo_);
    if (options.timeline) {
      course_ = std::make_shared<timeline>();
      timeline_.emplace(*course_, plan.safety_us);
      watchers_.add(*timeline_);
    }
    // Last: what it does upon an answer belongs to what comes after it.
    watchers_.add(arrivals_);
    arrivals_.tell_cuts_to(sizes_);
    summary_.scenario = plan.name;
    summary_.seed = options.seed;
    summary_.policy = policy_.value;
  }

  run_summary run() {
    declare_models();
    start_nodes();
    arrivals_.start();
    faults_.schedule(plan_.faults);
    heap_.at(plan_.safety_us, [this] { begin_liveness(); });
    play();
    finish();
    return std::move(summary_);
  }

private:
  void declare_models() {
    for (const auto& model : plan_.models)
      scheduler_.apply(core::model_declared{spec_of(model)});
  }

  void start_nodes() {
    random_source starts(options_.seed, "starts");
    for (std::size_t number = 0; number < plan_.nodes.size(); ++number) {
      const auto& described = plan_.nodes[number];
      const auto at = static_cast<address>(first_node_address + number);
      nodes_.push_back(std::make_unique<node_model>(
          node_world{heap_, links_, watchers_, plan_.lease_us,
                     [this](const node_id& name) { return find_node(name); }, plan_.models,
                     plan_.gathers_tokens ? token_delivery::gathered : token_delivery::each},
          described, at, random_source(options_.seed, "node " + described.name)));
      node_places_[described.name] = number;
      scheduler_.know_node(node_id(described.name), at);
      gateway_.know_node(node_id(described.name), at);
      // Real agents never start in step.
      const auto delay = static_cast<duration_us>(starts.unit() * limits::second_us / 10);
      heap_.at(delay, [node = nodes_.back().get()] { node->start(); });
    }
  }

  node_model* find_node(const node_id& name) {
    const auto found = node_places_.find(name.value);
    return found == node_places_.end() ? nullptr : nodes_[found->second].get();
  }

  // --- phases ---

  void begin_liveness() {
    faults_.heal_all();
    check_settled();
  }

  void check_settled() {
    // No client waits any more; what is under way may still arrive.
    if (options_.on_settling)
      options_.on_settling(heap_.now() - plan_.safety_us, gateway_.live());
    if (gateway_.live() == 0 && !done_at_)
      done_at_ = heap_.now() + last_frames_us;
    if (!done_at_)
      heap_.after(settle_check_us, [this] { check_settled(); });
  }

  void play() {
    const auto last = plan_.safety_us + plan_.settle_us;
    std::uint32_t shown_pm = 0;
    while (!violated() && !heap_.empty() && !arrivals_.failure()) {
      const auto next = heap_.next_time();
      if (next > last || (done_at_ && next > *done_at_))
        return;
      steps_here_ = next == heap_.now() ? steps_here_ + 1 : 0;
      heap_.run_next();
      const auto now_pm = static_cast<std::uint32_t>(
          std::min<duration_us>(heap_.now() * 1'000 / plan_.safety_us, 1'000));
      if (options_.on_progress && now_pm > shown_pm)
        options_.on_progress(shown_pm = now_pm);
    }
  }

  /// Asked after every step, so without building anything.
  [[nodiscard]] bool sound() const {
    const auto quiet = [](const checker* one) { return !one->violation(); };
    return summary_.violations.empty() && !scheduler_.broken() && !gateway_.broken()
           && std::all_of(checkers_.begin(), checkers_.end(), quiet)
           && steps_here_ <= steps_at_one_time_max && heap_.steps() <= options_.steps_max;
  }

  /// Collects what is wrong. Returns: whether anything is.
  bool violated() {
    if (sound())
      return false;
    if (!summary_.violations.empty())
      return true;
    const auto add = [this](const char* who, const std::optional<std::string>& what) {
      if (what)
        summary_.violations.push_back(std::string(who) + ": " + *what);
    };
    add("scheduler", scheduler_.broken());
    add("gateway", gateway_.broken());
    add("ended_once", ended_once_.violation());
    add("fencing", fencing_.violation());
    add("capacity", capacity_.violation());
    add("conservation", conservation_.violation());
    add("starvation", starvation_.violation());
    add("liveness", liveness_.violation());
    if (steps_here_ > steps_at_one_time_max)
      summary_.violations.emplace_back("driver: virtual time stands still at "
                                       + format_duration(heap_.now()));
    if (heap_.steps() > options_.steps_max)
      summary_.violations.push_back(too_many_steps(options_.steps_max, heap_.now()));
    return !summary_.violations.empty();
  }

  void finish() {
    const auto now = heap_.now();
    if (!violated() && scheduler_.running()) {
      const auto seen = scheduler_.brain().view(now);
      watchers_.each([&](observer& watcher) { watcher.on_end(seen, now); });
      violated();
    }
    summary_.ended_at = now;
    summary_.input_failure = arrivals_.failure();
    summary_.counts.frames = links_.frames();
    summary_.counts.steps = heap_.steps();
    // All that crossed the wire, and the state it left behind.
    summary_.run_digest
        = fold(links_.digest(), scheduler_.running() ? scheduler_.brain().digest() : 0);
    summary_.decisions_digest = scheduler_.decisions();
    summary_.encoded = !links_.plain();
    for (const auto& node : plan_.nodes)
      for (const auto& device : node.devices)
        summary_.counts.builds_draw = summary_.counts.builds_draw || device->compile_mw > 0;
    compute_figures(summary_, plan_.safety_us);
    if (const auto kept = slo_.attainment(); kept && plan_.slo.given())
      summary_.figures["slo_attainment"] = *kept;
    summary_.course = course_;
    summary_.misses = missed_expectations(summary_, plan_.expectations);
    summary_.notes = plan_.notes;
    sizes_.tell(summary_);
    for (auto& note : arrivals_.left_out())
      summary_.notes.push_back(std::move(note));
    if (arrivals_.submitted() == 0 && !summary_.input_failure)
      summary_.notes.emplace_back(
          "no request arrived, so that the run shows nothing: rates are too "
          "low for its length, or what is recorded is over before");
  }

  const scenario& plan_;
  const run_options& options_;
  policy_name policy_;
  run_summary summary_;
  event_heap heap_;
  observer_list watchers_;
  network links_;
  scheduler_shell scheduler_;
  gateway_model gateway_;
  std::vector<std::unique_ptr<node_model>> nodes_;
  std::unordered_map<std::string, std::size_t> node_places_; ///< Looked up, never walked.
  fault_injector faults_{
      {heap_, links_, scheduler_, gateway_, nodes_, watchers_, [this] { declare_models(); }}};
  arrivals arrivals_;
  recorder recorder_;
  slo_watcher slo_{plan_.slo};
  size_watcher sizes_{plan_};
  std::shared_ptr<timeline> course_;
  std::optional<timeline_recorder> timeline_; ///< Writes into course_.
  ended_once_checker ended_once_;
  fencing_checker fencing_;
  capacity_checker capacity_;
  conservation_checker conservation_;
  starvation_checker starvation_;
  liveness_checker liveness_{
      [this](const std::string& id) { return scheduler_.brain().explain(id, heap_.now()); }};
  std::array<checker*, 6> checkers_{&ended_once_,   &fencing_,    &capacity_,
                                    &conservation_, &starvation_, &liveness_};
  std::optional<time_us> done_at_; ///< When the liveness phase may end.
  std::uint64_t steps_here_ = 0;
};

} // namespace

std::string too_many_steps(std::uint64_t most, time_us now) {
  return "driver: more than " + std::to_string(most) + " steps by " + format_duration(now)
         + ": shorten the scenario or lower its rates";
}

run_summary run_scenario(const scenario& plan, const run_options& options) {
  if (plan.engine_only)
    return replay_engine(plan, options);
  return simulation(plan, options).run();
}

} // namespace consort::sim
