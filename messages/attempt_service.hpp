// SPDX-License-Identifier: Apache-2.0
#pragma once
/// The data port as an interface: open a ticket with a body, get a stream of events. In one process
/// the gateway calls the node's implementation directly; between processes the same calls cross
/// HTTP (docs/PROTOCOL.md). Thread-safe.

#include "scheduler/types.hpp"

#include <memory>
#include <string>
#include <variant>
#include <vector>

namespace consort {

/// What the runtime needs to continue a stream that began elsewhere.
struct resume_state {
  std::string text;                    ///< Emitted so far, of choice 0.
  std::vector<std::int32_t> token_ids; ///< Emitted so far; empty when ids are unknown.
  std::uint32_t tokens = 0;            ///< How many, where ids are unknown too; 0 = not said.
  friend bool operator==(const resume_state&, const resume_state&) = default;
};

/// One attempt's input. `json` is the client's OpenAI body, untouched, unknown fields included.
struct attempt_body {
  request_kind kind = request_kind::completion;
  std::string json;
  resume_state resume;
  friend bool operator==(const attempt_body&, const attempt_body&) = default;
};

/// The engine has the prompt: how long it is in its own tokens.
struct attempt_opened {
  std::uint32_t prompt_tokens = 0;
  std::uint32_t cached_tokens = 0;
  friend bool operator==(const attempt_opened&, const attempt_opened&) = default;
};
/// New text of one choice. Text is whole UTF-8 characters; ids stand beside it and may run ahead of
/// the text.
struct attempt_tokens {
  std::uint32_t choice = 0;
  std::string text;
  std::vector<std::int32_t> token_ids;
  std::string extra_json; ///< JSON object of runtime fields to pass through (logprobs, tool calls);
                          ///< empty = none.
  friend bool operator==(const attempt_tokens&, const attempt_tokens&) = default;
};
/// One choice ended.
struct attempt_choice_done {
  std::uint32_t choice = 0;
  std::string finish_reason; ///< `stop`, `length`, or a runtime's own word.
  friend bool operator==(const attempt_choice_done&, const attempt_choice_done&) = default;
};
/// All choices ended. Terminal.
struct attempt_completed {
  token_usage usage;
  std::uint32_t batch = 0;         ///< Most sequences decoded beside it, itself included.
  duration_us engine_queue_us = 0; ///< Waited for a slot inside the engine.
  std::optional<std::uint64_t> energy_mj = {};   ///< As in attempt_aborted.
  std::optional<std::uint64_t> cost_micros = {}; ///< The same.
  friend bool operator==(const attempt_completed&, const attempt_completed&) = default;
};
/// The attempt failed or was cancelled. Terminal. `device_fault` false = the request's own fault or
/// a cancel.
struct attempt_aborted {
  error failure;
  bool device_fault = true;
  /// What its devices drew for it above their idle power, as its node knows by now
  /// (scheduler/energy_split.hpp); 0 = it never reached an engine, nullopt = unknown.
  std::optional<std::uint64_t> energy_mj = {};
  duration_us retry_after_us = 0; ///< Who had no room asked to be left alone so long; 0 = not said.
  /// Paid for its tokens, 1e-6 of the currency unit; nullopt = unknown, or not paid by the token.
  std::optional<std::uint64_t> cost_micros = {};
  friend bool operator==(const attempt_aborted&, const attempt_aborted&) = default;
};

using attempt_event = std::variant<attempt_opened, attempt_tokens, attempt_choice_done,
                                   attempt_completed, attempt_aborted>;

/// Receives an attempt's events in order, ending with exactly one terminal event, on any thread but
/// one at a time. Must not block.
class attempt_sink {
public:
  virtual ~attempt_sink() = default;
  virtual void on_event(attempt_event happened) = 0;
};

/// A running attempt. Destroying or cancelling it stops the engine's work on it; a terminal event
/// still follows a cancel() but nothing is delivered after destruction returns.
class attempt_stream {
public:
  virtual ~attempt_stream() = default;
  virtual void cancel() = 0;
};

class attempt_service {
public:
  virtual ~attempt_service() = default;
  /// Checks the ticket (MAC, incarnation, epoch, expiry, single use) and starts the attempt.
  /// Refusals are an `attempt_aborted` through the sink too, so that a caller has one path. Never
  /// null.
  virtual std::unique_ptr<attempt_stream> open(const ticket& permission, attempt_body body,
                                               std::shared_ptr<attempt_sink> sink)
      = 0;
};

} // namespace consort
