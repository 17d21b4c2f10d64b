// SPDX-License-Identifier: Apache-2.0
#include "node/plugins/llama/embedder.hpp"

#include "node/plugins/llama/events.hpp"
#include "node/plugins/llama/limits.hpp"

#include <algorithm>
#include <array>

namespace consort::llama {
namespace {

/// What the model says under `<architecture>.NAME`; empty when it does not.
std::string said_by(const llama_model& model, const std::string& name) {
  std::array<char, 128> text{};
  const auto read = [&](const std::string& key) {
    const auto bytes = llama_model_meta_val_str(&model, key.c_str(), text.data(), text.size());
    return bytes < 0 ? std::string() : std::string(text.data());
  };
  return read(read("general.architecture") + "." + name);
}

} // namespace

embedder::embedder(llama_model& model, embedder_options options, engine_counters& counters,
                   event_sink sink)
    : model_(model),
      options_(std::move(options)),
      counters_(counters),
      sink_(std::move(sink)),
      width_(static_cast<std::size_t>(std::max(llama_model_n_embd_out(&model), 1))),
      batch_(static_cast<std::int32_t>(limits::batch_tokens)),
      sum_(width_) {
  const auto how = said_by(model, "pooling_type");
  if (how == std::to_string(LLAMA_POOLING_TYPE_CLS))
    pooling_ = pooling::first;
  else if (how == std::to_string(LLAMA_POOLING_TYPE_LAST))
    pooling_ = pooling::last;
  else if (how == std::to_string(LLAMA_POOLING_TYPE_RANK))
    pooling_ = pooling::none;
  whole_inputs_ = said_by(model, "attention.causal") == "false";
}

embedding_facts embedder::facts() const {
  return {static_cast<std::uint32_t>(width_),
          whole_inputs_ ? std::min(options_.context_tokens, limits::batch_tokens)
                        : options_.context_tokens,
          {}};
}

std::uint32_t embedder::step_tokens() const {
  return whole_inputs_ ? limits::batch_tokens : limits::embedding_step_tokens;
}

void embedder::add(embedding_job wanted) {
  queue_.push_back(std::move(wanted));
}

bool embedder::cancel(std::uint64_t id) {
  const auto found = std::find_if(queue_.begin(), queue_.end(),
                                  [&](const embedding_job& one) { return one.id == id; });
  if (found == queue_.end())
    return false;
  ++counters_.cancelled_total;
  const bool first = found == queue_.begin();
  if (!first || !begun_)
    --counters_.requests_waiting;
  auto ended = event_of(id, CONSORT_EVENT_FAILED);
  ended.status = CONSORT_REFUSED;
  ended.code = "cancelled";
  set_text(ended, "the request was cancelled");
  queue_.erase(found);
  if (first)
    forget();
  sink_(ended);
  return true;
}

/// Nothing of the first request is under way any more.
void embedder::forget() {
  begun_ = false;
  input_ = fed_ = 0;
  std::fill(sum_.begin(), sum_.end(), 0.0);
  if (context_)
    llama_memory_clear(llama_get_memory(context_.get()), false);
}

void embedder::fail(const error& why) {
  auto ended = event_of(queue_.front().id, CONSORT_EVENT_FAILED);
  ended.status = why.action == recovery::refuse ? CONSORT_REFUSED : CONSORT_FAILED;
  ended.code = why.code.c_str();
  set_text(ended, why.message);
  queue_.pop_front();
  forget();
  sink_(ended);
}

/// The context, with the adapter that is wanted.
result<done> embedder::prepare(const embedding_job& wanted) {
  if (pooling_ == pooling::none)
    return error{recovery::refuse, "unsupported_parameter",
                 "this model ranks pairs of texts; it makes no embeddings"};
  if (!context_) {
    auto params = llama_context_default_params();
    params.n_ctx = options_.context_tokens;
    params.n_seq_max = 1;
    params.n_batch = params.n_ubatch = step_tokens();
    params.n_threads = params.n_threads_batch = static_cast<std::int32_t>(options_.threads);
    params.embeddings = true;
    params.pooling_type = LLAMA_POOLING_TYPE_NONE; // Ours goes over many steps.
    params.no_perf = true;
    context_.reset(llama_init_from_model(&model_, params));
    if (!context_)
      return error{recovery::retry_elsewhere, "no_memory",
                   "cannot make a context for embeddings: "
                       + last_engine_error("not enough memory")};
    llama_set_abort_callback(
        context_.get(), [](void* flag) { return static_cast<std::atomic<bool>*>(flag)->load(); },
        &interrupted_);
  }
  if (wanted.adapter == adapter_)
    return done{};
  auto* chosen = wanted.adapter == 0 ? nullptr : options_.adapters.at(wanted.adapter - 1);
  float scale = 1.0F;
  if (llama_set_adapters_lora(context_.get(), &chosen, wanted.adapter == 0 ? 0 : 1, &scale) != 0)
    return error{recovery::retry_elsewhere, "engine_failed",
                 last_engine_error("an adapter cannot be used")};
  adapter_ = wanted.adapter;
  return done{};
}

void embedder::begin(const embedding_job& wanted) {
  begun_ = true;
  --counters_.requests_waiting;
  counters_.prompt_tokens_total += wanted.prompt_tokens;
  queue_us_ = static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(
                                             std::chrono::steady_clock::now() - wanted.queued)
                                             .count());
  auto opened = event_of(wanted.id, CONSORT_EVENT_OPENED);
  opened.prompt_tokens = wanted.prompt_tokens;
  sink_(opened);
}

void embedder::step() {
  if (queue_.empty() || interrupted_)
    return;
  const auto& wanted = queue_.front();
  if (!begun_)
    begin(wanted);
  if (const auto ready = prepare(wanted); !ready)
    return fail(ready.failure());
  const std::span<const llama_token> tokens = wanted.inputs[input_];
  const auto rest = tokens.subspan(fed_);
  const auto now = rest.first(std::min<std::size_t>(rest.size(), step_tokens()));
  if (const auto computed = compute(now); !computed)
    return interrupted_ ? void() : fail(computed.failure());
  fed_ += now.size();
  if (fed_ == tokens.size())
    finish_input();
}

result<done> embedder::compute(std::span<const llama_token> tokens) {
  ++counters_.steps_total;
  batch_.clear();
  for (std::size_t at = 0; at < tokens.size(); ++at)
    batch_.add(tokens[at], static_cast<llama_pos>(fed_ + at), 0, true);
  if (const auto failed = llama_decode(context_.get(), batch_.raw()); failed != 0)
    return error{recovery::retry_elsewhere, "engine_failed",
                 "the engine failed: "
                     + last_engine_error("llama_decode returned " + std::to_string(failed))};
  for (std::size_t row = 0; row < tokens.size(); ++row)
    take(row);
  return done{};
}

/// The vector of one token, as far as it counts.
void embedder::take(std::size_t row) {
  const auto place = fed_ + row;
  const bool counts
      = pooling_ == pooling::mean || (pooling_ == pooling::first && place == 0)
        || (pooling_ == pooling::last && place + 1 == queue_.front().inputs[input_].size());
  const auto* vector
      = counts ? llama_get_embeddings_ith(context_.get(), static_cast<std::int32_t>(row)) : nullptr;
  for (std::size_t at = 0; vector != nullptr && at < width_; ++at)
    sum_[at] += vector[at];
}

/// A mean and a sum have the same direction, and only that is told.
void embedder::finish_input() {
  const auto& wanted = queue_.front();
  std::vector<float> vector(width_);
  const auto count = static_cast<double>(wanted.inputs[input_].size());
  std::transform(sum_.begin(), sum_.end(), vector.begin(),
                 [&](double one) { return static_cast<float>(one / count); });
  normalize(vector);
  auto text = (input_ == 0 ? "[" : ",") + embedding_json(vector, wanted.base64);
  const bool last = input_ + 1 == wanted.inputs.size();
  text += last ? "]" : "";
  const auto next = input_ + 1;
  const auto id = wanted.id;
  const auto prompt_tokens = wanted.prompt_tokens;
  auto told = event_of(id, CONSORT_EVENT_TOKENS);
  set_text(told, text);
  sink_(told);
  forget();
  if (!last) {
    begun_ = true;
    input_ = next;
    return;
  }
  queue_.pop_front();
  auto choice = event_of(id, CONSORT_EVENT_CHOICE_DONE);
  set_text(choice, "stop");
  sink_(choice);
  auto ended = event_of(id, CONSORT_EVENT_COMPLETED);
  ended.prompt_tokens = prompt_tokens;
  ended.batch = 1;
  ended.queue_us = queue_us_;
  sink_(ended);
}

} // namespace consort::llama
