// SPDX-License-Identifier: Apache-2.0
#include "node/runtimes/attempt_table.hpp"

#include "node/runtimes/host_log.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>

namespace consort::node {

namespace {

error protocol_error(std::uint64_t request, const std::string& what) {
  return error{recovery::retry_elsewhere, "host_protocol",
               "the host process broke the protocol: request " + std::to_string(request) + ": "
                   + what};
}

constexpr const char* cancelled_code = "cancelled";

attempt_aborted cancelled() {
  return {error{recovery::refuse, cancelled_code, "the attempt was cancelled"}, false};
}

/// What a sink gets when the host says that an attempt failed.
attempt_aborted judged(attempt_aborted said, bool was_cancelled) {
  if (was_cancelled)
    return cancelled();
  // Nobody asked: the runtime gave up by itself, and that is its fault.
  if (said.failure.code == cancelled_code)
    return {error{recovery::retry_elsewhere, "runtime_failed",
                  "the runtime cancelled an attempt by itself: " + said.failure.message},
            true};
  return said;
}

std::string text_objection(const attempt_tokens& tokens) {
  if (!is_utf8(tokens.text))
    return "text is not UTF-8";
  if (!tokens.extra_json.empty()
      && (tokens.extra_json.front() != '{' || !nlohmann::json::accept(tokens.extra_json)))
    return "extra fields are not a JSON object";
  return {};
}

std::string not_asked(std::uint32_t choice, std::uint32_t choices) {
  return "it answers choice " + std::to_string(choice) + ", and nobody asked for more than "
         + std::to_string(choices) + ", counted from 0";
}

} // namespace

result<std::uint64_t> attempt_table::add(const attempt_id& attempt,
                                         std::shared_ptr<attempt_sink> sink,
                                         std::uint32_t choices) {
  if (live_.size() >= bounds_.attempts_max)
    return error{recovery::retry_later, "session_full",
                 "the instance runs as many attempts as it may"};
  choices = std::min<std::uint32_t>(choices, messages::limits::choices_max);
  if (numbers_.contains(attempt))
    return error{recovery::bug, "attempt_repeated", "the attempt is running already"};
  const auto number = ++last_number_;
  live_.emplace(number, live_attempt{attempt, std::move(sink), {}, false, 0, choices, {}});
  numbers_.emplace(attempt, number);
  return number;
}

std::optional<std::uint64_t> attempt_table::cancel(const attempt_id& attempt, time_us now) {
  const auto known = numbers_.find(attempt);
  if (known == numbers_.end())
    return std::nullopt;
  auto& at = live_.at(known->second);
  if (at.cancelled_at)
    return std::nullopt;
  at.cancelled_at = now;
  cancels_.emplace_back(now, known->second);
  return known->second;
}

std::optional<time_us> attempt_table::oldest_cancel() {
  while (!cancels_.empty() && !live_.contains(cancels_.front().second))
    cancels_.pop_front();
  return cancels_.empty() ? std::nullopt : std::optional(cancels_.front().first);
}

result<done> attempt_table::deliver(std::uint64_t request, attempt_event happened) {
  const auto at = live_.find(request);
  if (at == live_.end())
    return protocol_error(request, "not running");
  if (auto why = objection(at->second, happened); !why.empty())
    return protocol_error(request, why);
  if (auto* aborted = std::get_if<attempt_aborted>(&happened)) {
    end(request, judged(std::move(*aborted), at->second.cancelled_at.has_value()));
    return done{};
  }
  if (std::holds_alternative<attempt_completed>(happened)) {
    end(request, std::move(happened));
    return done{};
  }
  // A copy: the sink may destroy its stream, which may come back here.
  const auto sink = at->second.sink;
  sink->on_event(std::move(happened));
  return done{};
}

void attempt_table::abort_all(const error& failure, bool device_fault) {
  std::vector<std::uint64_t> requests;
  for (const auto& [attempt, number] : numbers_)
    requests.push_back(number);
  for (const auto request : requests) {
    const auto at = live_.find(request);
    if (at != live_.end())
      end(request, at->second.cancelled_at ? cancelled() : attempt_aborted{failure, device_fault});
  }
}

/// Returns: why the event cannot be true, or empty.
std::string attempt_table::objection(live_attempt& at, const attempt_event& happened) const {
  if (++at.events > bounds_.events_per_attempt_max)
    return "more than " + std::to_string(bounds_.events_per_attempt_max) + " events";
  if (std::holds_alternative<attempt_aborted>(happened))
    return {}; // may come first: the engine refused
  const bool opens = std::holds_alternative<attempt_opened>(happened);
  if (opens == at.opened)
    return opens ? "opened twice" : "an event before it was opened";
  at.opened = true;
  if (const auto* tokens = std::get_if<attempt_tokens>(&happened)) {
    if (tokens->choice >= at.choices)
      return not_asked(tokens->choice, at.choices);
    if (at.choices_done[tokens->choice])
      return "tokens of choice " + std::to_string(tokens->choice) + ", which has ended";
    return text_objection(*tokens);
  }
  if (const auto* choice = std::get_if<attempt_choice_done>(&happened)) {
    if (choice->choice >= at.choices)
      return not_asked(choice->choice, at.choices);
    if (at.choices_done[choice->choice])
      return "choice " + std::to_string(choice->choice) + " ended twice";
    at.choices_done.set(choice->choice);
  }
  return {};
}

void attempt_table::end(std::uint64_t request, attempt_event last) {
  const auto at = live_.find(request);
  const auto sink = std::move(at->second.sink);
  numbers_.erase(at->second.attempt);
  live_.erase(at);
  sink->on_event(std::move(last));
}

} // namespace consort::node
