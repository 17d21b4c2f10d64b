// SPDX-License-Identifier: Apache-2.0
#pragma once
/// A loaded instance of a model on a device: a batch (scenarios/models/batch.hpp) whose steps are
/// entries of its owner's clock, virtual in a simulated node, real in a node that runs simulated
/// devices; two batches where prefill and decode are split. Sequences beyond its capacity wait
/// inside, in order. Owned by its node; single-threaded.
///
/// Tokens are handed over as they come (`each`), one step at a time; or gathered (`gathered`), many
/// steps at a time: the first at once, later ones every limits::gather_every_us and at the end.
/// What a batch computes is the same; a sequence lost with its process loses what was gathered.

#include "scenarios/models/batch.hpp"
#include "scenarios/models/device_model.hpp"
#include "scenarios/models/inline_action.hpp"
#include "scenarios/sim/random.hpp"
#include "scheduler/requests.hpp"

#include <functional>
#include <map>
#include <memory>
#include <unordered_map>
#include <vector>

namespace consort::sim {

/// One sequence to generate. Token ids are their positions, so that a reader sees any gap.
struct engine_sequence {
  attempt_id attempt;
  std::uint32_t prompt_tokens = 0;
  std::uint32_t output_tokens = 0;   ///< In all, those before a resume included.
  std::uint32_t emitted = 0;         ///< So far, those before a resume included.
  std::vector<std::uint64_t> prefix; ///< Chained hashes of prompt blocks; empty = none known.
  std::uint32_t prefix_tokens = 0;   ///< Of each such block.
  std::uint32_t cached_tokens = 0;   ///< Of the prompt, found in the cache; set by the engine.
  std::uint32_t batch_max = 0;       ///< Most sequences that ran beside it, itself included.
  duration_us waited_us = 0;         ///< For a slot; set by the engine.
  bool computed
      = false; ///< Prefilled elsewhere; its KV cache, and what the engine sets, came along.
};

/// When tokens leave the engine.
enum class token_delivery : std::uint8_t { each, gathered };

class engine {
public:
  struct callbacks {
    std::function<time_us()> now;
    /// Runs an action later; dropped when the process dies first.
    std::function<void(duration_us, engine_action)> after;
    /// Tokens `first` to `first + count - 1`.
    std::function<void(const attempt_id&, std::uint32_t first, std::uint32_t count)> on_tokens;
    std::function<void(const engine_sequence&)> on_finished;
    /// `count` tokens came this long after the one before; those behind a stream's first alone.
    std::function<void(duration_us gap, std::uint64_t count)> on_gaps;
    /// Energy above the board's idle power.
    std::function<void(double millijoules)> on_energy;
    /// On a device that was measured: the most sequences decoded in one step so far, and the most
    /// tokens of prompts; each time that one of the two grows.
    std::function<void(const device_model&, std::uint32_t sequences, std::uint32_t tokens)>
        on_widest;
  };

  engine(device_model_ptr model, const model_shape& shape, std::uint64_t kv_tokens_max,
         token_delivery delivery, random_source chance, callbacks calls);
  ~engine();

  void add(engine_sequence sequence);
  /// Returns: whether it was there.
  bool cancel(const attempt_id& attempt);
  /// Steps take `factor` times as long from the next one on.
  void set_slowness(double factor) { slowness_ = factor; }

  /// At most sequences_max().
  [[nodiscard]] std::uint32_t running() const;
  [[nodiscard]] std::uint32_t sequences_max() const { return model_.max_sequences; }
  [[nodiscard]] std::uint64_t kv_tokens_used() const;
  [[nodiscard]] std::uint64_t kv_tokens_max() const;
  /// As it tells the scheduler.
  [[nodiscard]] capacity_vector capacity() const;
  /// Attempts inside, in order of arrival.
  [[nodiscard]] std::vector<attempt_id> attempts() const;
  /// Power now, 0 = idle, 1 = its limit.
  [[nodiscard]] double intensity() const;
  /// When it last had work; now, if it has.
  [[nodiscard]] time_us busy_at() const;

private:
  /// One batch and its step under way.
  struct lane {
    explicit lane(const device_model& of, batch made) : model(&of), work(std::move(made)) {}
    const device_model* model;
    batch work;
    double began_us = 0;
    double free_us = 0; ///< Exact end of the last step, between two ticks of the clock.
    double factor = 1;  ///< Of the step under way: slowness and power cap.
    batch::plan now;
    std::uint64_t generation = 0; ///< Voids the ends of steps that were cut.
    time_us flushed_at = 0;
    time_us idle_since = 0;
    std::uint32_t most_sequences = 0; ///< See callbacks::on_widest.
    std::uint32_t most_tokens = 0;
  };

  void admit(std::uint64_t id);
  void touch(lane& at);
  void begin(lane& at);
  void tell_widest(lane& at);
  void schedule_end(lane& at, double us);
  void end(lane& at);
  void deliver(lane& at, bool all);
  void hand_over(batch_sequence& one);
  void complete(batch_sequence& done);
  void complete_prefill(batch_sequence& done);
  [[nodiscard]] bool split() const { return lanes_.size() > 1; }
  lane& decode_lane() { return *lanes_.front(); }

  device_model_ptr device_;
  const device_model& model_;
  token_delivery delivery_;
  random_source chance_;
  callbacks calls_;
  std::vector<std::unique_ptr<lane>> lanes_;        ///< Decode, or all; then prefill, if apart.
  std::map<std::uint64_t, engine_sequence> inside_; ///< By order of arrival.
  std::map<attempt_id, std::uint64_t> ids_;
  std::uint64_t arrivals_ = 0;
  double slowness_ = 1;
  double kv_bytes_ = 0; ///< Of one token, for its way between the two sides.
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true); ///< Voids what is still to come.
};

} // namespace consort::sim
