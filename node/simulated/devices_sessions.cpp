// SPDX-License-Identifier: Apache-2.0
// Instances on simulated devices: loads, attempts, ends.
#include "messages/server_status.hpp"
#include "node/simulated/devices_state.hpp"
#include "node/simulated/request.hpp"

#include <algorithm>

namespace consort::node {

namespace {

/// On the first piece of an answer, beside its text: whoever reads it is told what spoke.
constexpr const char* simulated_mark = "{\"simulated\":true}";

std::uint64_t kv_tokens_of(const session_request& order) {
  const auto memory = order.memory_bytes > 0 ? order.memory_bytes : order.device.memory_bytes;
  const auto weights = order.variant.weight_bytes;
  const auto room = memory > weights ? memory - weights : 0;
  return room / std::max<std::uint64_t>(order.variant.kv_bytes_per_token, 1);
}

} // namespace

// --- loads ---

simulated_devices::session_number
simulated_devices::open(const session_request& wanted, opened_handler opened, died_handler died) {
  const auto number = ++numbers_;
  if (wanted.place.degree > 1) {
    opened(error{recovery::refuse, "not_simulated",
                 wanted.device.id.value
                     + ": an instance over several devices is not simulated in real time"});
    return number;
  }
  auto& on = device_of(wanted.device.uuid);
  auto made = std::make_unique<session>();
  made->order = wanted;
  made->on = &on;
  made->opened = std::move(opened);
  made->died = std::move(died);
  sessions_[number] = std::move(made);
  const auto alone_us = sim::load_us_of(*on.model, wanted.variant.weight_bytes);
  queue_.after(static_cast<duration_us>(static_cast<double>(alone_us) * on.trouble.factor),
               [this, number] { finish_load(number); });
  return number;
}

void simulated_devices::finish_load(session_number which) {
  const auto found = sessions_.find(which);
  if (found == sessions_.end())
    return; // Given up.
  auto& one = *found->second;
  const auto opened = std::exchange(one.opened, nullptr);
  if (one.on->trouble.crashing || one.on->trouble.full) {
    const auto* code = one.on->trouble.crashing ? "runtime_died" : "out_of_memory";
    sessions_.erase(found);
    return opened(error{recovery::retry_elsewhere, code, "the runtime did not survive loading"});
  }
  const auto shape = settings_.shapes.find(one.order.model);
  const auto& variant = one.order.variant;
  one.runs = std::make_unique<sim::engine>(
      one.on->model,
      shape != settings_.shapes.end()
          ? shape->second
          : sim::shape_of_sizes(variant.weight_bytes, variant.kv_bytes_per_token),
      kv_tokens_of(one.order), sim::token_delivery::each,
      sim::random_source(chance_.bits(), "engine"), calls_of(which));
  one.runs->set_slowness(one.on->trouble.factor);
  opened(which);
}

void simulated_devices::abandon(instance_id which) {
  for (const auto& [number, one] : sessions_)
    if (one->order.instance == which && !one->runs) {
      const auto opened = std::exchange(one->opened, nullptr);
      sessions_.erase(number);
      return opened(error{recovery::retry_later, "load_abandoned", "the load was given up"});
    }
}

void simulated_devices::close(session_number which) {
  const auto found = sessions_.find(which);
  if (found == sessions_.end())
    return;
  const auto gone = std::move(found->second);
  sessions_.erase(found);
  for (const auto& [attempt, sink] : gone->sinks)
    sink->on_event(attempt_aborted{
        {recovery::retry_elsewhere, "unloaded", "the instance was unloaded"}, false});
}

void simulated_devices::end_runtimes(device& on, const error& why) {
  std::vector<std::unique_ptr<session>> dying;
  for (auto at = sessions_.begin(); at != sessions_.end();) {
    const bool dies = at->second->on == &on && at->second->runs;
    if (dies)
      dying.push_back(std::move(at->second));
    at = dies ? sessions_.erase(at) : std::next(at);
  }
  for (const auto& one : dying) {
    for (const auto& [attempt, sink] : one->sinks)
      sink->on_event(attempt_aborted{why, true});
    one->died(why);
  }
}

// --- attempts ---

sim::engine::callbacks simulated_devices::calls_of(session_number which) {
  sim::engine::callbacks calls;
  calls.now = [this] { return queue_.now(); };
  calls.after = [this](duration_us delay, sim::engine_action what) {
    queue_.after(delay, std::move(what));
  };
  calls.on_tokens
      = [this, which](const attempt_id& attempt, std::uint32_t first, std::uint32_t count) {
          say_tokens(which, attempt, first, count);
        };
  calls.on_finished = [this, which](const sim::engine_sequence& done) { say_done(which, done); };
  calls.on_energy = [this, which](double mj) { sessions_.at(which)->on->energy_mj += mj; };
  return calls;
}

void simulated_devices::say_tokens(session_number which, const attempt_id& attempt,
                                   std::uint32_t first, std::uint32_t count) {
  auto& one = *sessions_.at(which);
  one.tokens += count;
  const auto found = one.sinks.find(attempt);
  if (found == one.sinks.end())
    return;
  attempt_tokens made;
  for (auto token = first; token < first + count; ++token) {
    made.text += simulated_token(token);
    made.token_ids.push_back(static_cast<std::int32_t>(token));
  }
  if (first == 0)
    made.extra_json = simulated_mark;
  const auto sink = found->second; // Whoever is told may leave.
  sink->on_event(std::move(made));
}

void simulated_devices::say_done(session_number which, const sim::engine_sequence& done) {
  auto& one = *sessions_.at(which);
  const auto& terms = one.on->model->remote;
  one.on->paid_micros += (static_cast<double>(terms.micros_per_1k_input) * done.prompt_tokens
                          + static_cast<double>(terms.micros_per_1k_output) * done.output_tokens)
                         / 1'000;
  const auto found = one.sinks.find(done.attempt);
  if (found == one.sinks.end())
    return;
  const auto sink = std::move(found->second);
  one.sinks.erase(found);
  sink->on_event(attempt_choice_done{0, "length"});
  sink->on_event(attempt_completed{{done.prompt_tokens, done.output_tokens, done.cached_tokens},
                                   done.batch_max,
                                   done.waited_us});
}

std::optional<error> simulated_devices::over_limit(device& on, std::uint64_t tokens) {
  const auto& terms = on.model->remote;
  if (terms.requests_per_min == 0 && terms.tokens_per_min == 0)
    return std::nullopt;
  const auto now = queue_.now();
  const auto minutes = static_cast<double>(now - std::exchange(on.refilled_at, now)) / 60e6;
  const auto refill
      = [&](double& left, double per_min) { left = std::min(left + per_min * minutes, per_min); };
  refill(on.requests_left, terms.requests_per_min);
  refill(on.tokens_left, static_cast<double>(terms.tokens_per_min));
  if ((terms.requests_per_min > 0 && on.requests_left < 1)
      || (terms.tokens_per_min > 0 && on.tokens_left < static_cast<double>(tokens)))
    return error{recovery::retry_later, "rate_limited", "429 from the simulated remote service"};
  on.requests_left -= 1;
  on.tokens_left -= static_cast<double>(tokens);
  return std::nullopt;
}

std::optional<attempt_aborted> simulated_devices::refusal(device& on, const session& in,
                                                          const sim::engine_sequence& asked) {
  if (on.trouble.status != 0 && chance_.unit() < on.trouble.share)
    return judge_server_status(on.trouble.status, "simulated");
  const auto context = in.order.variant.context_tokens;
  if (context > 0 && asked.prompt_tokens >= context)
    return attempt_aborted{{recovery::refuse, "context_length_exceeded",
                            "the prompt leaves no room for an answer in the model's context"},
                           false};
  const auto tokens = std::uint64_t{asked.prompt_tokens} + asked.output_tokens;
  if (auto limit = over_limit(on, tokens))
    return attempt_aborted{std::move(*limit), false};
  // Would wait for ever inside the engine: the request's own fault, the same on every device.
  if (tokens > in.runs->kv_tokens_max())
    return attempt_aborted{
        {recovery::refuse, "context_overflow", "prompt and output exceed the KV cache"}, false};
  return std::nullopt;
}

void simulated_devices::submit(session_number which, const attempt_id& attempt,
                               const attempt_body& body, std::shared_ptr<attempt_sink> sink) {
  const auto found = sessions_.find(which);
  if (found == sessions_.end() || !found->second->runs)
    return sink->on_event(
        attempt_aborted{{recovery::retry_elsewhere, "runtime_died", "the runtime is gone"}, true});
  auto& one = *found->second;
  auto asked = read_simulated_request(body, one.on->model->block_tokens);
  if (!asked)
    return sink->on_event(attempt_aborted{asked.failure(), false});
  if (auto refused = refusal(*one.on, one, *asked))
    return sink->on_event(std::move(*refused));
  asked->attempt = attempt;
  const auto prompt = asked->prompt_tokens;
  one.sinks[attempt] = sink;
  one.runs->add(std::move(*asked));
  sink->on_event(attempt_opened{prompt, 0});
}

void simulated_devices::cancel(session_number which, const attempt_id& attempt) {
  const auto found = sessions_.find(which);
  if (found == sessions_.end())
    return;
  auto& one = *found->second;
  const auto at = one.sinks.find(attempt);
  if (at == one.sinks.end())
    return;
  const auto sink = std::move(at->second);
  one.sinks.erase(at);
  one.runs->cancel(attempt);
  ++one.cancelled;
  sink->on_event(
      attempt_aborted{{recovery::refuse, "cancelled", "the attempt was cancelled"}, false});
}

session_stats simulated_devices::stats(session_number which) const {
  session_stats made;
  const auto found = sessions_.find(which);
  if (found == sessions_.end() || !found->second->runs)
    return made;
  const auto& one = *found->second;
  made.capacity = one.runs->capacity();
  made.sequences_running = one.runs->running();
  made.tokens_generated_total = one.tokens;
  made.cancelled_total = one.cancelled;
  return made;
}

} // namespace consort::node
