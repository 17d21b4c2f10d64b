// SPDX-License-Identifier: Apache-2.0
#include "node/plugins/llama/batch_loop.hpp"

#include "node/plugins/llama/events.hpp"
#include "node/plugins/llama/limits.hpp"
#include "node/plugins/llama/logprobs.hpp"

#include <algorithm>
#include <cassert>
#include <set>
#include <utility>

namespace consort::llama {

batch_loop::batch_loop(step_engine& steps, const vocabulary& words, engine_counters& counters,
                       event_sink sink)
    : steps_(steps),
      words_(words),
      counters_(counters),
      sink_(std::move(sink)),
      sequences_(steps.slots()) {}

void batch_loop::add(job wanted) {
  queue_.push_back(std::move(wanted));
}

void batch_loop::reject(std::uint64_t id, const error& why) {
  emit_failed(id, why);
}

void batch_loop::cancel(std::uint64_t id) {
  const error cancelled{recovery::refuse, "cancelled", "the request was cancelled"};
  const auto waiting = std::find_if(queue_.begin(), queue_.end(),
                                    [&](const job& queued) { return queued.id == id; });
  if (waiting != queue_.end()) {
    queue_.erase(waiting);
    --counters_.requests_waiting;
  } else {
    const auto found
        = std::find_if(running_.begin(), running_.end(),
                       [&](const running_request& request) { return request.wanted.id == id; });
    if (found == running_.end())
      return;
    drop(*found);
  }
  ++counters_.cancelled_total;
  emit_failed(id, cancelled);
}

bool batch_loop::step() {
  admit_waiting();
  note_load();
  const bool generated = step_generating();
  const bool prompted = step_prompts();
  note_load();
  return generated || prompted;
}

std::uint32_t batch_loop::free_sequences() const {
  return static_cast<std::uint32_t>(
      std::count_if(sequences_.begin(), sequences_.end(),
                    [](const sequence& each) { return each.owner == nullptr; }));
}

void batch_loop::admit_waiting() {
  while (!queue_.empty() && queue_.front().wanted.choices <= free_sequences()) {
    job next = std::move(queue_.front());
    queue_.pop_front();
    --counters_.requests_waiting;
    start(std::move(next));
  }
}

void batch_loop::start(job wanted) {
  running_request& request = running_.emplace_back();
  request.wanted = std::move(wanted);
  const job& made = request.wanted;
  request.open_choices = made.wanted.choices;
  request.queue_us
      = static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(
                                       std::chrono::steady_clock::now() - made.queued)
                                       .count());
  emit_opened(request);
  const std::uint32_t choices = request.open_choices;
  for (std::uint32_t choice = 0; choice < choices; ++choice) {
    auto run
        = std::make_unique<choice_run>(made.wanted, choice, made.tokens_max, words_, made.prompt);
    if (!made.echo.empty() && made.delivered.empty() && made.resumed.empty())
      emit_text(made.id, choice, made.echo, {}, {});
    if (replay(request, *run)) {
      finish_choice(request, *run, choice);
      continue; // After the last choice `request` is gone, and so is the loop's condition.
    }
    const auto slot = std::find_if(sequences_.begin(), sequences_.end(),
                                   [](const sequence& each) { return each.owner == nullptr; });
    assert(slot != sequences_.end());
    *slot
        = sequence{&request, choice,        choice == 0 ? phase::prefill : phase::follow, {}, 0, 0,
                   {},       std::move(run)};
    if (choice == 0) {
      request.first = static_cast<llama_seq_id>(slot - sequences_.begin());
      slot->input = made.prompt;
      slot->input.insert(slot->input.end(), made.resumed.begin(), made.resumed.end());
      counters_.prompt_tokens_total += slot->input.size();
    }
  }
}

/// Brings a run to where an earlier attempt left it. Returns: whether nothing is left to generate.
bool batch_loop::replay(running_request& request, choice_run& run) {
  const job& made = request.wanted;
  if (!made.resumed_by_ids) {
    run.skip(made.resumed);
    return run.end_if_full();
  }
  std::string text;
  for (const llama_token token : made.resumed) {
    if (run.ended())
      break;
    text += run.accept(token).text;
  }
  // The earlier attempt's text may lack its last pieces; ids are the truth.
  if (text.size() > made.delivered.size() && text.starts_with(made.delivered)
      && !made.delivered.empty())
    emit_text(made.id, 0, text.substr(made.delivered.size()), {}, {});
  return run.end_if_full();
}

/// Sequences of one adapter at a time: the engine computes a batch with one.
bool batch_loop::step_generating() {
  std::set<std::uint32_t> adapters;
  for (const running_request& request : running_)
    adapters.insert(request.wanted.wanted.adapter);
  bool any = false;
  for (const auto adapter : adapters) {
    for (std::size_t id = 0; id < sequences_.size(); ++id)
      if (sequences_[id].owner != nullptr && sequences_[id].state == phase::decode
          && sequences_[id].owner->wanted.wanted.adapter == adapter)
        feed(static_cast<llama_seq_id>(id));
    if (fed_.empty())
      continue;
    any = true;
    if (!decode())
      return true;
    for (const llama_seq_id id : std::exchange(fed_, {}))
      advance(id);
  }
  return any;
}

bool batch_loop::step_prompts() {
  std::uint32_t spent = 0;
  std::vector<llama_seq_id> firsts;
  for (const running_request& request : running_)
    if (request.first >= 0 && sequences_[static_cast<std::size_t>(request.first)].owner == &request
        && sequences_[static_cast<std::size_t>(request.first)].state == phase::prefill)
      firsts.push_back(request.first);
  for (const llama_seq_id id : firsts) {
    if (spent >= steps_.rows_max())
      break;
    feed(id);
    spent += static_cast<std::uint32_t>(batch_.size());
    if (!decode())
      return true;
    fed_.clear();
    if (sequences_[static_cast<std::size_t>(id)].row)
      advance(id);
  }
  return !firsts.empty();
}

void batch_loop::feed(llama_seq_id id) {
  sequence& into = sequences_[static_cast<std::size_t>(id)];
  into.row.reset();
  fed_.push_back(id);
  while (into.fed < into.input.size() && batch_.size() < steps_.rows_max()) {
    const bool last = into.fed + 1 == into.input.size();
    if (last)
      into.row = batch_.size();
    batch_.push_back({into.input[into.fed++], static_cast<std::uint32_t>(id), into.position++, last,
                      into.owner->wanted.wanted.adapter});
  }
}

/// Computes the batch and empties it. Returns: false when nothing may be read from the engine.
bool batch_loop::decode() {
  ++counters_.steps_total;
  std::string why;
  const auto outcome = steps_.step(batch_, why);
  batch_.clear();
  if (outcome == step_outcome::done)
    return true;
  fed_.clear();
  if (outcome == step_outcome::failed) // Else by us, because the session closes.
    fail_running(why);
  return false;
}

void batch_loop::advance(llama_seq_id id) {
  sequence& current = sequences_[static_cast<std::size_t>(id)];
  const auto logits = steps_.logits(*current.row);
  if (current.state == phase::prefill) {
    current.state = phase::decode;
    if (!start_followers(id, logits))
      return;
  }
  advance_one(id, logits);
}

/// The prompt is in: its other choices go on from the same KV and the same logits. Copied before
/// the first choice moves on or ends. Returns: false when that failed, and the request with it.
bool batch_loop::start_followers(llama_seq_id first, std::span<const float> logits) {
  const sequence& source = sequences_[static_cast<std::size_t>(first)];
  running_request* owner = source.owner;
  const auto position = source.position;
  for (std::size_t other = 0; other < sequences_.size(); ++other) {
    sequence& follower = sequences_[other];
    if (follower.owner != owner || follower.state != phase::follow)
      continue;
    const auto id = static_cast<llama_seq_id>(other);
    if (!steps_.copy(static_cast<std::uint32_t>(first), static_cast<std::uint32_t>(other))) {
      const auto request = owner->wanted.id;
      drop(*owner);
      emit_failed(request, {recovery::retry_elsewhere, "engine_failed",
                            "the engine failed: it could not copy a sequence"});
      return false;
    }
    follower.state = phase::decode;
    follower.position = position;
    advance_one(id, logits);
  }
  return true;
}

void batch_loop::advance_one(llama_seq_id id, std::span<const float> logits) {
  sequence& current = sequences_[static_cast<std::size_t>(id)];
  running_request& request = *current.owner;
  choice_run& run = *current.run;
  const std::size_t offset = run.text_bytes();
  const llama_token token = run.pick(logits);
  const choice_run::outcome happened = run.accept(token);
  std::string extra;
  if (happened.counted) {
    ++counters_.tokens_generated_total;
    if (request.wanted.wanted.logprobs)
      extra = describe_logprobs(words_, logits, token, *request.wanted.wanted.logprobs,
                                request.wanted.wanted.chat, offset);
  }
  if (happened.counted || !happened.text.empty())
    emit_text(request.wanted.id, current.choice, happened.text,
              std::span(&token, happened.counted ? 1U : 0U), extra);
  if (happened.finish == nullptr) {
    current.input.assign(1, token);
    current.fed = 0;
    return;
  }
  const std::unique_ptr<choice_run> ended = std::move(current.run);
  const std::uint32_t choice = current.choice;
  release(id);
  note_load(); // Whoever sees the end sees the counters without it.
  finish_choice(request, *ended, choice);
}

void batch_loop::finish_choice(running_request& request, const choice_run& run,
                               std::uint32_t choice) {
  request.completion_tokens += run.tokens();
  consort_event event = event_of(request.wanted.id, CONSORT_EVENT_CHOICE_DONE);
  event.choice = choice;
  set_text(event, run.finish());
  sink_(event);
  if (--request.open_choices > 0)
    return;
  emit_completed(request);
  running_.remove_if([&](const running_request& each) { return &each == &request; });
}

void batch_loop::release(llama_seq_id id) {
  steps_.drop(static_cast<std::uint32_t>(id));
  sequences_[static_cast<std::size_t>(id)] = sequence{};
}

void batch_loop::drop(running_request& request) {
  for (std::size_t id = 0; id < sequences_.size(); ++id)
    if (sequences_[id].owner == &request)
      release(static_cast<llama_seq_id>(id));
  running_.remove_if([&](const running_request& each) { return &each == &request; });
  note_load();
}

/// A failed step leaves the KV in doubt: everything running ends, what waits may still succeed.
void batch_loop::fail_running(const std::string& why) {
  const error failed{recovery::retry_elsewhere, "engine_failed", "the engine failed: " + why};
  while (!running_.empty()) {
    const std::uint64_t id = running_.front().wanted.id;
    drop(running_.front());
    emit_failed(id, failed);
  }
}

void batch_loop::note_load() {
  std::uint32_t busy = 0;
  std::uint64_t kv = 0;
  for (const sequence& each : sequences_) {
    busy += each.owner != nullptr ? 1 : 0;
    kv += each.owner != nullptr ? each.position : 0;
  }
  for (running_request& request : running_)
    request.batch_max = std::max(request.batch_max, busy);
  counters_.sequences_running = busy;
  counters_.kv_tokens_used = kv;
}

void batch_loop::emit_opened(const running_request& request) {
  consort_event event = event_of(request.wanted.id, CONSORT_EVENT_OPENED);
  event.prompt_tokens = static_cast<std::uint32_t>(request.wanted.prompt.size());
  sink_(event);
}

void batch_loop::emit_text(std::uint64_t id, std::uint32_t choice, const std::string& text,
                           std::span<const llama_token> ids, const std::string& extra_json) {
  consort_event event = event_of(id, CONSORT_EVENT_TOKENS);
  event.choice = choice;
  set_text(event, text);
  event.token_ids = ids.data();
  event.token_count = ids.size();
  event.extra_json = extra_json.empty() ? nullptr : extra_json.c_str();
  sink_(event);
}

void batch_loop::emit_completed(const running_request& request) {
  consort_event event = event_of(request.wanted.id, CONSORT_EVENT_COMPLETED);
  event.prompt_tokens = static_cast<std::uint32_t>(request.wanted.prompt.size());
  event.completion_tokens = request.completion_tokens;
  event.batch = request.batch_max;
  event.queue_us = request.queue_us;
  sink_(event);
}

void batch_loop::emit_failed(std::uint64_t id, const error& why) {
  consort_event event = event_of(id, CONSORT_EVENT_FAILED);
  event.status = why.action == recovery::refuse        ? CONSORT_REFUSED
                 : why.action == recovery::retry_later ? CONSORT_BUSY
                                                       : CONSORT_FAILED;
  event.code = why.code.c_str();
  set_text(event, why.message);
  sink_(event);
}

} // namespace consort::llama
