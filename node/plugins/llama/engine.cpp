// SPDX-License-Identifier: Apache-2.0
#include "node/plugins/llama/engine.hpp"

#include "node/plugins/llama/json_fields.hpp"
#include "node/plugins/llama/llama_steps.hpp"

#include <algorithm>

namespace consort::llama {
namespace {

std::uint32_t choose_context(const llama_model& model, std::uint32_t wanted) {
  const auto trained = static_cast<std::uint32_t>(std::max(llama_model_n_ctx_train(&model), 1));
  if (wanted == 0)
    return std::min(trained, limits::context_tokens_default_max);
  return std::min({wanted, trained, limits::context_tokens_max});
}

llama_context_params context_params(std::uint32_t context_tokens, std::uint32_t sequences,
                                    std::uint32_t threads) {
  llama_context_params params = llama_context_default_params();
  params.n_ctx = context_tokens * sequences; // Partitioned: see batch_loop.hpp.
  params.n_seq_max = sequences;
  params.n_batch = params.n_ubatch = limits::batch_tokens;
  params.n_threads = params.n_threads_batch = static_cast<std::int32_t>(threads);
  params.no_perf = true;
  return params;
}

/// Freed with their model.
result<done> load_adapters(const engine_options& options, loaded_engine& into) {
  for (const auto& one : options.adapters) {
    if (!begins_as_gguf(one.path))
      return error{recovery::refuse, "bad_model",
                   "adapter " + one.name + " (" + one.path
                       + ") is no GGUF file, and this engine reads adapters of no other format: "
                         "convert it (llama.cpp's convert_lora_to_gguf.py), or have the model "
                         "served by a server that loads a trainer's folder"};
    auto* loaded = llama_adapter_lora_init(into.model.get(), one.path.c_str());
    if (loaded == nullptr)
      return error{recovery::refuse, "bad_model",
                   "adapter " + one.name + " (" + one.path
                       + ") does not fit the model: " + last_engine_error("it cannot be loaded")};
    into.adapters.push_back(loaded);
  }
  return done{};
}

bool is_terminal(std::uint32_t kind) {
  return kind == CONSORT_EVENT_COMPLETED || kind == CONSORT_EVENT_FAILED;
}

} // namespace

result<loaded_engine> load_engine(const engine_options& options) {
  if (auto loaded = load_backends(options.backend_dir); !loaded)
    return loaded.failure();
  auto model = load_model(options.model_path);
  if (!model)
    return model.failure();
  loaded_engine made;
  made.model = std::move(*model);
  if (const auto loaded = load_adapters(options, made); !loaded)
    return loaded.failure();
  made.context_tokens = choose_context(*made.model, options.context_tokens);
  made.sequences = std::clamp(options.sequences, 1U, limits::sequences_max);
  made.context.reset(
      llama_init_from_model(made.model.get(), context_params(made.context_tokens, made.sequences,
                                                             usable_threads(options.threads))));
  if (!made.context)
    return error{recovery::retry_elsewhere, "no_memory",
                 "cannot make a context of " + std::to_string(made.sequences) + " x "
                     + std::to_string(made.context_tokens)
                     + " tokens: " + last_engine_error("not enough memory")};
  return made;
}

std::uint64_t kv_bytes_of(const llama_model& model, std::uint32_t context_tokens,
                          std::uint32_t sequences) {
  const auto of = [&](auto read) { return static_cast<std::uint64_t>(std::max(read(&model), 1)); };
  const std::uint64_t width
      = of(llama_model_n_embd) / of(llama_model_n_head) * of(llama_model_n_head_kv);
  return std::uint64_t{sequences} * context_tokens * of(llama_model_n_layer) * width * 2
         * sizeof(std::uint16_t);
}

result<std::unique_ptr<session>> session::open(const engine_options& options, event_sink sink) {
  auto loaded = load_engine(options);
  if (!loaded)
    return loaded.failure();
  auto model = std::move(loaded->model);
  embedder_options embeds{loaded->context_tokens, usable_threads(options.threads),
                          loaded->adapters};
  auto steps = std::make_unique<llama_steps>(std::move(loaded->context), loaded->context_tokens,
                                             loaded->sequences, options.peers,
                                             std::move(loaded->adapters));
  std::vector<std::string> names;
  for (const auto& one : options.adapters)
    names.push_back(one.name);
  return std::unique_ptr<session>(new session(std::move(model), std::move(steps), std::move(sink),
                                              std::move(names), std::move(embeds)));
}

std::unique_ptr<session> session::around(model_ptr model, std::unique_ptr<step_engine> steps,
                                         event_sink sink, std::vector<std::string> adapters) {
  return std::unique_ptr<session>(new session(std::move(model), std::move(steps), std::move(sink),
                                              std::move(adapters), std::nullopt));
}

session::session(model_ptr model, std::unique_ptr<step_engine> steps, event_sink sink,
                 std::vector<std::string> adapters, std::optional<embedder_options> embeds)
    : model_(std::move(model)),
      steps_(std::move(steps)),
      words_(*model_),
      facts_{words_.size(), steps_->copies() ? steps_->slots() : 1,
             llama_model_chat_template(model_.get(), nullptr), std::move(adapters)},
      sink_(std::move(sink)),
      loop_(*steps_, words_, counters_, [this](const consort_event& event) { on_event(event); }) {
  if (embeds)
    embeds_ = std::make_unique<embedder>(*model_, *std::move(embeds), counters_,
                                         [this](const consort_event& event) { on_event(event); });
  thread_ = std::thread([this] { run(); });
}

session::~session() {
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
  }
  steps_->interrupt();
  if (embeds_)
    embeds_->interrupt();
  wake_.notify_all();
  thread_.join();
}

/// Not by the thread that works, but all that it reads is as it was made.
result<session::command> session::prepare(const consort_request& request) const {
  if (request.kind != CONSORT_EMBEDDING || embeds_ == nullptr) {
    auto made = prepare_job(request, words_, facts_, context_tokens());
    return made ? result<command>(std::move(*made)) : made.failure();
  }
  auto known = embeds_->facts();
  known.adapters = facts_.adapters;
  auto made = prepare_embedding(request, words_, known);
  return made ? result<command>(std::move(*made)) : made.failure();
}

result<done> session::submit(const consort_request& request) {
  if (counters_.requests_waiting >= limits::queue_max)
    return error{recovery::retry_later, "busy",
                 std::to_string(limits::queue_max) + " requests wait already"};
  auto made = prepare(request);
  if (!made && made.failure().code == "invalid_request")
    return made.failure();
  const std::lock_guard lock(mutex_);
  if (!live_.insert(request.id).second)
    return invalid("request id " + std::to_string(request.id) + " is in use");
  if (made) {
    ++counters_.requests_waiting;
    inbox_.push_back(std::move(*made));
  } else {
    inbox_.emplace_back(rejection{request.id, made.failure()});
  }
  wake_.notify_one();
  return done{};
}

void session::cancel(std::uint64_t id) {
  const std::lock_guard lock(mutex_);
  if (live_.contains(id))
    inbox_.emplace_back(cancellation{id});
  wake_.notify_one();
}

void session::carry_out(command& wanted) {
  if (auto* generates = std::get_if<job>(&wanted))
    loop_.add(std::move(*generates));
  else if (auto* embeds = std::get_if<embedding_job>(&wanted))
    embeds_->add(std::move(*embeds));
  else if (const auto* refused = std::get_if<rejection>(&wanted))
    loop_.reject(refused->id, refused->why);
  else if (const auto id = std::get<cancellation>(wanted).id; !embeds_ || !embeds_->cancel(id))
    loop_.cancel(id);
}

void session::run() {
  std::vector<command> taken;
  while (take_commands(taken)) {
    for (command& each : taken)
      carry_out(each);
    loop_.step();
    if (embeds_)
      embeds_->step();
    working_ = !loop_.idle() || (embeds_ && !embeds_->idle());
  }
}

/// Waits for commands while the loop is idle. Returns: false when the session closes.
bool session::take_commands(std::vector<command>& taken) {
  taken.clear();
  std::unique_lock lock(mutex_);
  while (!closing_ && !working_ && inbox_.empty())
    wake_.wait_for(lock, std::chrono::milliseconds(limits::idle_wait_ms));
  taken.swap(inbox_);
  return !closing_;
}

void session::on_event(const consort_event& event) {
  if (closing_)
    return;
  if (is_terminal(event.kind)) {
    const std::lock_guard lock(mutex_);
    live_.erase(event.request);
  }
  sink_(event);
}

} // namespace consort::llama
