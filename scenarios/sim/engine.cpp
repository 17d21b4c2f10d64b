// SPDX-License-Identifier: Apache-2.0
#include "scenarios/sim/engine.hpp"

#include <algorithm>

namespace consort::sim {

engine::engine(const device_model& model, std::uint64_t kv_tokens_max, callbacks calls)
    : model_(model), kv_tokens_max_(kv_tokens_max), calls_(std::move(calls)) {}

std::uint64_t engine::kv_tokens_of(const engine_sequence& sequence) {
  return std::uint64_t{sequence.prompt_tokens} + sequence.output_tokens;
}

void engine::add(engine_sequence sequence) {
  // A resume prefills what was already emitted together with the prompt.
  sequence.prefill_left = std::max(sequence.prompt_tokens + sequence.emitted, 1U);
  sequence.added_at = calls_.now();
  waiting_.push_back(sequence);
  begin_step();
}

bool engine::cancel(const attempt_id& attempt) {
  const auto same = [&](const engine_sequence& one) { return one.attempt == attempt; };
  if (const auto found = std::find_if(waiting_.begin(), waiting_.end(), same);
      found != waiting_.end()) {
    waiting_.erase(found);
    return true;
  }
  const auto found = std::find_if(running_.begin(), running_.end(), same);
  if (found == running_.end())
    return false;
  kv_tokens_used_ -= kv_tokens_of(*found);
  running_.erase(found);
  begin_step();
  return true;
}

capacity_vector engine::capacity() const {
  capacity_vector made;
  made.sequences = {sequences_max(), figure_source::engine, 0};
  made.kv_tokens = {kv_tokens_max_, figure_source::engine, 0};
  made.step_tokens = {model_.step_tokens, figure_source::engine, 0};
  return made;
}

std::vector<attempt_id> engine::attempts() const {
  std::vector<attempt_id> made;
  for (const auto& sequence : running_)
    made.push_back(sequence.attempt);
  for (const auto& sequence : waiting_)
    made.push_back(sequence.attempt);
  return made;
}

void engine::admit() {
  // In order: a small sequence never overtakes a large one, so nothing starves.
  while (!waiting_.empty() && running_.size() < model_.max_sequences
         && kv_tokens_used_ + kv_tokens_of(waiting_.front()) <= kv_tokens_max_) {
    auto& next = waiting_.front();
    next.waited_us = calls_.now() - next.added_at;
    kv_tokens_used_ += kv_tokens_of(next);
    running_.push_back(next);
    waiting_.pop_front();
  }
}

void engine::begin_step() {
  if (stepping_)
    return;
  admit();
  if (running_.empty())
    return;
  std::uint32_t decoding = 0;
  std::uint32_t budget = model_.step_tokens;
  std::uint32_t prefilled = 0;
  for (auto& sequence : running_) {
    sequence.batch_max = std::max(sequence.batch_max, running());
    // Earlier sequences take the prefill budget first; decoding needs none of it.
    sequence.prefill_now = std::min(sequence.prefill_left, budget - prefilled);
    prefilled += sequence.prefill_now;
    decoding += sequence.prefill_left == 0 ? 1 : 0;
  }
  stepping_ = true;
  const auto span = static_cast<double>(step_us(model_, decoding, prefilled)) * slowness_;
  calls_.after(static_cast<duration_us>(span), [this, alive = std::weak_ptr(alive_)] {
    if (!alive.expired())
      end_step();
  });
}

void engine::end_step() {
  stepping_ = false;
  std::vector<engine_sequence> finished;
  for (auto& sequence : running_) {
    const bool prefilling = sequence.prefill_left > 0;
    sequence.prefill_left -= sequence.prefill_now;
    // One admitted during the step has neither decoded nor prefilled yet.
    if (sequence.prefill_left > 0 || (prefilling && sequence.prefill_now == 0))
      continue;
    sequence.prefill_now = 0;
    if (sequence.emitted < sequence.output_tokens)
      calls_.on_token(sequence.attempt, static_cast<std::int32_t>(sequence.emitted++));
    if (sequence.emitted >= sequence.output_tokens)
      finished.push_back(sequence);
  }
  // Apart from the loop above, which holds references into running_.
  for (const auto& sequence : finished) {
    kv_tokens_used_ -= kv_tokens_of(sequence);
    std::erase_if(running_,
                  [&](const engine_sequence& one) { return one.attempt == sequence.attempt; });
    calls_.on_finished(sequence);
  }
  begin_step();
}

} // namespace consort::sim
