// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Embeddings of a loaded model, in a context of its own that is made when the first are asked for:
/// who never asks pays no memory. One input after another, a step at a time between the batch
/// loop's, so that nobody's answer stands still; a vector depends on its input
/// and the model alone, not on who else is served.
///
/// What the model says of itself (`<architecture>.pooling_type`) decides how the vectors of tokens
/// become one: their mean, the first, or the last; the mean where it says nothing, as models do
/// that were made to generate. The result has the length 1.
///
/// Single-threaded but for interrupt(). Borrows the model and the counters, which outlive it.

#include "node/plugins/llama/backend.hpp"
#include "node/plugins/llama/batch_loop.hpp"
#include "node/plugins/llama/embedding_job.hpp"

#include <atomic>
#include <deque>

namespace consort::llama {

/// How to make the context.
struct embedder_options {
  std::uint32_t context_tokens = 0;
  std::uint32_t threads = 1;
  std::vector<llama_adapter_lora*> adapters; ///< The model's.
};

class embedder {
public:
  embedder(llama_model& model, embedder_options options, engine_counters& counters,
           event_sink sink);

  /// What a request is measured against; never changes. `adapters` is for the caller to fill.
  [[nodiscard]] embedding_facts facts() const;

  void add(embedding_job wanted);
  /// Returns: false when it has no such request.
  bool cancel(std::uint64_t id);
  /// One engine step.
  void step();
  [[nodiscard]] bool idle() const { return queue_.empty(); }
  /// Cuts a step short, for good. From any thread.
  void interrupt() { interrupted_ = true; }

private:
  enum class pooling : std::uint8_t { mean, first, last, none };

  [[nodiscard]] std::uint32_t step_tokens() const;
  [[nodiscard]] result<done> prepare(const embedding_job& wanted);
  [[nodiscard]] result<done> compute(std::span<const llama_token> tokens);
  void take(std::size_t row);
  void finish_input();
  void begin(const embedding_job& wanted);
  void fail(const error& why);
  void forget();

  llama_model& model_;
  const embedder_options options_;
  engine_counters& counters_;
  const event_sink sink_;
  const std::size_t width_;
  pooling pooling_ = pooling::mean;
  bool whole_inputs_ = false; ///< Its tokens look ahead: an input is one step.
  context_ptr context_;       ///< Null until it is needed.
  std::uint32_t adapter_ = 0; ///< That the context computes with.
  token_batch batch_;
  std::deque<embedding_job> queue_; ///< The first is being worked on.
  bool begun_ = false;              ///< The first was announced.
  std::size_t input_ = 0;           ///< Of the first, the one at hand.
  std::size_t fed_ = 0;             ///< Tokens of it.
  std::vector<double> sum_;
  std::uint64_t queue_us_ = 0;
  std::atomic<bool> interrupted_ = false;
};

} // namespace consort::llama
