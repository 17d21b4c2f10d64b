// SPDX-License-Identifier: Apache-2.0
#pragma once
/// A session is one model, what computes it step by step, and one thread that runs the batch loop.
/// Tokenizer, templates and vocabulary are llama.cpp's, and so are the steps unless given. Every
/// event leaves from that thread, in order per request. Calls are thread-safe except destruction,
/// which stops all work without further events.

#include "node/plugins/llama/backend.hpp"
#include "node/plugins/llama/batch_loop.hpp"
#include "node/plugins/llama/embedder.hpp"
#include "node/plugins/llama/limits.hpp"
#include "node/plugins/llama/step_peers.hpp"

#include <condition_variable>
#include <mutex>
#include <set>
#include <thread>
#include <variant>

namespace consort::llama {

/// A LoRA adapter as a GGUF file, which a request names as its model.
struct adapter_file {
  std::string name;
  std::string path;
};

/// What to load, and how. Zero and empty = chosen here.
struct engine_options {
  std::string model_path;
  std::uint32_t context_tokens = 0; ///< Per sequence; at most what the model was trained for.
  std::uint32_t sequences = limits::sequences_default;
  std::uint32_t threads = 1;   ///< Clamped to one fewer than the machine has.
  std::string backend_dir;     ///< Of ggml's back-ends; else the folder of libllama.
  step_peers* peers = nullptr; ///< Borrowed; outlives the session.
  std::vector<adapter_file> adapters;
};

/// A model and a context over it, as a session has them.
struct loaded_engine {
  model_ptr model;
  context_ptr context;                       ///< Freed before its model.
  std::vector<llama_adapter_lora*> adapters; ///< The model's, in the order of the options.
  std::uint32_t context_tokens = 0;
  std::uint32_t sequences = 0;
};
/// Loads what a session would run on. Failures as session::open's.
[[nodiscard]] result<loaded_engine> load_engine(const engine_options& options);
/// Memory that the keys and values of all sequences take (f16, as llama.cpp defaults to).
[[nodiscard]] std::uint64_t kv_bytes_of(const llama_model& model, std::uint32_t context_tokens,
                                        std::uint32_t sequences);

class session {
public:
  /// Loads the model. Failures: `bad_model` (the file), else the host is at fault.
  [[nodiscard]] static result<std::unique_ptr<session>> open(const engine_options& options,
                                                             event_sink sink);
  /// A session around steps of somebody else's, which makes no embeddings; `model` is for its
  /// vocabulary alone.
  [[nodiscard]] static std::unique_ptr<session> around(model_ptr model,
                                                       std::unique_ptr<step_engine> steps,
                                                       event_sink sink,
                                                       std::vector<std::string> adapters = {});
  ~session();
  session(const session&) = delete;
  session& operator=(const session&) = delete;

  /// Queues a request; its events follow. Failures, after which none follow: `busy` (queue full),
  /// `invalid_request`. What is well-formed but cannot be run here fails by an event, with its
  /// code.
  [[nodiscard]] result<done> submit(const consort_request& request);
  /// Stops a request before the next step; unknown ids are ignored.
  void cancel(std::uint64_t id);

  [[nodiscard]] const engine_counters& counters() const { return counters_; }
  [[nodiscard]] std::uint32_t context_tokens() const { return steps_->context_tokens(); }
  [[nodiscard]] std::uint32_t sequences() const { return steps_->slots(); }
  [[nodiscard]] std::int32_t words() const { return words_.size(); }
  [[nodiscard]] std::uint64_t model_bytes() const { return llama_model_size(model_.get()); }
  [[nodiscard]] std::uint64_t kv_bytes() const {
    return kv_bytes_of(*model_, context_tokens(), sequences());
  }

private:
  struct rejection {
    std::uint64_t id;
    error why;
  };
  struct cancellation {
    std::uint64_t id;
  };
  using command = std::variant<job, embedding_job, rejection, cancellation>;

  session(model_ptr model, std::unique_ptr<step_engine> steps, event_sink sink,
          std::vector<std::string> adapters, std::optional<embedder_options> embeds);
  [[nodiscard]] result<command> prepare(const consort_request& request) const;
  void carry_out(command& wanted);
  void run();
  bool take_commands(std::vector<command>& taken);
  void on_event(const consort_event& event);

  model_ptr model_;
  std::unique_ptr<step_engine> steps_;
  vocabulary words_;
  model_facts facts_;
  event_sink sink_;
  engine_counters counters_;
  batch_loop loop_; ///< Touched by `thread_` only, and what follows too, to `working_`.
  std::unique_ptr<embedder> embeds_; ///< Null where the steps are somebody else's.
  bool working_ = false;             ///< There is work, so it does not sleep.

  std::mutex mutex_; ///< Guards what follows, to `thread_`.
  std::condition_variable wake_;
  std::vector<command> inbox_;
  std::set<std::uint64_t> live_; ///< Requests without a terminal event.
  std::atomic<bool> closing_ = false;
  std::thread thread_;
};

} // namespace consort::llama
