// SPDX-License-Identifier: Apache-2.0
// What the next step of a batch holds, and how many steps can be taken at once.
#include "scenarios/models/batch.hpp"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <utility>

namespace consort::sim {

std::optional<batch::plan> batch::begin(double now_us, double most_us) {
  assert(!stepping_);
  preempted_ = false;
  load_.chunks.clear();
  plan_decode();
  auto budget = settings_.step_tokens - std::min(settings_.step_tokens, decoding_);
  plan_running_chunks(budget);
  if (!preempted_) {
    const auto before = orders_;
    admit(budget);
    for (auto at = tail_; at != none && slots_[at].order > before; at = slots_[at].previous)
      if (!std::exchange(slots_[at].admitted, true))
        slots_[at].shown.waited_us = now_us - slots_[at].added_us;
  }
  if (running_ == 0) {
    grown_steps_ = 0;
    return std::nullopt;
  }
  stepping_ = true;
  load_.decoding = decoding_;
  load_.decode_kv = decode_kv_;
  load_.rows = decoding_ + static_cast<std::uint32_t>(load_.chunks.size());
  plan_ = {0, 1, decoding_, cost_->intensity(load_), load_.prefill_tokens()};
  if (chunked_.empty()) {
    line_ = cost_->line_of(decoding_, double(decode_kv_));
    plan_.steps = static_cast<std::uint32_t>(macro_steps(most_us));
    plan_.us = span_us(plan_.steps);
    grow_for(plan_.steps);
  } else {
    plan_.us = cost_->step_us(load_);
    // Seen by whoever prefills now; those that decode are looked at when they are told.
    for (const auto at : chunked_)
      slots_[at].shown.batch_max = std::max(slots_[at].shown.batch_max, running_);
  }
  return plan_;
}

double batch::cut(double elapsed_us) {
  if (!stepping_ || plan_.steps <= 1)
    return plan_.us;
  std::uint32_t low = 1;
  std::uint32_t high = plan_.steps;
  while (low < high) {
    const auto middle = low + (high - low) / 2;
    if (span_us(middle) >= elapsed_us)
      high = middle;
    else
      low = middle + 1;
  }
  grow_for(low);
  plan_.steps = low;
  return plan_.us = span_us(low);
}

/// Room for the token that every decoding sequence gets, by preempting the youngest if need be.
void batch::plan_decode() {
  if (settings_.reserves_output)
    return;
  while (decoding_ > 0 && growth_at(steps_) > blocks_.available())
    preempt(tail_);
  blocks_.take(growth_at(steps_));
  grown_steps_ = 1;
}

/// Blocks for `steps` steps instead of those that were taken for.
void batch::grow_for(std::uint32_t steps) {
  if (settings_.reserves_output)
    return;
  const auto held = growth_over(grown_steps_);
  const auto wanted = growth_over(steps);
  if (wanted > held)
    blocks_.take(wanted - held);
  else
    blocks_.give(held - wanted);
  grown_steps_ = steps;
}

void batch::plan_running_chunks(std::uint32_t& budget) {
  // Only the youngest prefill: whoever decodes was admitted before them, or is done with it. From
  // the tail backwards to the first of them, then forwards, in order.
  auto at = tail_;
  auto first = none;
  for (; at != none && !slots_[at].decoding; at = slots_[at].previous)
    first = at;
  for (at = first; at != none && budget > 0;) {
    const auto next = slots_[at].next;
    auto& one = slots_[at];
    const auto left = one.total_tokens - one.kv_tokens;
    const auto tokens = std::min(left, budget);
    while (!take_for_chunk(one, tokens) && tail_ != at)
      preempt(tail_);
    if (one.chunk == 0) {
      preempt(at); // It was the youngest itself.
      return;
    }
    add_chunk(at, tokens);
    budget -= tokens;
    at = preempted_ ? none : next;
  }
}

void batch::admit(std::uint32_t& budget) {
  // In order: a small sequence never overtakes a large one, so nothing starves.
  while (!waiting_.empty() && running_ < settings_.max_sequences && budget > 0)
    if (!admit_first(budget))
      return;
}

/// Fills `known_` with what the cache has of its prompt, from the first block on. Returns: how many
/// of their blocks nobody else holds.
std::uint64_t batch::look_up_prefix(const slot& one) {
  known_.clear();
  const auto& wanted = one.shown.request;
  if (!settings_.prefix_cache || wanted.prefix_tokens == 0)
    return 0;
  std::uint64_t woken = 0;
  for (const auto hash : wanted.prefix) {
    const auto tokens = (std::uint64_t{known_.size()} + 1) * wanted.prefix_tokens;
    if (tokens >= one.total_tokens || tokens > wanted.prompt_tokens)
      break;
    const auto found = blocks_.find(hash);
    if (found == batch_blocks::none)
      break;
    woken += blocks_.idle_blocks(found);
    known_.push_back(found);
  }
  return woken;
}

bool batch::admit_first(std::uint32_t& budget) {
  const auto at = waiting_.front();
  auto& one = slots_[at];
  const auto& wanted = one.shown.request;
  // The last prompt token is always computed: its logits are the first token.
  const auto woken = look_up_prefix(one);
  const auto cached = static_cast<std::uint32_t>(known_.size()) * wanted.prefix_tokens;
  const auto left = wanted.computed ? 1 : one.total_tokens - cached;
  const bool whole = !settings_.prompt_buckets.empty();
  if (whole && padded(left) > budget && !chunked_.empty())
    return false;
  const auto all = settings_.reserves_output
                       ? std::uint64_t{wanted.prompt_tokens} + wanted.output_tokens
                       : one.total_tokens;
  // Its whole prompt must fit, though blocks are taken chunk by chunk.
  if (blocks_of(all) - blocks_of(cached) + woken > blocks_.available())
    return false;
  for (auto next = one.shared.size(); next < known_.size(); ++next) {
    blocks_.hold(known_[next]);
    one.shared.push_back(known_[next]);
  }
  waiting_.pop_front();
  link(at);
  one.kv_tokens = one.total_tokens - left;
  if (!one.admitted)
    one.shown.cached_tokens = cached;
  if (settings_.reserves_output) {
    reserved_tokens_ += all;
    one.own_blocks = blocks_of(all) - blocks_of(cached);
    blocks_.take(one.own_blocks);
  } else if (wanted.computed) {
    // Beside what the cache has of its prompt: of a plan's members each knows prefixes of its own.
    one.own_blocks = blocks_of(one.kv_tokens) - blocks_of(cached);
    blocks_.take(one.own_blocks);
  }
  const auto tokens = whole ? left : std::min(left, budget);
  take_for_chunk(one, tokens);
  add_chunk(at, tokens);
  budget -= std::min(budget, padded(tokens));
  return true;
}

/// Takes what the chunk needs beyond what the sequence has. Returns: false when there is less.
bool batch::take_for_chunk(slot& one, std::uint32_t tokens) {
  if (!settings_.reserves_output) {
    const auto need = blocks_of(std::uint64_t{one.kv_tokens} + tokens);
    const auto have
        = one.own_blocks + blocks_of(one.shared.size() * one.shown.request.prefix_tokens);
    if (need > have && !blocks_.take(need - have))
      return false;
    one.own_blocks += need > have ? need - have : 0;
  }
  one.chunk = tokens;
  return true;
}

void batch::add_chunk(std::uint32_t at, std::uint32_t tokens) {
  chunked_.push_back(at);
  load_.chunks.push_back({padded(tokens), slots_[at].kv_tokens});
}

/// Prompt blocks that are now computed become known to others.
void batch::share_prefix(slot& one) {
  const auto& wanted = one.shown.request;
  if (!settings_.prefix_cache || wanted.prefix_tokens == 0)
    return;
  const auto blocks = static_cast<std::uint32_t>(blocks_of(wanted.prefix_tokens));
  const auto computed = std::min(one.kv_tokens, wanted.prompt_tokens);
  while (one.shared.size() < wanted.prefix.size()
         && (one.shared.size() + 1) * wanted.prefix_tokens <= computed
         && one.own_blocks >= blocks) {
    one.own_blocks -= blocks;
    one.shared.push_back(blocks_.share(wanted.prefix[one.shared.size()], blocks));
  }
}

std::uint64_t batch::blocks_of(std::uint64_t tokens) const {
  return (tokens + settings_.block_tokens - 1) / settings_.block_tokens;
}

std::uint32_t batch::padded(std::uint32_t tokens) const {
  if (settings_.prompt_buckets.empty())
    return tokens;
  for (const auto bucket : settings_.prompt_buckets)
    if (bucket >= tokens)
      return bucket;
  const auto largest = settings_.prompt_buckets.back();
  return (tokens + largest - 1) / largest * largest;
}

/// Blocks that this decode step needs.
std::uint64_t batch::growth_at(std::uint64_t step) const {
  const auto block = settings_.block_tokens;
  return phases_[(block - step % block) % block];
}

std::uint64_t batch::growth_over(std::uint64_t steps) const {
  const auto block = settings_.block_tokens;
  std::uint64_t sum = steps / block * decoding_;
  for (std::uint64_t step = 0; step < steps % block; ++step)
    sum += growth_at(steps_ + step);
  return sum;
}

/// Time of the first `steps` steps of a macro-step: every step reads `decoding` tokens more.
double batch::span_us(double steps) const {
  return steps
         * (line_.base_us
            + line_.slope_us * (double(load_.decode_kv) + load_.decoding * (steps - 1) / 2));
}

std::uint64_t batch::macro_steps(double most_us) const {
  std::uint64_t most = 1'000'000;
  if (!endings_.empty()) {
    const auto last = endings_.top().step;
    most = std::min(most, last > steps_ ? last - steps_ : 1);
  }
  // To where the line bends.
  if (std::isfinite(line_.until))
    most = std::min(most, static_cast<std::uint64_t>(std::max(
                              std::ceil((line_.until - double(decode_kv_)) / decoding_), 1.0)));
  const double first = span_us(1);
  if (first * double(most) > most_us)
    most = std::min(most, static_cast<std::uint64_t>(std::max(most_us / first, 1.0)));
  while (most > 1 && span_us(double(most)) > most_us)
    most -= std::max<std::uint64_t>(most / 16, 1);
  // To where blocks run out: whole rounds of a block take one for each sequence.
  if (!settings_.reserves_output)
    while (most > 1 && growth_over(most) - growth_over(1) > blocks_.available())
      most -= std::max<std::uint64_t>(most / 8, 1);
  return most;
}

} // namespace consort::sim
