// SPDX-License-Identifier: Apache-2.0
// Plans on a simulated node: a prompt is read by the engine of one device, its KV cache is sent,
// and the answer is written by the engine of another, each beside what it serves by itself.
#include "scenarios/sim/node_state.hpp"

#include <algorithm>

namespace consort::sim {

instance_id node_model::stage_of(const instance& plan, const std::string& name) const {
  for (const auto& [number, one] : instances_)
    if (one.leader.value == description_.name + "/" + name && one.model == plan.model)
      return number;
  return {};
}

engine* node_model::decodes_at(instance_id which) {
  const auto& one = instances_.at(which);
  const auto& members = device_of(one.leader).model->stages;
  if (members.empty())
    return one.runs.get();
  const auto reads = stage_of(one, members.prefill);
  const auto writes = stage_of(one, members.decode);
  return reads && writes ? instances_.at(writes).runs.get() : nullptr;
}

void node_model::begin_work(instance_id which, engine_sequence sequence) {
  auto& one = instances_.at(which);
  const auto& members = device_of(one.leader).model->stages;
  if (members.empty())
    return add_to(one, std::move(sequence));
  const auto bytes = double(sequence.prompt_tokens) * one.variant.kv_bytes_per_token;
  staged_work work{which, stage_of(one, members.decode), sequence,
                   members.transfer_us
                       + static_cast<duration_us>(bytes / (members.transfer_gb_per_s * 1e3))};
  staged_[sequence.attempt] = std::move(work);
  // Its last token is the stream's next, as where a device splits the two phases itself.
  sequence.output_tokens = std::min(sequence.output_tokens, sequence.emitted + 1);
  add_to(instances_.at(stage_of(one, members.prefill)), std::move(sequence));
}

void node_model::add_to(instance& one, engine_sequence sequence) {
  device_of(one.leader).split.begin(sequence.attempt, world_.heap.now());
  one.runs->add(std::move(sequence));
}

bool node_model::hand_on(const engine_sequence& done, std::optional<std::uint64_t>& drawn_uj) {
  const auto found = staged_.find(done.attempt);
  if (found == staged_.end())
    return false;
  auto& work = found->second;
  drawn_uj = work.drawn_uj && drawn_uj ? std::optional(*work.drawn_uj + *drawn_uj) : std::nullopt;
  if (!work.reading || done.emitted >= work.whole.output_tokens) {
    staged_.erase(found);
    return false;
  }
  work.reading = false;
  work.drawn_uj = drawn_uj;
  work.whole.emitted = done.emitted;
  work.whole.cached_tokens = done.cached_tokens;
  work.whole.waited_us = done.waited_us;
  work.whole.computed = true;
  after(work.transfer_us, [this, attempt = done.attempt] { arrive(attempt); });
  return true;
}

void node_model::arrive(const attempt_id& attempt) {
  const auto found = staged_.find(attempt);
  if (found == staged_.end())
    return; // Its client left, or its plan did.
  const auto writes = instances_.find(found->second.writes);
  if (writes != instances_.end())
    return add_to(writes->second, found->second.whole);
  const auto drawn_mj = energy_mj_of(found->second.drawn_uj);
  tell_drawn(attempt, drawn_mj);
  if (const auto stream = streams_.find(attempt); stream != streams_.end()) {
    send_event(stream->second, attempt_aborted{{recovery::retry_elsewhere, "runtime_died",
                                                "the server that was to decode it is gone"},
                                               true,
                                               drawn_mj});
    streams_.erase(stream);
  }
  staged_.erase(found);
}

/// Of a plan those that it handed to its members.
std::vector<attempt_id> node_model::attempts_of(instance_id which) const {
  auto made = instances_.at(which).runs->attempts();
  for (const auto& [attempt, work] : staged_)
    if (work.plan == which)
      made.push_back(attempt);
  return made;
}

} // namespace consort::sim
