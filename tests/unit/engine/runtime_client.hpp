// SPDX-License-Identifier: Apache-2.0
#pragma once
/// A client of a C ABI runtime for tests: loads the shared object, opens a session and gathers each
/// request's events. Thread-safe; every wait has a timeout and fails the test when it passes.

#include "node/plugin_abi.h"

#include <nlohmann/json.hpp>

#include <condition_variable>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <vector>

namespace consort::llama_test {

/// All that came back for one request.
struct answer {
  std::map<std::uint32_t, std::string> text; ///< By choice.
  std::map<std::uint32_t, std::vector<std::int32_t>> ids;
  std::map<std::uint32_t, std::string> finish;
  std::vector<nlohmann::json> extra;
  std::vector<std::string> pieces; ///< Text of each event of choice 0.
  std::uint32_t opened = 0;
  std::uint32_t prompt_tokens = 0;
  std::uint32_t completion_tokens = 0;
  std::uint32_t batch = 0;
  bool completed = false;
  bool failed = false;
  std::uint32_t status = 0;
  std::string code;
  std::string message;
  [[nodiscard]] bool ended() const { return completed || failed; }
};

class runtime_client {
public:
  explicit runtime_client(const std::string& library);
  ~runtime_client();

  /// Returns: the status of `open`; the session is used by the calls below.
  int open(const nlohmann::json& config);
  void close();
  int submit(std::uint64_t id, consort_request_kind kind, const std::string& body,
             const std::vector<std::int32_t>& resume_ids = {}, const char* resume_text = nullptr);
  void cancel(std::uint64_t id) { table_->cancel(session_, id); }
  [[nodiscard]] nlohmann::json stats();
  /// Waits for the request's terminal event.
  answer wait(std::uint64_t id);
  /// Waits until choice 0 of the request has `count` token ids.
  answer wait_for_tokens(std::uint64_t id, std::size_t count);
  /// submit and wait; a refused submit comes back as a failed answer with code `submit`.
  answer run(consort_request_kind kind, const nlohmann::json& body,
             const std::vector<std::int32_t>& resume_ids = {}, const char* resume_text = nullptr);
  answer complete(const nlohmann::json& body) { return run(CONSORT_COMPLETION, body); }

  [[nodiscard]] const std::string& message() const { return message_; }
  [[nodiscard]] const consort_runtime_table& table() const { return *table_; }

private:
  static void emit(void* self, const consort_event* event);
  void gather(const consort_event& event);
  template <class Ready>
  answer wait_until(std::uint64_t id, Ready ready);

  void* library_ = nullptr;
  const consort_runtime_table* table_ = nullptr;
  consort_session* session_ = nullptr;
  std::string message_;
  std::uint64_t next_id_ = 1'000'000;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::uint64_t, answer> answers_;
};

/// The shipped model, and where the build put the runtime.
[[nodiscard]] std::string model_path();
[[nodiscard]] std::string llama_library();
/// Entries of models/golden.json: prompt, prompt_ids, greedy_ids, greedy_text.
[[nodiscard]] const nlohmann::json& golden();

} // namespace consort::llama_test
