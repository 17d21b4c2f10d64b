// SPDX-License-Identifier: Apache-2.0
#include "node/host/vendor_events.hpp"

#include "messages/limits.hpp"

#include <algorithm>
#include <cstddef>
#include <cstring>

namespace consort::node {

namespace {

constexpr std::size_t code_bytes_max = 64;

bool is_word(std::string_view code) {
  return !code.empty() && code.size() <= code_bytes_max
         && std::all_of(code.begin(), code.end(), [](char letter) {
              return (letter >= 'a' && letter <= 'z') || (letter >= '0' && letter <= '9')
                     || letter == '_';
            });
}

std::string readable(std::uint32_t status, std::string_view message) {
  if (!message.empty())
    return std::string(message);
  return status > CONSORT_BAD_MODEL ? "the runtime gave no reason, and status "
                                          + std::to_string(status) + ", which the ABI does not know"
                                    : "the runtime gave no reason";
}

error contract_error(const std::string& what) {
  return error{recovery::retry_elsewhere, "runtime_contract",
               "the runtime broke its contract: " + what};
}

std::string_view text_of(const consort_event& event) {
  return event.text == nullptr ? std::string_view()
                               : std::string_view(event.text, event.text_bytes);
}

attempt_tokens tokens_of(const consort_event& event) {
  attempt_tokens made;
  made.choice = event.choice;
  made.text = text_of(event);
  if (event.token_ids != nullptr)
    made.token_ids.assign(event.token_ids, event.token_ids + event.token_count);
  if (event.extra_json != nullptr)
    made.extra_json = event.extra_json;
  return made;
}

attempt_completed completed_of(const consort_event& event) {
  attempt_completed made;
  made.usage = {event.prompt_tokens, event.completion_tokens, event.cached_tokens};
  made.batch = event.batch;
  made.engine_queue_us = static_cast<duration_us>(
      std::min<std::uint64_t>(event.queue_us, messages::limits::duration_us_max));
  return made;
}

/// What its kind's fields promise and do not have; empty when they are sound.
std::string broken_promise(const consort_event& event) {
  const bool tokens = event.kind == CONSORT_EVENT_TOKENS;
  const bool texts
      = tokens || event.kind == CONSORT_EVENT_CHOICE_DONE || event.kind == CONSORT_EVENT_FAILED;
  if (texts && event.text == nullptr && event.text_bytes > 0)
    return "an event whose `text` is null and `text_bytes` " + std::to_string(event.text_bytes);
  if (tokens && event.token_ids == nullptr && event.token_count > 0)
    return "an event whose `token_ids` is null and `token_count` "
           + std::to_string(event.token_count);
  return {};
}

} // namespace

result<messages::host_event> copy_vendor_event(const consort_event* event) {
  if (event == nullptr || event->size < offsetof(consort_event, text))
    return contract_error("an event without its first fields");
  consort_event copy{};
  std::memcpy(&copy, event, std::min(event->size, sizeof copy));
  if (copy.text_bytes > messages::limits::token_text_bytes_max
      || copy.token_count > messages::limits::token_ids_max)
    return contract_error("an event of absurd size");
  if (const auto wrong = broken_promise(copy); !wrong.empty())
    return contract_error(wrong);
  switch (copy.kind) {
  case CONSORT_EVENT_OPENED:
    return messages::host_event{copy.request,
                                attempt_opened{copy.prompt_tokens, copy.cached_tokens}};
  case CONSORT_EVENT_TOKENS: return messages::host_event{copy.request, tokens_of(copy)};
  case CONSORT_EVENT_CHOICE_DONE:
    return messages::host_event{copy.request,
                                attempt_choice_done{copy.choice, std::string(text_of(copy))}};
  case CONSORT_EVENT_COMPLETED: return messages::host_event{copy.request, completed_of(copy)};
  case CONSORT_EVENT_FAILED:
    return messages::host_event{
        copy.request,
        attempt_failure(copy.status, copy.code == nullptr ? "" : copy.code, text_of(copy))};
  default: return contract_error("an event of unknown kind " + std::to_string(copy.kind));
  }
}

attempt_aborted attempt_failure(std::uint32_t status, std::string_view code,
                                std::string_view message) {
  attempt_aborted made;
  made.failure.action = recovery::retry_elsewhere;
  made.failure.code = "runtime_failed";
  made.failure.message = readable(status, message);
  if (status == CONSORT_REFUSED) {
    made.device_fault = false;
    made.failure.action = recovery::refuse;
    made.failure.code = "request_refused";
  } else if (status == CONSORT_BUSY) {
    made.device_fault = false;
    made.failure.action = recovery::retry_later;
    made.failure.code = "runtime_busy";
  }
  if (is_word(code))
    made.failure.code = code;
  return made;
}

error load_failure(std::uint32_t status, std::string_view message) {
  const auto text = readable(status, message);
  switch (status) {
  case CONSORT_REFUSED: return {recovery::refuse, "load_refused", text};
  case CONSORT_BAD_MODEL: return {recovery::refuse, "bad_model", text};
  case CONSORT_BUSY: return {recovery::retry_later, "runtime_busy", text};
  default: return {recovery::retry_elsewhere, "load_failed", text};
  }
}

} // namespace consort::node
