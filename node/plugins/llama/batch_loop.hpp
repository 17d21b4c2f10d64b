// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Continuous batching over what computes a model step by step. Each step decodes one token of
/// every sequence that is generating, together, and then prompts by age, up to a budget of tokens.
/// Requests wait in arrival order until their choices have free sequences; each sequence owns a
/// partition of the KV memory (a slot) as long as the model's context, so what was admitted never
/// runs out of it. Choices of one request share one prefill: its KV is copied to their sequences.
///
/// Prompts are not mixed into the decode call: with partitioned KV llama.cpp computes a mixed batch
/// in the same two passes, only cut so that a prompt's rounding depends on who runs beside it.
/// Single-threaded; `counters` may be read by any thread.

#include "node/plugins/llama/choice_run.hpp"
#include "node/plugins/llama/job.hpp"
#include "node/plugins/llama/step_engine.hpp"

#include <atomic>
#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <optional>

namespace consort::llama {

/// What a session has done since it was opened, and does now.
struct engine_counters {
  std::atomic<std::uint32_t> sequences_running = 0;
  std::atomic<std::uint32_t> requests_waiting = 0;
  std::atomic<std::uint64_t> kv_tokens_used = 0;
  std::atomic<std::uint64_t> tokens_generated_total = 0;
  std::atomic<std::uint64_t> prompt_tokens_total = 0;
  std::atomic<std::uint64_t> steps_total = 0;
  std::atomic<std::uint64_t> cancelled_total = 0;
};

using event_sink = std::function<void(const consort_event&)>;

class batch_loop {
public:
  /// Borrows all of them.
  batch_loop(step_engine& steps, const vocabulary& words, engine_counters& counters,
             event_sink sink);

  /// Queues a job behind the others.
  void add(job wanted);
  /// Reports a request that never became a job.
  void reject(std::uint64_t id, const error& why);
  /// Frees what a request holds and reports it cancelled; unknown ids are ignored.
  void cancel(std::uint64_t id);
  /// One engine step. Returns: false when there was nothing to do.
  bool step();
  [[nodiscard]] bool idle() const { return queue_.empty() && running_.empty(); }

private:
  struct running_request {
    job wanted;
    llama_seq_id first = -1; ///< Sequence of choice 0, which takes the prompt; -1 = none.
    std::uint32_t open_choices = 0;
    std::uint32_t completion_tokens = 0;
    std::uint32_t batch_max = 1;
    std::uint64_t queue_us = 0;
  };
  enum class phase { prefill, follow, decode }; ///< follow: waits for its first choice's prefill.
  struct sequence {
    running_request* owner = nullptr; ///< Null = free.
    std::uint32_t choice = 0;
    phase state = phase::prefill;
    token_list input; ///< Prompt, then the last picked token.
    std::size_t fed = 0;
    std::uint32_t position = 0;
    std::optional<std::size_t> row; ///< Where this step's logits are.
    std::unique_ptr<choice_run> run;
  };

  void admit_waiting();
  void start(job wanted);
  bool replay(running_request& request, choice_run& run);
  bool step_generating();
  bool step_prompts();
  void feed(llama_seq_id id);
  bool decode();
  void advance(llama_seq_id id);
  bool start_followers(llama_seq_id first, std::span<const float> logits);
  void advance_one(llama_seq_id id, std::span<const float> logits);
  void finish_choice(running_request& request, const choice_run& run, std::uint32_t choice);
  void release(llama_seq_id id);
  void drop(running_request& request);
  void fail_running(const std::string& why);
  void note_load();
  [[nodiscard]] std::uint32_t free_sequences() const;

  void emit_opened(const running_request& request);
  void emit_text(std::uint64_t id, std::uint32_t choice, const std::string& text,
                 std::span<const llama_token> ids, const std::string& extra_json);
  void emit_completed(const running_request& request);
  void emit_failed(std::uint64_t id, const error& why);

  step_engine& steps_;
  const vocabulary& words_;
  engine_counters& counters_;
  event_sink sink_;
  std::vector<step_row> batch_;
  std::vector<sequence> sequences_; ///< Index = slot.
  std::vector<llama_seq_id> fed_;   ///< Those in the batch being computed.
  std::deque<job> queue_;
  std::list<running_request> running_; ///< In order of admission.
};

} // namespace consort::llama
