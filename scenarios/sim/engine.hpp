// SPDX-License-Identifier: Apache-2.0
#pragma once
/// A continuous-batching engine in virtual time: one loaded instance of a model on a device. Each
/// step decodes one token of every prefilled sequence and prefills prompts, first come first
/// served, within the device model's step budget. Sequences beyond its capacity wait inside, in
/// order. Never runs more than its declared sequences or KV tokens. Single-threaded.

#include "scenarios/models/device_model.hpp"
#include "scheduler/requests.hpp"

#include <deque>
#include <functional>
#include <memory>
#include <vector>

namespace consort::sim {

/// One sequence to generate. Token ids are their positions, so that a reader sees any gap.
struct engine_sequence {
  attempt_id attempt;
  std::uint32_t prompt_tokens = 0;
  std::uint32_t output_tokens = 0; ///< In all, those before a resume included.
  std::uint32_t emitted = 0;       ///< So far, those before a resume included.
  std::uint32_t prefill_left = 0;  ///< Tokens; set by the engine.
  std::uint32_t prefill_now = 0;   ///< Of the step under way; set by the engine.
  std::uint32_t batch_max = 0;     ///< Most sequences that ran beside it, itself included.
  duration_us waited_us = 0;       ///< For a slot; set by the engine.
  time_us added_at = 0;
};

class engine {
public:
  struct callbacks {
    std::function<time_us()> now;
    /// Runs an action later; dropped when the process dies first.
    std::function<void(duration_us, std::function<void()>)> after;
    std::function<void(const attempt_id&, std::int32_t token)> on_token;
    std::function<void(const engine_sequence&)> on_finished;
  };

  engine(const device_model& model, std::uint64_t kv_tokens_max, callbacks calls);

  void add(engine_sequence sequence);
  /// Returns: whether it was there.
  bool cancel(const attempt_id& attempt);
  /// Steps take `factor` times as long from the next one on.
  void set_slowness(double factor) { slowness_ = factor; }

  [[nodiscard]] std::uint32_t running() const {
    return static_cast<std::uint32_t>(running_.size());
  }
  [[nodiscard]] std::uint32_t sequences_max() const { return model_.max_sequences; }
  [[nodiscard]] std::uint64_t kv_tokens_used() const { return kv_tokens_used_; }
  [[nodiscard]] std::uint64_t kv_tokens_max() const { return kv_tokens_max_; }
  /// As it tells the scheduler.
  [[nodiscard]] capacity_vector capacity() const;
  /// Attempts inside, running ones first.
  [[nodiscard]] std::vector<attempt_id> attempts() const;

private:
  static std::uint64_t kv_tokens_of(const engine_sequence& sequence);
  void admit();
  void begin_step();
  void end_step();

  const device_model& model_;
  std::uint64_t kv_tokens_max_;
  callbacks calls_;
  std::vector<engine_sequence> running_;
  std::deque<engine_sequence> waiting_;
  std::uint64_t kv_tokens_used_ = 0;
  double slowness_ = 1;
  bool stepping_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true); ///< Voids a step under way.
};

} // namespace consort::sim
