// SPDX-License-Identifier: Apache-2.0
/// libconsort-pocl.so: answers completions by a compiled OpenCL kernel, byte by byte. One request
/// runs at a time, in order of arrival; README.md says what a model is here.
#include "node/plugin_abi.h"
#include "node/plugins/pocl/kernel.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <condition_variable>
#include <cstdio>
#include <cstring>
#include <deque>
#include <mutex>
#include <optional>
#include <set>
#include <thread>

namespace {

using namespace consort;
using nlohmann::json;

constexpr std::size_t queue_max = 64;        // Requests that wait; beyond: BUSY.
constexpr std::uint32_t tokens_default = 64; // Where the client names no bound.

int report(int status, const std::string& text, char* message, std::size_t bytes) {
  std::snprintf(message, bytes, "%s", text.c_str());
  return status;
}

struct work {
  std::uint64_t id = 0;
  std::string text; ///< Prompt, and what an earlier attempt said.
  std::uint32_t prompt_tokens = 0;
  std::uint32_t spoken = 0; ///< By an earlier attempt.
  std::uint32_t tokens_max = tokens_default;
};

std::string prompt_of(const json& body, std::uint32_t kind) {
  if (kind == CONSORT_COMPLETION)
    return body.at("prompt").get<std::string>();
  std::string text;
  for (const auto& message : body.at("messages"))
    text += message.at("content").get<std::string>() + "\n";
  return text;
}

/// Returns: what is wrong with the request.
std::optional<std::string> read_request(const consort_request& request, work& into) {
  if (request.kind == CONSORT_EMBEDDING)
    return "a kernel has no embeddings";
  const auto body = json::parse(request.json, request.json + request.json_bytes, nullptr, false);
  try { // nlohmann reports a missing or mistyped field by throwing.
    into.text = prompt_of(body, request.kind);
    into.tokens_max = body.value("max_tokens", tokens_default);
  } catch (const json::exception& problem) {
    return std::string("expected `prompt`, or `messages` of texts, and whole `max_tokens`: ")
           + problem.what();
  }
  into.id = request.id;
  into.prompt_tokens = static_cast<std::uint32_t>(into.text.size());
  std::string said = request.resume_text == nullptr ? "" : request.resume_text;
  if (request.resume_count > 0)
    said.assign(request.resume_ids, request.resume_ids + request.resume_count);
  into.text += said;
  into.spoken = static_cast<std::uint32_t>(said.size());
  if (into.text.size() >= pocl::context_bytes_max)
    return "more than " + std::to_string(pocl::context_bytes_max) + " bytes of text";
  into.tokens_max = std::min(into.tokens_max,
                             static_cast<std::uint32_t>(pocl::context_bytes_max - into.text.size())
                                 + into.spoken);
  return std::nullopt;
}

/// Bytes become text when a character is whole; what can be none becomes U+FFFD.
class characters {
public:
  std::string push(unsigned char byte) {
    if (left_ == 0) {
      left_ = byte < 0x80 ? 0 : byte >= 0xF0 && byte < 0xF5 ? 3 : byte >= 0xE0 ? 2 : 1;
      if (byte >= 0x80 && (byte < 0xC2 || byte >= 0xF5))
        return left_ = 0, "\xEF\xBF\xBD";
      held_.assign(1, static_cast<char>(byte));
    } else if ((byte & 0xC0U) == 0x80) {
      held_ += static_cast<char>(byte);
      --left_;
    } else {
      left_ = 0;
      return "\xEF\xBF\xBD" + push(byte);
    }
    return left_ == 0 ? std::exchange(held_, {}) : std::string();
  }

private:
  std::string held_;
  int left_ = 0;
};

} // namespace

struct consort_session {
  std::unique_ptr<pocl::kernel> program;
  consort_sink sink{};
  std::mutex mutex;
  std::condition_variable wake;
  std::deque<work> queue;
  std::set<std::uint64_t> cancelled; ///< Of those that wait or run.
  std::uint64_t running = 0;
  bool closing = false;
  std::uint64_t generated = 0, steps = 0;
  std::thread engine;

  void run();
  void serve(work one);
  void emit(std::uint64_t id, consort_event_kind kind, consort_event fields = {}) const {
    fields.size = sizeof fields;
    fields.request = id;
    fields.kind = kind;
    sink.emit(sink.context, &fields);
  }
  void fail(std::uint64_t id, consort_status status, const char* code,
            const std::string& why) const {
    consort_event fields{};
    fields.status = status;
    fields.code = code;
    fields.text = why.data();
    fields.text_bytes = why.size();
    emit(id, CONSORT_EVENT_FAILED, fields);
  }
  bool stopped(std::uint64_t id) {
    const std::lock_guard lock(mutex);
    return closing || cancelled.contains(id);
  }
};

void consort_session::run() {
  std::unique_lock lock(mutex);
  for (;;) {
    wake.wait(lock, [this] { return closing || !queue.empty(); });
    if (closing)
      return;
    auto next = std::move(queue.front());
    queue.pop_front();
    const auto id = running = next.id;
    lock.unlock();
    serve(std::move(next));
    lock.lock();
    running = 0;
    cancelled.erase(id);
  }
}

void consort_session::serve(work one) {
  consort_event fields{};
  fields.prompt_tokens = one.prompt_tokens;
  emit(one.id, CONSORT_EVENT_OPENED, fields);
  characters out;
  const char* finish = "length";
  std::uint32_t said = one.spoken;
  for (; said < one.tokens_max; ++said) {
    if (stopped(one.id))
      return closing ? void() : fail(one.id, CONSORT_REFUSED, "cancelled", "it was cancelled");
    const auto scores = program->score(one.text);
    if (!scores)
      return fail(one.id, CONSORT_FAILED, "engine_failed", scores.failure().message);
    const auto best = std::max_element(scores->begin(), scores->end());
    if (*best <= 0) {
      finish = "stop";
      break;
    }
    const auto token = static_cast<std::int32_t>(best - scores->begin());
    one.text += static_cast<char>(token);
    const auto text = out.push(static_cast<unsigned char>(token));
    fields = {};
    fields.text = text.data();
    fields.text_bytes = text.size();
    fields.token_ids = &token;
    fields.token_count = 1;
    emit(one.id, CONSORT_EVENT_TOKENS, fields);
    const std::lock_guard lock(mutex);
    ++generated;
    ++steps;
  }
  fields = {};
  fields.text = finish;
  fields.text_bytes = std::strlen(finish);
  emit(one.id, CONSORT_EVENT_CHOICE_DONE, fields);
  fields = {};
  fields.prompt_tokens = one.prompt_tokens;
  fields.completion_tokens = said;
  fields.batch = 1;
  emit(one.id, CONSORT_EVENT_COMPLETED, fields);
}

namespace {

int open_session(const char* config_json, const consort_sink* sink, consort_session** out,
                 char* message, std::size_t bytes) {
  const auto config = json::parse(config_json, nullptr, false);
  if (!config.is_object() || !config.contains("model") || !config["model"].is_string())
    return report(CONSORT_REFUSED, "'model' is missing: the path of the program", message, bytes);
  auto program = pocl::kernel::load(config["model"].get<std::string>());
  if (!program)
    return report(program.failure().code == "bad_model" ? CONSORT_BAD_MODEL : CONSORT_FAILED,
                  program.failure().message, message, bytes);
  auto made = std::make_unique<consort_session>();
  made->program = std::move(*program);
  made->sink = *sink;
  made->engine = std::thread([session = made.get()] { session->run(); });
  *out = made.release();
  return CONSORT_OK;
}

void close_session(consort_session* session) {
  {
    const std::lock_guard lock(session->mutex);
    session->closing = true;
  }
  session->wake.notify_all();
  session->engine.join();
  delete session;
}

int submit(consort_session* session, const consort_request* request, char* message,
           std::size_t bytes) {
  work one;
  if (const auto problem = read_request(*request, one))
    return report(CONSORT_REFUSED, *problem, message, bytes);
  const std::lock_guard lock(session->mutex);
  if (session->queue.size() >= queue_max)
    return report(CONSORT_BUSY, "as many requests as may be wait", message, bytes);
  session->queue.push_back(std::move(one));
  session->wake.notify_all();
  return CONSORT_OK;
}

void cancel(consort_session* session, std::uint64_t id) {
  const std::lock_guard lock(session->mutex);
  const bool waits = std::any_of(session->queue.begin(), session->queue.end(),
                                 [id](const work& one) { return one.id == id; });
  if (waits || session->running == id)
    session->cancelled.insert(id);
}

std::size_t stats(consort_session* session, char* text, std::size_t bytes) {
  const std::lock_guard lock(session->mutex);
  const auto json_text = json{
      {"sequences_max", 1},
      {"context_max", pocl::context_bytes_max},
      {"kv_tokens_max", pocl::context_bytes_max},
      {"sequences_running", session->running == 0 ? 0 : 1},
      {"requests_waiting", session->queue.size()},
      {"tokens_generated_total", session->generated},
      {"steps_total",
       session->steps}}.dump();
  if (bytes > json_text.size())
    std::memcpy(text, json_text.c_str(), json_text.size() + 1);
  return json_text.size() + 1;
}

} // namespace

extern "C" __attribute__((visibility("default"))) const consort_runtime_table* consort_runtime() {
  static const consort_runtime_table table{sizeof(consort_runtime_table),
                                           CONSORT_ABI,
                                           "pocl",
                                           "1.0.0",
                                           open_session,
                                           close_session,
                                           submit,
                                           cancel,
                                           stats};
  return &table;
}
