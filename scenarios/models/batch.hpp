// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Continuous batching as vLLM's scheduler does it, as a pure state machine over a step_cost: each
/// step decodes one token of every running sequence and prefills prompts in order within the
/// token budget; KV blocks are taken as sequences grow, and the youngest is preempted (and computed
/// anew later) when they run out; known prompt prefixes are not computed again.
///
/// A decode step costs constant time however many sequences run: their KV tokens are one sum, and a
/// heap knows whose last token comes next. While nothing else happens many steps are taken at once
/// (a macro-step), its length in closed form. Time comes from the caller, in microseconds.
/// Standard library and the core's values only; single-threaded; deterministic.

#include "scenarios/models/batch_blocks.hpp"
#include "scenarios/models/step_cost.hpp"

#include <deque>
#include <limits>
#include <optional>
#include <queue>
#include <unordered_map>
#include <vector>

namespace consort::sim {

struct batch_settings {
  std::uint32_t max_sequences = 1;
  std::uint32_t step_tokens = 512; ///< Budget of one step, decoded tokens included.
  std::uint64_t blocks = 0;
  std::uint32_t block_tokens = 16;
  bool reserves_output = true; ///< See device_model.
  bool prefix_cache = false;
  std::vector<std::uint32_t> prompt_buckets; ///< Compiled lengths, ascending; empty = any.
};

/// One sequence to generate.
struct batch_request {
  std::uint64_t id = 0; ///< Of the caller's; unique inside.
  std::uint32_t prompt_tokens = 0;
  std::uint32_t output_tokens = 0;   ///< In all, those before a resume included.
  std::uint32_t emitted = 0;         ///< Before it came here.
  std::vector<std::uint64_t> prefix; ///< Chained hashes of the prompt's blocks.
  std::uint32_t prefix_tokens = 0;   ///< Of each block; a multiple of `block_tokens`.
  bool computed = false; ///< Its prompt was prefilled elsewhere, and its KV cache brought along.
};

/// A sequence inside, as the caller may look at it.
struct batch_sequence {
  batch_request request;
  std::uint32_t emitted = 0; ///< Up to the last step that ended.
  std::uint32_t told = 0;    ///< Of them; the caller's mark.
  std::uint32_t cached_tokens = 0;
  std::uint32_t batch_max = 0; ///< Most sequences seen beside it, itself included.
  double waited_us = 0;        ///< Until it ran first.
};

class batch {
public:
  batch(batch_settings settings, step_cost_ptr cost);

  void add(batch_request wanted, double now_us);
  /// Returns: whether it was there. Not during a step whose chunks it takes part in: call cut()
  /// first if the time of the step matters.
  bool cancel(std::uint64_t id);

  struct plan {
    double us = 0;           ///< Length of all its steps together.
    std::uint32_t steps = 0; ///< More than one only without prefill.
    std::uint32_t decoding = 0;
    double intensity = 0; ///< See step_cost.
    std::uint32_t prefill_tokens = 0;
  };
  /// Begins the next step, or as many as end within `most_us` and change nothing but lengths; at
  /// least one. Returns: nothing when there is nothing to do. Requires: no step is under way.
  std::optional<plan> begin(double now_us, double most_us);
  /// Shortens a macro-step to the inner step under way at `elapsed_us`. Returns: its new length.
  double cut(double elapsed_us);
  /// Ends the step. Sequences whose first token it brought are in `first`, those that are done in
  /// `finished`, both in order of admission, until the next begin().
  void end();
  [[nodiscard]] const std::vector<std::uint64_t>& first() const { return first_; }
  [[nodiscard]] const std::vector<batch_sequence>& finished() const { return finished_; }

  /// Calls `visit(batch_sequence&)` for each running sequence, in order of admission.
  template <class Visit>
  void each_running(const Visit& visit) {
    for (auto at = head_; at != none; at = slots_[at].next) {
      refresh(slots_[at]);
      visit(slots_[at].shown);
    }
  }
  /// Ids inside, running ones first.
  [[nodiscard]] std::vector<std::uint64_t> ids() const;
  /// Null when it does not run.
  [[nodiscard]] batch_sequence* find(std::uint64_t id);

  [[nodiscard]] bool stepping() const { return stepping_; }
  [[nodiscard]] std::uint32_t running() const { return running_; }
  [[nodiscard]] std::size_t waiting() const { return waiting_.size(); }
  [[nodiscard]] std::uint64_t kv_tokens_used() const;
  [[nodiscard]] std::uint64_t kv_tokens_max() const {
    return blocks_.total() * settings_.block_tokens;
  }
  [[nodiscard]] std::uint64_t preemptions() const { return preemptions_; }
  [[nodiscard]] std::uint64_t steps() const { return steps_; }

private:
  static constexpr std::uint32_t none = ~0U;
  struct slot {
    batch_sequence shown;
    double added_us = 0;
    std::uint32_t total_tokens = 0;          ///< To be in the KV cache before the next token comes.
    std::uint32_t kv_tokens = 0;             ///< In the KV cache, up to when decoding began.
    std::uint32_t chunk = 0;                 ///< Prefilled by the step under way.
    std::vector<batch_blocks::place> shared; ///< Prefix blocks held, from the first on.
    std::uint64_t own_blocks = 0;            ///< Beside them, up to when decoding began.
    std::uint64_t joined_step = 0;           ///< When it began to decode.
    std::uint32_t joined_emitted = 0;
    std::uint64_t order = 0; ///< Of admission; also tells heap entries of an earlier use apart.
    bool decoding = false;
    bool admitted = false; ///< Ran before, and was preempted.
    std::uint32_t previous = none;
    std::uint32_t next = none;
  };
  struct ending {
    std::uint64_t step = 0;
    std::uint64_t order = 0;
    std::uint32_t at = 0;
    bool operator<(const ending& other) const {
      return step != other.step ? step > other.step : order > other.order;
    }
  };

  // --- batch.cpp: sequences ---
  void refresh(slot& one) const;
  std::uint32_t running_slot(std::uint64_t id) const;
  void link(std::uint32_t at);
  void unlink(std::uint32_t at);
  void join_decode(std::uint32_t at);
  void leave_decode(slot& one);
  void free_blocks(slot& one);
  void finish(std::uint32_t at);
  void preempt(std::uint32_t at);
  [[nodiscard]] std::uint64_t grown_blocks(const slot& one) const;
  // --- batch_plan.cpp: what a step holds ---
  void plan_decode();
  void grow_for(std::uint32_t steps);
  void plan_running_chunks(std::uint32_t& budget);
  void admit(std::uint32_t& budget);
  [[nodiscard]] std::uint64_t look_up_prefix(const slot& one);
  bool admit_first(std::uint32_t& budget);
  [[nodiscard]] std::uint64_t growth_at(std::uint64_t step) const;
  [[nodiscard]] std::uint64_t growth_over(std::uint64_t steps) const;
  [[nodiscard]] std::uint64_t blocks_of(std::uint64_t tokens) const;
  [[nodiscard]] std::uint32_t padded(std::uint32_t tokens) const;
  void add_chunk(std::uint32_t at, std::uint32_t tokens);
  bool take_for_chunk(slot& one, std::uint32_t tokens);
  void share_prefix(slot& one);
  [[nodiscard]] std::uint64_t macro_steps(double most_us) const;
  [[nodiscard]] double span_us(double steps) const;

  batch_settings settings_;
  step_cost_ptr cost_;
  batch_blocks blocks_;
  std::vector<slot> slots_;
  std::vector<std::uint32_t> unused_;
  std::deque<std::uint32_t> waiting_; ///< Slots, first come first.
  std::uint32_t head_ = none;         ///< Running ones, by order of admission.
  std::uint32_t tail_ = none;
  std::uint32_t running_ = 0;
  std::uint32_t decoding_ = 0;
  std::uint64_t decode_kv_ = 0;
  std::uint64_t steps_ = 0;
  std::uint64_t orders_ = 0;
  std::uint64_t reserved_tokens_ = 0;
  std::uint64_t preemptions_ = 0;
  /// Decoding sequences by (KV tokens - step) modulo the block: who needs a block when.
  std::vector<std::uint32_t> phases_;
  std::priority_queue<ending> endings_;
  std::unordered_map<std::uint64_t, std::uint32_t> places_; ///< Looked up, never walked.

  bool stepping_ = false;
  /// Steps from `steps_` on for which every decoding sequence has its blocks already.
  std::uint32_t grown_steps_ = 0;
  bool preempted_ = false; ///< While planning this step.
  plan plan_;
  step_load load_;
  decode_line line_;
  std::vector<batch_blocks::place> known_; ///< Of the prompt that is being admitted.
  std::vector<std::uint32_t> chunked_;     ///< Slots that prefill in the step under way.
  std::vector<std::uint64_t> first_;
  std::vector<batch_sequence> finished_;
};

} // namespace consort::sim
