// SPDX-License-Identifier: Apache-2.0
#include "scenarios/sim/engine_replay.hpp"

#include "scenarios/sim/arrivals.hpp"
#include "scenarios/models/engine.hpp"
#include "scenarios/sim/event_heap.hpp"

#include <algorithm>

namespace consort::sim {

namespace {

class replay {
public:
  replay(const scenario& plan, const run_options& options) : plan_(plan), options_(options) {
    summary_.scenario = plan.name;
    summary_.seed = options.seed;
    summary_.policy = "engine only";
    const auto& device = plan.nodes.front().devices.front();
    const auto& model = plan.models.front();
    const auto room
        = device->memory_bytes > model.weight_bytes ? device->memory_bytes - model.weight_bytes : 0;
    name_ = plan.nodes.front().name + "/" + device->type + "0";
    engine_ = std::make_unique<engine>(
        device, model.shape, room / std::max<std::uint64_t>(model.kv_bytes_per_token, 1),
        plan.gathers_tokens ? token_delivery::gathered : token_delivery::each,
        random_source(options.seed, "engine"), calls());
  }

  run_summary run() {
    for (std::size_t number = 0; number < plan_.workloads.size(); ++number) {
      auto opened = open_workload(plan_.workloads[number], options_.seed, std::to_string(number));
      if (!opened) {
        summary_.input_failure = opened.failure();
        return std::move(summary_);
      }
      sources_.push_back(std::move(*opened));
      pull(number);
    }
    const auto last = plan_.safety_us + plan_.settle_us;
    while (!summary_.input_failure && !heap_.empty() && heap_.next_time() <= last)
      heap_.run_next();
    summary_.ended_at = heap_.now();
    summary_.counts.steps = heap_.steps();
    for (const auto& one : summary_.requests) {
      summary_.run_digest
          = fold(summary_.run_digest, static_cast<std::uint64_t>(one.first_token_at.value_or(0)));
      summary_.run_digest
          = fold(summary_.run_digest, static_cast<std::uint64_t>(one.ended_at.value_or(0)));
    }
    compute_figures(summary_, plan_.safety_us);
    summary_.misses = missed_expectations(summary_, plan_.expectations);
    return std::move(summary_);
  }

private:
  request_result& of(const attempt_id& attempt) {
    return summary_.requests[attempt.request.sequence - 1];
  }

  engine::callbacks calls() {
    engine::callbacks made;
    made.now = [this] { return heap_.now(); };
    made.after = [this](duration_us delay, std::function<void()> what) {
      heap_.after(delay, std::move(what));
    };
    made.on_tokens = [this](const attempt_id& who, std::uint32_t, std::uint32_t count) {
      auto& one = of(who);
      if (!one.first_token_at)
        one.first_token_at = heap_.now();
      one.completion_tokens += count;
      summary_.device_tokens[name_] += count;
    };
    made.on_gaps
        = [this](duration_us gap, std::uint64_t count) { summary_.token_gaps.add(gap, count); };
    made.on_finished = [this](const engine_sequence& done) {
      auto& one = of(done.attempt);
      one.ended_at = heap_.now();
      one.outcome = request_outcome::finished;
    };
    return made;
  }

  void pull(std::size_t number) {
    auto next = sources_[number]->next();
    if (!next)
      summary_.input_failure = next.failure();
    if (!next || !*next || (**next).at + plan_.workloads[number].from > plan_.safety_us)
      return;
    const auto at = (**next).at + plan_.workloads[number].from;
    heap_.at(at, [this, number, due = std::make_shared<arrival>(std::move(**next))] {
      arrive(*due);
      pull(number);
    });
  }

  void arrive(arrival& now) {
    auto& made = summary_.requests.emplace_back();
    made.external_id = "req-" + std::to_string(summary_.requests.size());
    made.model = plan_.models.front().name;
    made.device = name_;
    made.submitted_at = heap_.now();
    made.prompt_tokens = now.prompt_tokens;
    made.attempts = 1;
    engine_sequence wanted;
    wanted.attempt = {{gateway_id(1), summary_.requests.size()}, 1};
    wanted.prompt_tokens = now.prompt_tokens;
    wanted.output_tokens = now.output_tokens;
    wanted.prefix = std::move(now.prefix);
    wanted.prefix_tokens = now.prefix_tokens;
    if (std::uint64_t{wanted.prompt_tokens} + wanted.output_tokens > engine_->kv_tokens_max()) {
      made.outcome = request_outcome::rejected;
      made.code = "context_overflow";
      return;
    }
    engine_->add(std::move(wanted));
  }

  const scenario& plan_;
  const run_options& options_;
  run_summary summary_;
  event_heap heap_;
  std::string name_;
  std::unique_ptr<engine> engine_;
  std::vector<arrival_source_ptr> sources_;
};

} // namespace

run_summary replay_engine(const scenario& plan, const run_options& options) {
  return replay(plan, options).run();
}

} // namespace consort::sim
