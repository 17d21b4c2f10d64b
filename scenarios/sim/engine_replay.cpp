// SPDX-License-Identifier: Apache-2.0
#include "scenarios/sim/engine_replay.hpp"

#include "scenarios/models/engine.hpp"
#include "scenarios/sim/arrivals.hpp"
#include "scenarios/sim/event_heap.hpp"
#include "scenarios/sim/recorder.hpp"
#include "scenarios/sim/size_watcher.hpp"
#include "scheduler/units.hpp"

#include <algorithm>

namespace consort::sim {

namespace {

class replay {
public:
  replay(const scenario& plan, const run_options& options)
      : plan_(plan), options_(options), recorder_(summary_, true) {
    summary_.scenario = plan.name;
    summary_.seed = options.seed;
    summary_.policy = engine_only_word;
    const auto& device = plan.nodes.front().devices.front();
    const auto& model = plan.models.front();
    const auto room
        = device->memory_bytes > model.weight_bytes ? device->memory_bytes - model.weight_bytes : 0;
    device_ = device_id(device_ids(plan.nodes.front()).front());
    engine_ = std::make_unique<engine>(
        device, model.shape, room / std::max<std::uint64_t>(model.kv_bytes_per_token, 1),
        plan.gathers_tokens ? token_delivery::gathered : token_delivery::each,
        random_source(options.seed, "engine"), calls());
    watchers_.add(recorder_);
    watchers_.add(sizes_);
    if (plan.slo.given())
      watchers_.add(slo_);
  }

  run_summary run() {
    for (std::size_t number = 0; number < plan_.workloads.size() && !summary_.input_failure;
         ++number) {
      auto opened = open_workload(plan_.workloads[number], options_.seed, std::to_string(number));
      if (!opened) {
        summary_.input_failure = opened.failure();
        break;
      }
      sources_.push_back(std::move(*opened));
      pull(number);
    }
    play();
    summary_.ended_at = heap_.now();
    summary_.counts.steps = heap_.steps();
    if (!live_.empty() && summary_.passed())
      summary_.violations.push_back("liveness: " + std::to_string(live_.size())
                                    + " requests did not end within `settle`");
    compute_figures(summary_, plan_.safety_us);
    if (const auto kept = slo_.attainment(); kept && plan_.slo.given())
      summary_.figures["slo_attainment"] = *kept;
    summary_.misses = missed_expectations(summary_, plan_.expectations);
    summary_.notes = plan_.notes;
    sizes_.tell(summary_);
    for (const auto number : cut_)
      summary_.notes.push_back(trace_cut_note(plan_, number));
    return std::move(summary_);
  }

private:
  /// Of a request inside the engine.
  struct asked {
    std::size_t workload = 0;
    arrival what;
  };

  void play() {
    const auto last = plan_.safety_us + plan_.settle_us;
    std::uint32_t shown_pm = 0;
    while (summary_.passed() && !heap_.empty() && heap_.next_time() <= last) {
      heap_.run_next();
      const auto now_pm = static_cast<std::uint32_t>(
          std::min<duration_us>(heap_.now() * 1'000 / plan_.safety_us, 1'000));
      if (options_.on_progress && now_pm > shown_pm)
        options_.on_progress(shown_pm = now_pm);
      if (options_.on_settling && heap_.now() > plan_.safety_us)
        options_.on_settling(heap_.now() - plan_.safety_us, live_.size());
      if (heap_.steps() > options_.steps_max)
        summary_.violations.push_back(too_many_steps(options_.steps_max, heap_.now()));
    }
  }

  template <class Call>
  void tell(const Call& call) {
    watchers_.each([&](observer& watcher) { call(watcher); });
  }

  /// Folded as it happens: not every request is kept.
  void digest_time() {
    summary_.run_digest
        = fold(summary_.run_digest, static_cast<std::uint64_t>(heap_.now()) ^ submitted_);
  }

  engine::callbacks calls() {
    engine::callbacks made;
    made.now = [this] { return heap_.now(); };
    made.after
        = [this](duration_us delay, engine_action what) { heap_.after(delay, std::move(what)); };
    made.on_tokens = [this](const attempt_id& who, std::uint32_t, std::uint32_t count) {
      digest_time();
      tell([&](observer& one) { one.on_tokens(who.request, device_, count, heap_.now()); });
    };
    made.on_gaps = [this](duration_us gap, std::uint64_t count) {
      tell([&](observer& one) { one.on_gaps(gap, count); });
    };
    made.on_widest = [this](const device_model& on, std::uint32_t sequences, std::uint32_t tokens) {
      tell([&](observer& one) { one.on_widest(on, sequences, tokens); });
    };
    made.on_finished = [this](const engine_sequence& done) {
      summary_.counts.prompt_tokens += done.prompt_tokens;
      summary_.counts.cached_tokens += done.cached_tokens;
      answer(done.attempt.request, request_outcome::finished, "");
    };
    return made;
  }

  void answer(const request_id& who, request_outcome outcome, const char* code) {
    digest_time();
    tell([&](observer& one) { one.on_answered({who, outcome, code, {}, 0}, heap_.now()); });
    const auto found = live_.find(who);
    const auto [number, what] = std::move(found->second);
    live_.erase(found);
    const auto from = plan_.workloads[number].from;
    if (auto next = sources_[number]->ended(what, heap_.now() - from)) {
      next->at += from;
      schedule(number, std::move(*next), false);
    }
  }

  void pull(std::size_t number) {
    const auto& work = plan_.workloads[number];
    // A closed loop gives all its clients at once; the rest come one after the other.
    const bool open = work.drawn.process != arrival_process::closed;
    do {
      auto next = sources_[number]->next();
      if (!next)
        summary_.input_failure = next.failure();
      if (!next || !*next)
        return;
      if (((**next).at += work.from) >= work.until) {
        if (!work.trace_paths.empty() && !work.ends_early)
          cut_.push_back(number);
        return;
      }
      schedule(number, std::move(**next), open);
    } while (!open && !summary_.input_failure);
  }

  void schedule(std::size_t number, arrival next, bool then_pull) {
    if (++drawn_ > options_.requests_max) {
      summary_.input_failure = too_many_requests(options_.requests_max);
      return;
    }
    const auto at = next.at;
    heap_.at(at, [this, number, due = std::make_shared<arrival>(std::move(next)), then_pull] {
      arrive(number, std::move(*due));
      if (then_pull)
        pull(number);
    });
  }

  void arrive(std::size_t number, arrival now) {
    const auto asked_tokens = now.output_tokens;
    now.output_tokens = answer_within(plan_.models.front(), now);
    request_meta meta;
    meta.id = {gateway_id(1), ++submitted_};
    meta.external_id = "req-" + std::to_string(submitted_);
    meta.model = model_name(plan_.models.front().name);
    meta.prompt_tokens = now.prompt_tokens;
    meta.max_tokens = now.output_tokens;
    tell([&](observer& one) { one.on_submitted(meta, heap_.now()); });
    sizes_.on_answer_cut(meta.model.value, meta.external_id, asked_tokens, now.output_tokens);
    core::grant_ticket granted; // As a scheduler with one device would: the recorder notes where.
    granted.granted.attempt = {meta.id, 1};
    granted.granted.device = device_;
    tell([&](observer& one) { one.on_command(granted, heap_.now()); });
    engine_sequence wanted;
    wanted.attempt = {meta.id, 1};
    wanted.prompt_tokens = now.prompt_tokens;
    wanted.output_tokens = now.output_tokens;
    wanted.prefix = std::exchange(now.prefix, {});
    wanted.prefix_tokens = now.prefix_tokens;
    live_[meta.id] = {number, std::move(now)};
    if (wanted.prompt_tokens >= plan_.models.front().context_tokens)
      return answer(meta.id, request_outcome::rejected, "context_length_exceeded");
    if (std::uint64_t{wanted.prompt_tokens} + wanted.output_tokens > engine_->kv_tokens_max())
      return answer(meta.id, request_outcome::rejected, "context_overflow");
    engine_->add(std::move(wanted));
  }

  const scenario& plan_;
  const run_options& options_;
  run_summary summary_;
  event_heap heap_;
  device_id device_;
  std::unique_ptr<engine> engine_;
  recorder recorder_; ///< The engine tells the gaps.
  slo_watcher slo_{plan_.slo};
  size_watcher sizes_{plan_};
  observer_list watchers_;
  std::vector<arrival_source_ptr> sources_; ///< By workload.
  std::vector<std::size_t> cut_;            ///< Workloads whose trace is longer than the run.
  std::map<request_id, asked> live_;
  std::uint64_t drawn_ = 0;
  std::uint64_t submitted_ = 0;
};

} // namespace

run_summary replay_engine(const scenario& plan, const run_options& options) {
  return replay(plan, options).run();
}

} // namespace consort::sim
