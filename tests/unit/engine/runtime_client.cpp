// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/engine/runtime_client.hpp"

#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <cstdlib>
#include <dlfcn.h>
#include <fstream>

namespace consort::llama_test {
namespace {

constexpr std::chrono::seconds wait_max{30};

} // namespace

runtime_client::runtime_client(const std::string& library)
    : library_(dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL)) {
  if (library_ == nullptr) {
    ADD_FAILURE() << dlerror();
    std::abort();
  }
  const auto entry = reinterpret_cast<consort_runtime_fn>(dlsym(library_, CONSORT_RUNTIME_SYMBOL));
  table_ = entry();
}

// The object stays loaded, as in a host process: its back-ends cannot be unloaded.
runtime_client::~runtime_client() {
  close();
}

int runtime_client::open(const nlohmann::json& config) {
  close();
  const consort_sink sink{sizeof sink, this, &runtime_client::emit};
  std::array<char, 512> message{};
  const int status
      = table_->open(config.dump().c_str(), &sink, &session_, message.data(), message.size());
  message_ = message.data();
  return status;
}

void runtime_client::close() {
  if (session_ != nullptr)
    table_->close(session_);
  session_ = nullptr;
}

int runtime_client::submit(std::uint64_t id, consort_request_kind kind, const std::string& body,
                           const std::vector<std::int32_t>& resume_ids, const char* resume_text) {
  const consort_request request{sizeof request,
                                id,
                                static_cast<std::uint32_t>(kind),
                                body.c_str(),
                                body.size(),
                                resume_text,
                                resume_ids.empty() ? nullptr : resume_ids.data(),
                                resume_ids.size()};
  std::array<char, 512> message{};
  const int status = table_->submit(session_, &request, message.data(), message.size());
  message_ = message.data();
  return status;
}

nlohmann::json runtime_client::stats() {
  std::string text(table_->stats(session_, nullptr, 0) + 64, '\0');
  const std::size_t needed = table_->stats(session_, text.data(), text.size());
  text.resize(needed - 1);
  return nlohmann::json::parse(text);
}

answer runtime_client::run(consort_request_kind kind, const nlohmann::json& body,
                           const std::vector<std::int32_t>& resume_ids, const char* resume_text) {
  const std::uint64_t id = next_id_++;
  const int status = submit(id, kind, body.dump(), resume_ids, resume_text);
  if (status == CONSORT_OK)
    return wait(id);
  answer refused;
  refused.failed = true;
  refused.status = static_cast<std::uint32_t>(status);
  refused.code = "submit";
  refused.message = message_;
  return refused;
}

template <class Ready>
answer runtime_client::wait_until(std::uint64_t id, Ready ready) {
  std::unique_lock lock(mutex_);
  if (!changed_.wait_for(lock, wait_max, [&] { return ready(answers_[id]); }))
    ADD_FAILURE() << "request " << id << " did not get there in time";
  return answers_[id];
}

answer runtime_client::wait(std::uint64_t id) {
  return wait_until(id, [](const answer& each) { return each.ended(); });
}

answer runtime_client::wait_for_tokens(std::uint64_t id, std::size_t count) {
  return wait_until(id, [&](answer& each) { return each.ended() || each.ids[0].size() >= count; });
}

void runtime_client::emit(void* self, const consort_event* event) {
  static_cast<runtime_client*>(self)->gather(*event);
}

void runtime_client::gather(const consort_event& event) {
  const std::lock_guard lock(mutex_);
  answer& into = answers_[event.request];
  EXPECT_FALSE(into.ended()) << "an event after the terminal one";
  const std::string text(event.text == nullptr ? "" : event.text, event.text_bytes);
  switch (event.kind) {
  case CONSORT_EVENT_OPENED:
    ++into.opened;
    into.prompt_tokens = event.prompt_tokens;
    break;
  case CONSORT_EVENT_TOKENS:
    EXPECT_EQ(into.opened, 1U);
    into.text[event.choice] += text;
    if (event.choice == 0)
      into.pieces.push_back(text);
    into.ids[event.choice].insert(into.ids[event.choice].end(), event.token_ids,
                                  event.token_ids + event.token_count);
    if (event.extra_json != nullptr)
      into.extra.push_back(nlohmann::json::parse(event.extra_json));
    break;
  case CONSORT_EVENT_CHOICE_DONE: into.finish[event.choice] = text; break;
  case CONSORT_EVENT_COMPLETED:
    into.completed = true;
    into.completion_tokens = event.completion_tokens;
    into.batch = event.batch;
    break;
  default:
    into.failed = true;
    into.status = event.status;
    into.code = event.code == nullptr ? "" : event.code;
    into.message = text;
  }
  changed_.notify_all();
}

std::string model_path() {
  return std::string(CONSORT_SOURCE_DIR) + "/models/storyteller-5m-f16.gguf";
}

std::string llama_library() {
  return std::string(CONSORT_BINARY_DIR) + "/lib/consort/libconsort-llama.so";
}

const nlohmann::json& golden() {
  static const nlohmann::json entries = nlohmann::json::parse(
      std::ifstream(std::string(CONSORT_SOURCE_DIR) + "/models/golden.json"));
  return entries;
}

} // namespace consort::llama_test
