// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Steps of one llama.cpp context whose KV memory is partitioned: each slot is a sequence with room
/// for the whole context. Owns the context, borrows the model.

#include "node/plugins/llama/backend.hpp"
#include "node/plugins/llama/step_engine.hpp"
#include "node/plugins/llama/step_peers.hpp"

#include <atomic>
#include <vector>

namespace consort::llama {

class llama_steps final : public step_engine {
public:
  /// `peers`, which may be null, take part in every step; they outlive it.
  /// `adapters` belong to the context's model.
  llama_steps(context_ptr context, std::uint32_t context_tokens, std::uint32_t slots,
              step_peers* peers = nullptr, std::vector<llama_adapter_lora*> adapters = {});

  step_outcome step(std::span<const step_row> rows, std::string& why) override;
  std::span<const float> logits(std::size_t row) override;
  void drop(std::uint32_t slot) override;
  bool copy(std::uint32_t from, std::uint32_t to) override;
  [[nodiscard]] bool copies() const override { return true; }
  [[nodiscard]] std::uint32_t slots() const override {
    return static_cast<std::uint32_t>(used_.size());
  }
  [[nodiscard]] std::uint32_t context_tokens() const override { return context_tokens_; }
  [[nodiscard]] std::uint32_t rows_max() const override;
  void interrupt() override { interrupted_ = true; }

private:
  [[nodiscard]] bool use_adapter(std::uint32_t adapter);
  void forget(std::uint32_t slot);
  void fill_gap(std::uint32_t from, std::uint32_t to);

  context_ptr context_;
  const std::uint32_t context_tokens_;
  const std::size_t vocabulary_; ///< Tokens.
  step_peers* const peers_;
  const std::vector<llama_adapter_lora*> adapters_;
  std::uint32_t adapter_ = 0; ///< That the context computes with.
  token_batch batch_;
  std::vector<bool> used_;            ///< By slot: there is something in it.
  std::vector<std::uint32_t> filled_; ///< Slots that hold a dummy row of this step.
  std::vector<std::int32_t> rows_;    ///< Where each row of the latest step is in the batch.
  std::atomic<bool> interrupted_ = false;
};

} // namespace consort::llama
