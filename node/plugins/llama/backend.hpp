// SPDX-License-Identifier: Apache-2.0
#pragma once
/// llama.cpp's process-wide parts: back-ends, log capture, and owners for its handles. llama.cpp
/// prints nothing through us: its lines go to a callback that keeps the last error of each thread.

#include "scheduler/result.hpp"

#include <llama.h>

#include <cstdint>
#include <memory>
#include <string>

namespace consort::llama {

struct model_deleter {
  void operator()(llama_model* model) const { llama_model_free(model); }
};
struct context_deleter {
  void operator()(llama_context* context) const { llama_free(context); }
};
using model_ptr = std::unique_ptr<llama_model, model_deleter>;
using context_ptr = std::unique_ptr<llama_context, context_deleter>;

/// A batch buffer of fixed capacity; tokens are added one by one. Not thread-safe.
class token_batch {
public:
  explicit token_batch(std::int32_t capacity);
  ~token_batch();
  token_batch(const token_batch&) = delete;
  token_batch& operator=(const token_batch&) = delete;

  void clear() { batch_.n_tokens = 0; }
  /// Requires: size() < capacity. Returns: the row at which its logits will be found.
  std::int32_t add(llama_token token, llama_pos position, llama_seq_id sequence, bool wants_logits);
  [[nodiscard]] std::int32_t size() const { return batch_.n_tokens; }
  [[nodiscard]] std::int32_t room() const { return capacity_ - batch_.n_tokens; }
  [[nodiscard]] const llama_batch& raw() const { return batch_; }

private:
  llama_batch batch_;
  std::int32_t capacity_;
};

/// Loads the ggml back-ends once per process, from `directory` or, when that is empty, from the
/// folder that holds libllama itself. Later calls return the first call's outcome. Thread-safe.
[[nodiscard]] result<done> load_backends(const std::string& directory);

/// Latest error line of llama.cpp on this thread, without its newline; `fallback` when none.
[[nodiscard]] std::string last_engine_error(const std::string& fallback);

/// Whether the first bytes of what is there are a GGUF's.
[[nodiscard]] bool begins_as_gguf(const std::string& path);

/// Checks that the file is a whole GGUF (header, metadata, every tensor inside the file) before any
/// engine maps it. Failures have code `bad_model`.
[[nodiscard]] result<done> check_gguf(const std::string& path);

/// Checks and loads a model. Requires: load_backends succeeded. Failures have code `bad_model`.
[[nodiscard]] result<model_ptr> load_model(const std::string& path);

/// The vocabulary and chat template of a GGUF alone; its tensors are not looked at. Requires and
/// failures as load_model().
[[nodiscard]] result<model_ptr> load_vocabulary(const std::string& path);

/// Threads that may spin without starving the machine: at most one fewer than it has, at least one.
[[nodiscard]] std::uint32_t usable_threads(std::uint32_t wanted);

/// A failure of the model or artifact itself.
[[nodiscard]] error bad_model(std::string message);

} // namespace consort::llama
