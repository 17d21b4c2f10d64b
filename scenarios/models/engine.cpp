// SPDX-License-Identifier: Apache-2.0
#include "scenarios/models/engine.hpp"

#include "scenarios/limits.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace consort::sim {

namespace {

/// Behind the end of every run, in microseconds, and far from the end of whole numbers.
constexpr double never_us = 1e15;

batch batch_for(const device_model& model, const model_shape& shape, std::uint64_t kv_tokens) {
  batch_settings made;
  made.max_sequences = model.max_sequences;
  made.step_tokens = model.step_tokens;
  made.reserves_output = model.reserves_output;
  // Reserved to the token, as the scheduler counts; taken block by block otherwise.
  made.block_tokens = model.reserves_output ? 1 : model.block_tokens;
  made.blocks = kv_tokens / made.block_tokens;
  made.prefix_cache = model.prefix_cache;
  made.prompt_buckets = model.prompt_buckets;
  return {std::move(made), cost_of(model, shape)};
}

} // namespace

engine::engine(device_model_ptr device, const model_shape& shape, std::uint64_t kv_tokens_max,
               token_delivery delivery, random_source chance, callbacks calls)
    : device_(std::move(device)),
      model_(*device_),
      delivery_(delivery),
      chance_(chance),
      calls_(std::move(calls)),
      kv_bytes_(shape.kv_bytes_per_token()) {
  if (model_.kv_blocks > 0)
    kv_tokens_max = model_.kv_blocks * model_.block_tokens;
  lanes_.push_back(std::make_unique<lane>(model_, batch_for(model_, shape, kv_tokens_max)));
  if (model_.prefill.device)
    lanes_.push_back(std::make_unique<lane>(
        *model_.prefill.device, batch_for(*model_.prefill.device, shape, kv_tokens_max)));
  for (auto& one : lanes_)
    one->idle_since = calls_.now();
}

engine::~engine() = default;

void engine::add(engine_sequence sequence) {
  const auto id = ++arrivals_;
  ids_[sequence.attempt] = id;
  inside_.emplace(id, std::move(sequence));
  if (model_.remote.first_token_us == 0)
    return admit(id);
  // A service elsewhere takes its own time before it begins, and nobody sees what for.
  const double factor = std::exp(model_.remote.jitter_sigma * chance_.normal());
  const auto delay = static_cast<duration_us>(double(model_.remote.first_token_us) * factor);
  calls_.after(delay, [this, id, alive = std::weak_ptr(alive_)] {
    if (!alive.expired() && inside_.count(id) != 0)
      admit(id);
  });
}

void engine::admit(std::uint64_t id) {
  const auto& sequence = inside_.at(id);
  batch_request made;
  made.id = id;
  made.prompt_tokens = sequence.prompt_tokens;
  made.output_tokens = sequence.output_tokens;
  made.emitted = sequence.emitted;
  made.prefix = sequence.prefix;
  made.prefix_tokens = sequence.prefix_tokens;
  made.computed = sequence.computed;
  if (split() && !made.computed) // The prefill side's last token is the stream's next.
    made.output_tokens = std::min(made.output_tokens, made.emitted + 1);
  auto& at = made.computed ? decode_lane() : *lanes_.back();
  at.work.add(std::move(made), double(calls_.now()));
  touch(at);
}

bool engine::cancel(const attempt_id& attempt) {
  const auto found = ids_.find(attempt);
  if (found == ids_.end())
    return false;
  const auto id = found->second;
  ids_.erase(found);
  inside_.erase(id);
  for (auto& at : lanes_)
    if (at->work.cancel(id))
      touch(*at);
  return true;
}

/// Something changed: an idle lane begins, a macro-step under way is cut short.
void engine::touch(lane& at) {
  if (!at.work.stepping())
    return begin(at);
  if (at.now.steps <= 1)
    return;
  const auto before = at.now.us;
  at.now.us = at.work.cut((double(calls_.now()) - at.began_us) / at.factor);
  if (at.now.us < before)
    schedule_end(at, at.now.us);
}

void engine::begin(lane& at) {
  const auto now = calls_.now();
  double most = std::numeric_limits<double>::infinity();
  if (delivery_ == token_delivery::gathered)
    most = std::max(double(at.flushed_at + limits::gather_every_us - now), 0.0) / slowness_;
  else
    most = 0; // One step at a time.
  const bool slept = at.model->sleep_after_us > 0 && at.work.running() == 0
                     && now - at.idle_since >= at.model->sleep_after_us;
  const auto plan = at.work.begin(double(now), most);
  if (!plan)
    return;
  at.now = *plan;
  tell_widest(at);
  at.factor = slowness_ * slowdown_of_cap(*at.model, plan->intensity);
  // Steps in a row follow each other exactly, whatever the clock's ticks.
  at.began_us = std::abs(at.free_us - double(now)) <= 1 ? at.free_us : double(now);
  if (slept)
    at.began_us += double(at.model->wake_us);
  schedule_end(at, at.now.us);
}

void engine::tell_widest(lane& at) {
  const bool wider = at.now.decoding > at.most_sequences || at.now.prefill_tokens > at.most_tokens;
  if (!wider || at.model->measured.file.empty() || !calls_.on_widest)
    return;
  at.most_sequences = std::max(at.most_sequences, at.now.decoding);
  at.most_tokens = std::max(at.most_tokens, at.now.prefill_tokens);
  calls_.on_widest(*at.model, at.most_sequences, at.most_tokens);
}

void engine::schedule_end(lane& at, double us) {
  at.free_us = at.began_us + us * at.factor;
  // As a whole number even of a step that a profile and a fault make longer than any run.
  const auto ends_at = static_cast<duration_us>(std::llround(std::min(at.free_us, never_us)));
  const auto delay = ends_at - calls_.now();
  calls_.after(std::max<duration_us>(delay, 0),
               [this, which = &at, generation = ++at.generation, alive = std::weak_ptr(alive_)] {
                 if (!alive.expired() && which->generation == generation)
                   end(*which);
               });
}

void engine::end(lane& at) {
  const auto now = calls_.now();
  const auto done = at.now;
  if (done.decoding > 0 && calls_.on_gaps)
    calls_.on_gaps(static_cast<duration_us>(std::llround(done.us * at.factor / done.steps)),
                   std::uint64_t{done.decoding} * done.steps);
  if (calls_.on_energy && at.model->tdp_mw > 0)
    calls_.on_energy((power_mw(*at.model, done.intensity) - double(at.model->idle_mw)) * done.us
                     * at.factor / 1e6);
  at.work.end();
  at.idle_since = now;
  deliver(at, delivery_ == token_delivery::each || now - at.flushed_at >= limits::gather_every_us);
  // Callbacks may add or cancel, and so begin a step.
  if (!at.work.stepping())
    begin(at);
}

void engine::deliver(lane& at, bool all) {
  const auto alive = std::weak_ptr(alive_);
  auto finished = at.work.finished();
  if (all) {
    at.flushed_at = calls_.now();
    // Collected first: whoever gets a token may cancel.
    std::vector<std::uint64_t> running;
    running.reserve(at.work.running());
    at.work.each_running([&](const batch_sequence& one) { running.push_back(one.request.id); });
    for (const auto id : running)
      if (auto* one = at.work.find(id))
        hand_over(*one);
  } else {
    for (const auto id : std::vector(at.work.first()))
      if (auto* one = at.work.find(id))
        hand_over(*one);
  }
  for (auto& one : finished) {
    if (alive.expired())
      return;
    const bool half = split() && &at == lanes_.back().get();
    half ? complete_prefill(one) : complete(one);
  }
}

void engine::hand_over(batch_sequence& one) {
  const auto found = inside_.find(one.request.id);
  if (found == inside_.end() || one.emitted == one.told)
    return;
  const auto first = std::exchange(one.told, one.emitted);
  found->second.emitted = one.emitted;
  calls_.on_tokens(found->second.attempt, first, one.emitted - first);
}

void engine::complete(batch_sequence& done) {
  hand_over(done);
  const auto found = inside_.find(done.request.id);
  if (found == inside_.end())
    return;
  auto ended = std::move(found->second);
  inside_.erase(found);
  ids_.erase(ended.attempt);
  if (!done.request.computed) {
    ended.cached_tokens = done.cached_tokens;
    ended.waited_us = static_cast<duration_us>(done.waited_us);
  }
  ended.batch_max = done.batch_max;
  calls_.on_finished(ended);
}

/// The KV cache goes to the decode side; the first token is out already.
void engine::complete_prefill(batch_sequence& done) {
  const auto id = done.request.id;
  hand_over(done);
  const auto found = inside_.find(id);
  if (found == inside_.end())
    return;
  auto& sequence = found->second;
  sequence.cached_tokens = done.cached_tokens;
  sequence.waited_us = static_cast<duration_us>(done.waited_us);
  if (sequence.emitted >= sequence.output_tokens) {
    done.request.computed = true;
    return complete(done);
  }
  const auto bytes = double(sequence.prompt_tokens + sequence.emitted) * kv_bytes_;
  const auto delay = model_.prefill.transfer_us
                     + static_cast<duration_us>(bytes / (model_.prefill.transfer_gb_per_s * 1e3));
  calls_.after(delay, [this, id, alive = std::weak_ptr(alive_)] {
    if (alive.expired() || inside_.count(id) == 0)
      return;
    const auto& moved = inside_.at(id);
    batch_request made;
    made.id = id;
    made.prompt_tokens = moved.prompt_tokens;
    made.output_tokens = moved.output_tokens;
    made.emitted = moved.emitted;
    made.computed = true;
    decode_lane().work.add(std::move(made), double(calls_.now()));
    touch(decode_lane());
  });
}

std::uint32_t engine::running() const {
  // Where prefill is apart, what is still there waits for a place on the decode side.
  return lanes_.front()->work.running();
}

std::uint64_t engine::kv_tokens_used() const {
  return lanes_.front()->work.kv_tokens_used();
}

std::uint64_t engine::kv_tokens_max() const {
  return lanes_.front()->work.kv_tokens_max();
}

capacity_vector engine::capacity() const {
  capacity_vector made;
  made.sequences = {sequences_max(), figure_source::engine, 0};
  made.kv_tokens = {kv_tokens_max(), figure_source::engine, 0};
  made.step_tokens = {model_.step_tokens, figure_source::engine, 0};
  if (model_.remote.requests_per_min > 0)
    made.requests_per_min = {model_.remote.requests_per_min, figure_source::declared, 0};
  if (model_.remote.tokens_per_min > 0)
    made.tokens_per_min = {model_.remote.tokens_per_min, figure_source::declared, 0};
  made.shape_buckets = model_.prompt_buckets;
  return made;
}

std::vector<attempt_id> engine::attempts() const {
  std::vector<attempt_id> made;
  for (const auto& [id, sequence] : inside_)
    made.push_back(sequence.attempt);
  return made;
}

double engine::intensity() const {
  double most = 0;
  for (const auto& one : lanes_)
    most = std::max(most, one->work.stepping() ? one->now.intensity : 0);
  return most;
}

time_us engine::busy_at() const {
  time_us latest = 0;
  for (const auto& one : lanes_)
    latest = std::max(latest, one->work.stepping() ? calls_.now() : one->idle_since);
  return latest;
}

} // namespace consort::sim
