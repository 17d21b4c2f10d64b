// SPDX-License-Identifier: Apache-2.0
#include "scenarios/sim/arrivals.hpp"

#include "scenarios/limits.hpp"
#include "scenarios/sim/size_watcher.hpp"
#include "scheduler/limits.hpp"
#include "scheduler/units.hpp"

#include <algorithm>

namespace consort::sim {

result<arrival_source_ptr> open_workload(const scenario_workload& work, std::uint64_t seed,
                                         const std::string& name) {
  if (!work.trace_paths.empty())
    return open_traces(work.trace_paths, work.lens);
  if (!work.servegen_folder.empty())
    return open_servegen({work.servegen_folder, work.servegen_scale, work.lens.skip_us,
                          core::mix(seed ^ fold(fold_start, name)), 0, work.until - work.from});
  auto settings = work.drawn;
  settings.rate = work.rate_per_s;
  settings.input = work.input;
  settings.output = work.output;
  return arrival_source_ptr(
      std::make_unique<synthetic_source>(settings, seed, name, 0, work.until - work.from));
}

error too_many_requests(std::uint64_t most) {
  return {recovery::refuse, "usage",
          "the workload has more than " + std::to_string(most)
              + " requests: shorten `duration`, lower its rate, or `take` a part of its trace"};
}

std::string trace_cut_note(const scenario& plan, std::size_t workload) {
  return "workload[" + std::to_string(workload) + "].trace: goes on beyond `duration`, which is "
         + format_duration(plan.safety_us)
         + ": what comes after it was left out; raise `duration`, or say by `take` or `until` that "
           "a part of it is meant";
}

namespace {

/// Requires: the plan was checked, so that every workload's model is in it.
const scenario_model* model_of(const scenario& plan, const scenario_workload& work) {
  return &*std::find_if(plan.models.begin(), plan.models.end(),
                        [&](const scenario_model& one) { return one.name == work.model; });
}

} // namespace

arrivals::arrivals(event_heap& heap, client_port& gateway, const scenario& plan, std::uint64_t seed,
                   std::uint64_t requests_max)
    : heap_(heap), gateway_(gateway), plan_(plan), requests_max_(requests_max) {
  for (std::size_t number = 0; number < plan_.workloads.size(); ++number) {
    const auto name = std::to_string(number);
    const auto& work = plan_.workloads[number];
    auto opened = open_workload(work, seed, name);
    if (!opened) {
      failure_ = opened.failure();
      return;
    }
    const bool listens = work.drawn.process == arrival_process::closed || work.drawn.turns > 1;
    workloads_.push_back(std::make_unique<workload_state>(
        workload_state{&work, model_of(plan_, work), std::move(*opened),
                       random_source(seed, "patience " + name), core::mix(number + 1), listens}));
  }
}

void arrivals::start() {
  for (auto& one : workloads_)
    pull(*one);
}

void arrivals::pull(workload_state& of) {
  for (;;) {
    if (failure_)
      return;
    auto next = of.source->next();
    if (!next) {
      failure_ = next.failure();
      return;
    }
    if (!*next)
      return;
    (**next).at += of.work->from;
    if ((**next).at >= of.work->until) {
      of.cut = true;
      return;
    }
    // A closed loop gives all its clients at once; the rest come one after the other.
    const bool open = of.work->drawn.process != arrival_process::closed;
    schedule(of, std::move(**next), open);
    if (open)
      return;
  }
}

void arrivals::schedule(workload_state& of, arrival next, bool then_pull) {
  if (++drawn_ > requests_max_) {
    failure_ = too_many_requests(requests_max_);
    return;
  }
  const auto at = next.at;
  heap_.at(at, [this, &of, due = std::make_shared<arrival>(std::move(next)), then_pull] {
    arrive(of, std::move(*due));
    if (then_pull)
      pull(of);
  });
}

request_meta arrivals::meta_of(const workload_state& of, arrival& now) {
  request_meta meta;
  meta.external_id = "req-" + std::to_string(++submitted_);
  meta.model = model_name(of.work->model);
  meta.selector = of.work->device;
  meta.priority = of.work->priority;
  meta.policy = of.work->policy;
  meta.hedge = of.work->hedge;
  meta.deadline_us = of.work->deadline_us;
  meta.streaming = true;
  meta.prompt_tokens = now.prompt_tokens;
  meta.max_tokens = now.output_tokens;
  for (auto& hash : now.prefix)
    hash = core::mix(hash ^ of.salt);
  const auto told = std::min(now.prefix.size(), core::limits::prefix_blocks_max);
  meta.prefix_blocks.assign(now.prefix.begin(),
                            now.prefix.begin() + static_cast<std::ptrdiff_t>(told));
  return meta;
}

std::vector<std::string> arrivals::left_out() const {
  std::vector<std::string> made;
  for (std::size_t number = 0; number < workloads_.size(); ++number) {
    const auto& work = *workloads_[number]->work;
    if (workloads_[number]->cut && !work.trace_paths.empty() && !work.ends_early)
      made.push_back(trace_cut_note(plan_, number));
  }
  return made;
}

void arrivals::arrive(workload_state& of, arrival now) {
  const auto asked = now.output_tokens;
  now.output_tokens = answer_within(*of.model, now);
  auto meta = meta_of(of, now);
  if (sizes_ != nullptr)
    sizes_->on_answer_cut(meta.model.value, meta.external_id, asked, now.output_tokens);
  const auto& work = *of.work;
  // Drawn for every request, so that `cancel` does not shift those of later ones.
  const bool leaves = work.cancel_share > 0 && of.patience.unit() < work.cancel_share;
  const auto output = now.output_tokens;
  const client_prompt prompt{std::exchange(now.prefix, {}), now.prefix_tokens};
  const auto id = gateway_.submit(std::move(meta), output, prompt, [&](const request_id& made) {
    if (of.listens)
      listened_.emplace(made, std::pair(&of, std::move(now)));
  });
  if (leaves)
    heap_.after(static_cast<duration_us>(of.patience.exponential() * limits::second_us / 2),
                [this, id] { gateway_.leave(id); });
}

void arrivals::on_answered(const client_answer& ended, time_us now) {
  const auto found = listened_.find(ended.request);
  if (found == listened_.end())
    return;
  auto [of, done] = std::move(found->second);
  listened_.erase(found);
  auto next = of->source->ended(done, now - of->work->from);
  if (!next || failure_)
    return;
  next->at += of->work->from;
  // As clients' libraries do: at once it would be refused thousands of times a second.
  using enum request_outcome;
  if (ended.outcome != finished && ended.outcome != cancelled)
    next->at = std::max(next->at, now + limits::refused_pause_us);
  if (next->at >= of->work->until)
    return;
  schedule(*of, std::move(*next), false);
}

} // namespace consort::sim
