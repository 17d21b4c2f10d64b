// SPDX-License-Identifier: Apache-2.0
// Sequences of a batch: how they come, run, grow and go.
#include "scenarios/models/batch.hpp"

#include <algorithm>
#include <cassert>
#include <cmath>

namespace consort::sim {

batch::batch(batch_settings settings, step_cost_ptr cost)
    : settings_(std::move(settings)),
      cost_(std::move(cost)),
      blocks_(settings_.blocks),
      phases_(settings_.block_tokens, 0) {}

void batch::add(batch_request wanted, double now_us) {
  std::uint32_t at = 0;
  if (unused_.empty()) {
    at = static_cast<std::uint32_t>(slots_.size());
    slots_.emplace_back();
  } else {
    at = unused_.back();
    unused_.pop_back();
    slots_[at] = {};
  }
  auto& one = slots_[at];
  // A resume computes what was already emitted together with the prompt.
  one.total_tokens = std::max(wanted.prompt_tokens + wanted.emitted, 1U);
  one.shown.emitted = one.shown.told = wanted.emitted;
  one.added_us = now_us;
  places_[wanted.id] = at;
  one.shown.request = std::move(wanted);
  waiting_.push_back(at);
}

bool batch::cancel(std::uint64_t id) {
  const auto place = places_.find(id);
  if (place == places_.end())
    return false;
  const auto at = place->second;
  const auto found = std::find(waiting_.begin(), waiting_.end(), at);
  if (found != waiting_.end()) {
    waiting_.erase(found);
  } else {
    std::erase(chunked_, at);
    if (slots_[at].decoding)
      leave_decode(slots_[at]);
    free_blocks(slots_[at]);
    unlink(at);
  }
  slots_[at].order = 0; // Voids its ending.
  places_.erase(place);
  unused_.push_back(at);
  return true;
}

void batch::end() {
  assert(stepping_);
  stepping_ = false;
  first_.clear();
  finished_.clear();
  steps_ += plan_.steps;
  grown_steps_ = 0;
  decode_kv_ += std::uint64_t{decoding_} * plan_.steps;
  for (const auto at : chunked_) {
    auto& one = slots_[at];
    one.kv_tokens += one.chunk;
    one.chunk = 0;
    share_prefix(one);
    if (one.kv_tokens < one.total_tokens)
      continue;
    // A resume may ask for what it already has.
    if (one.shown.emitted < one.shown.request.output_tokens) {
      if (one.shown.emitted++ == one.shown.request.emitted)
        first_.push_back(one.shown.request.id);
    }
    join_decode(at);
  }
  chunked_.clear();
  while (!endings_.empty() && endings_.top().step <= steps_) {
    const auto next = endings_.top();
    endings_.pop();
    if (slots_[next.at].order == next.order)
      finish(next.at);
  }
}

void batch::refresh(slot& one) const {
  if (one.decoding)
    one.shown.emitted = one.joined_emitted + static_cast<std::uint32_t>(steps_ - one.joined_step);
  one.shown.batch_max = std::max(one.shown.batch_max, running_);
}

std::vector<std::uint64_t> batch::ids() const {
  std::vector<std::uint64_t> made;
  for (auto at = head_; at != none; at = slots_[at].next)
    made.push_back(slots_[at].shown.request.id);
  for (const auto at : waiting_)
    made.push_back(slots_[at].shown.request.id);
  return made;
}

std::uint32_t batch::running_slot(std::uint64_t id) const {
  const auto found = places_.find(id);
  return found == places_.end() || slots_[found->second].order == 0 ? none : found->second;
}

batch_sequence* batch::find(std::uint64_t id) {
  const auto at = running_slot(id);
  if (at == none)
    return nullptr;
  refresh(slots_[at]);
  return &slots_[at].shown;
}

std::uint64_t batch::kv_tokens_used() const {
  return settings_.reserves_output ? reserved_tokens_ : blocks_.held() * settings_.block_tokens;
}

void batch::link(std::uint32_t at) {
  auto& one = slots_[at];
  one.order = ++orders_;
  one.previous = tail_;
  one.next = none;
  (tail_ == none ? head_ : slots_[tail_].next) = at;
  tail_ = at;
  ++running_;
}

void batch::unlink(std::uint32_t at) {
  auto& one = slots_[at];
  (one.previous == none ? head_ : slots_[one.previous].next) = one.next;
  (one.next == none ? tail_ : slots_[one.next].previous) = one.previous;
  --running_;
}

void batch::join_decode(std::uint32_t at) {
  auto& one = slots_[at];
  one.decoding = true;
  one.joined_step = steps_;
  one.joined_emitted = one.shown.emitted;
  ++decoding_;
  decode_kv_ += one.kv_tokens;
  const auto block = settings_.block_tokens;
  ++phases_[(one.kv_tokens + block - steps_ % block) % block];
  const auto left = one.shown.request.output_tokens
                    - std::min(one.shown.request.output_tokens, one.shown.emitted);
  endings_.push({steps_ + left, one.order, at});
}

void batch::leave_decode(slot& one) {
  const auto block = settings_.block_tokens;
  const auto grown = static_cast<std::uint32_t>(steps_ - one.joined_step);
  --phases_[(one.kv_tokens + block - one.joined_step % block) % block];
  one.own_blocks += grown_blocks(one);
  one.kv_tokens += grown;
  // What was taken for steps that it will not take part in.
  if (!settings_.reserves_output)
    blocks_.give(blocks_of(std::uint64_t{one.kv_tokens} + grown_steps_) - blocks_of(one.kv_tokens));
  refresh(one);
  one.decoding = false;
  --decoding_;
  decode_kv_ -= one.kv_tokens;
}

/// Blocks that it has taken since it began to decode.
std::uint64_t batch::grown_blocks(const slot& one) const {
  if (settings_.reserves_output)
    return 0;
  return blocks_of(one.kv_tokens + (steps_ - one.joined_step)) - blocks_of(one.kv_tokens);
}

void batch::free_blocks(slot& one) {
  blocks_.give(one.own_blocks);
  // The last of a prefix first, so that its beginning stays longest.
  for (; !one.shared.empty(); one.shared.pop_back())
    blocks_.release(one.shared.back());
  one.own_blocks = 0;
  if (settings_.reserves_output)
    reserved_tokens_
        -= std::uint64_t{one.shown.request.prompt_tokens} + one.shown.request.output_tokens;
}

void batch::finish(std::uint32_t at) {
  auto& one = slots_[at];
  leave_decode(one);
  free_blocks(one);
  unlink(at);
  one.order = 0;
  places_.erase(one.shown.request.id);
  finished_.push_back(std::move(one.shown));
  unused_.push_back(at);
}

/// Back to the front of those that wait; all it computed is lost, its tokens are not.
void batch::preempt(std::uint32_t at) {
  auto& one = slots_[at];
  ++preemptions_;
  preempted_ = true;
  if (one.decoding)
    leave_decode(one);
  std::erase(chunked_, at);
  free_blocks(one);
  unlink(at);
  one.order = 0;
  one.kv_tokens = one.chunk = 0;
  one.total_tokens = one.shown.request.prompt_tokens + one.shown.emitted;
  waiting_.push_front(at);
}

} // namespace consort::sim
