// SPDX-License-Identifier: Apache-2.0
#include "node/plugins/llama/llama_steps.hpp"

#include "node/plugins/llama/limits.hpp"

namespace consort::llama {

llama_steps::llama_steps(context_ptr context, std::uint32_t context_tokens, std::uint32_t slots,
                         step_peers* peers, std::vector<llama_adapter_lora*> adapters)
    : context_(std::move(context)),
      context_tokens_(context_tokens),
      vocabulary_(static_cast<std::size_t>(
          llama_vocab_n_tokens(llama_model_get_vocab(llama_get_model(context_.get()))))),
      peers_(peers),
      adapters_(std::move(adapters)),
      batch_(static_cast<std::int32_t>(limits::batch_tokens)),
      used_(slots) {
  // A step of a large model may take long: an interrupt cuts it short.
  llama_set_abort_callback(
      context_.get(), [](void* flag) { return static_cast<std::atomic<bool>*>(flag)->load(); },
      &interrupted_);
}

std::uint32_t llama_steps::rows_max() const {
  return limits::batch_tokens;
}

/// llama.cpp runs a pass for each run of neighbouring ids: a dummy row closes the gap for less.
void llama_steps::fill_gap(std::uint32_t from, std::uint32_t to) {
  for (auto slot = from; slot < to; ++slot)
    if (!used_[slot]) {
      batch_.add(0, 0, static_cast<llama_seq_id>(slot), false);
      filled_.push_back(slot);
    }
}

bool llama_steps::use_adapter(std::uint32_t adapter) {
  if (adapter == adapter_)
    return true;
  auto* chosen = adapter == 0 ? nullptr : adapters_.at(adapter - 1);
  float scale = 1.0F;
  if (llama_set_adapters_lora(context_.get(), &chosen, adapter == 0 ? 0 : 1, &scale) != 0)
    return false;
  adapter_ = adapter;
  return true;
}

step_outcome llama_steps::step(std::span<const step_row> rows, std::string& why) {
  if (!rows.empty() && !use_adapter(rows.front().adapter)) {
    why = last_engine_error("an adapter cannot be used");
    return step_outcome::failed;
  }
  batch_.clear();
  rows_.clear();
  filled_.clear();
  for (std::size_t at = 0; at < rows.size(); ++at) {
    const auto& row = rows[at];
    if (at > 0 && rows[at - 1].slot < row.slot)
      fill_gap(rows[at - 1].slot + 1, row.slot);
    rows_.push_back(batch_.add(row.token, static_cast<llama_pos>(row.position),
                               static_cast<llama_seq_id>(row.slot), row.wants_logits));
  }
  if (peers_ != nullptr)
    peers_->begin_step(batch_.raw());
  const auto failed = llama_decode(context_.get(), batch_.raw());
  if (peers_ != nullptr)
    failed == 0 ? peers_->finish_step(*context_, batch_.raw()) : peers_->drop_step();
  for (const auto slot : filled_)
    forget(slot);
  for (const auto& row : rows)
    used_[row.slot] = true;
  if (failed == 0)
    return step_outcome::done;
  if (failed == 2)
    return step_outcome::interrupted;
  why = last_engine_error("llama_decode returned " + std::to_string(failed));
  llama_memory_clear(llama_get_memory(context_.get()), true);
  if (peers_ != nullptr)
    peers_->forget_all();
  return step_outcome::failed;
}

void llama_steps::forget(std::uint32_t slot) {
  const auto sequence = static_cast<llama_seq_id>(slot);
  llama_memory_seq_rm(llama_get_memory(context_.get()), sequence, -1, -1);
  if (peers_ != nullptr)
    peers_->forget_sequence(sequence);
}

std::span<const float> llama_steps::logits(std::size_t row) {
  return {llama_get_logits_ith(context_.get(), rows_[row]), vocabulary_};
}

void llama_steps::drop(std::uint32_t slot) {
  forget(slot);
  used_[slot] = false;
}

bool llama_steps::copy(std::uint32_t from, std::uint32_t to) {
  const auto source = static_cast<llama_seq_id>(from);
  const auto target = static_cast<llama_seq_id>(to);
  llama_memory_seq_cp(llama_get_memory(context_.get()), source, target, -1, -1);
  if (peers_ != nullptr)
    peers_->copy_sequence(source, target);
  used_[to] = true;
  return true;
}

} // namespace consort::llama
