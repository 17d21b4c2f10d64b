// SPDX-License-Identifier: Apache-2.0
// Tokens per second of the engine wrapper against llama.cpp driven by hand, in one run, on one
// thread: 1 and 8 streams. Usage: engine_bench [MODEL [TOKENS [ROUNDS]]]. Prints one line per
// measurement and the ratio of the best rounds, interleaved so that both see the same machine.
#include "node/plugins/llama/engine.hpp"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <string>

namespace {

using namespace consort;
using steady = std::chrono::steady_clock;

constexpr std::uint32_t context_tokens = 512;
const std::string prompt = "Once upon a time there was a king who";

double seconds_since(steady::time_point start) {
  return std::chrono::duration<double>(steady::now() - start).count();
}

[[noreturn]] void give_up(const std::string& why) {
  std::fprintf(stderr, "engine_bench: %s\n", why.c_str());
  std::exit(1);
}

/// llama.cpp by hand: one batch of all streams a step, greedy, nothing else. Prompts included.
double raw_rate(const std::string& path, std::uint32_t streams, int tokens) {
  auto model = llama::load_model(path);
  if (!model)
    give_up(model.failure().message);
  llama_context_params params = llama_context_default_params();
  params.n_ctx = context_tokens * streams;
  params.n_seq_max = streams;
  params.n_batch = params.n_ubatch = 512;
  params.n_threads = params.n_threads_batch = 1;
  const llama::context_ptr context(llama_init_from_model(model->get(), params));
  const llama::vocabulary words(**model);
  const llama::token_list input = words.tokenize(prompt, true);
  llama::token_batch batch(512);
  const auto width = static_cast<std::size_t>(words.size());
  std::vector<llama_token> last(streams);
  const auto start = steady::now();
  for (std::uint32_t s = 0; s < streams; ++s) {
    batch.clear();
    for (std::size_t i = 0; i < input.size(); ++i)
      batch.add(input[i], static_cast<llama_pos>(i), static_cast<llama_seq_id>(s),
                i + 1 == input.size());
    llama_decode(context.get(), batch.raw());
    last[s] = llama::greatest({llama_get_logits_ith(context.get(), -1), width});
  }
  for (int step = 1; step < tokens; ++step) {
    batch.clear();
    for (std::uint32_t s = 0; s < streams; ++s)
      batch.add(last[s], static_cast<llama_pos>(input.size()) + step - 1,
                static_cast<llama_seq_id>(s), true);
    llama_decode(context.get(), batch.raw());
    for (std::uint32_t s = 0; s < streams; ++s)
      last[s] = llama::greatest(
          {llama_get_logits_ith(context.get(), static_cast<std::int32_t>(s)), width});
  }
  return tokens * static_cast<double>(streams) / seconds_since(start);
}

/// The same work through a session: JSON in, text events out.
double session_rate(const std::string& path, std::uint32_t streams, int tokens) {
  std::mutex mutex;
  std::condition_variable ended;
  std::uint32_t left = streams;
  llama::engine_options options;
  options.model_path = path;
  options.context_tokens = context_tokens;
  options.sequences = streams;
  auto opened = llama::session::open(options, [&](const consort_event& event) {
    if (event.kind == CONSORT_EVENT_FAILED)
      give_up(std::string(event.text, event.text_bytes));
    const std::lock_guard lock(mutex);
    if (event.kind == CONSORT_EVENT_COMPLETED && --left == 0)
      ended.notify_one();
  });
  if (!opened)
    give_up(opened.failure().message);
  const std::string body = R"({"prompt":")" + prompt + R"(","temperature":0,"ignore_eos":true,)"
                           + R"("max_tokens":)" + std::to_string(tokens) + "}";
  const auto start = steady::now();
  for (std::uint32_t s = 0; s < streams; ++s) {
    const consort_request request{
        sizeof request, s, CONSORT_COMPLETION, body.c_str(), body.size(), nullptr, nullptr, 0};
    if (auto taken = (*opened)->submit(request); !taken)
      give_up(taken.failure().message);
  }
  std::unique_lock lock(mutex);
  if (!ended.wait_for(lock, std::chrono::minutes(10), [&] { return left == 0; }))
    give_up("no answer within 10 minutes");
  return tokens * static_cast<double>(streams) / seconds_since(start);
}

} // namespace

int main(int count, char** words) {
  const std::string path
      = count > 1 ? words[1] : std::string(CONSORT_SOURCE_DIR) + "/models/storyteller-5m-f16.gguf";
  const int tokens = count > 2 ? std::atoi(words[2]) : 300;
  const int rounds = count > 3 ? std::atoi(words[3]) : 5;
  if (auto loaded = llama::load_backends(""); !loaded)
    give_up(loaded.failure().message);
  for (const std::uint32_t streams : {1U, 8U}) {
    double raw = 0;
    double ours = 0;
    for (int round = 0; round < rounds; ++round) {
      raw = std::max(raw, raw_rate(path, streams, tokens));
      ours = std::max(ours, session_rate(path, streams, tokens));
    }
    std::printf("streams=%u llama_cpp=%.0f session=%.0f ratio=%.3f tokens_per_s\n", streams, raw,
                ours, ours / raw);
  }
}
