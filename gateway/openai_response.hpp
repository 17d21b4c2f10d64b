// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Answers in OpenAI's shapes, streamed and whole. Pure: events in, bytes out. Chunks are written
/// by hand, since this is the path of every token; only a runtime's own extra fields go through a
/// JSON library.

#include "messages/attempt_service.hpp"

#include <nlohmann/json.hpp>

#include <map>
#include <set>

namespace consort::gateway {

/// What every chunk of one answer repeats.
struct answer_identity {
  request_kind kind = request_kind::chat; ///< chat or completion.
  std::string id;                         ///< `chatcmpl-...` or `cmpl-...`.
  std::int64_t created = 0;               ///< Unix seconds.
  std::string model;
  bool include_usage = false;
};

/// What `usage` tells beside OpenAI's own fields, as `usage.consort`.
struct served_by {
  device_id device;
  std::uint32_t attempts = 0;
  duration_us queued_us = 0;
  std::optional<bool>
      exact; ///< Set when resumed: whether the same text as undisturbed is promised.
  std::optional<std::uint64_t> energy_mj; ///< nullopt = unknown.
  /// Paid for its tokens, 1e-6 of the currency unit; nullopt = unknown, or not paid by the token.
  std::optional<std::uint64_t> cost_micros = {};
  bool prompt_estimated = false; ///< Nobody counted it: its tokens are guessed by its length.
};

/// The JSON object of `usage.consort`.
[[nodiscard]] std::string served_json(const served_by& served);

/// The JSON object of `usage`.
[[nodiscard]] std::string usage_json(const token_usage& usage, const served_by& served);

/// Writes server-sent events. A choice's first chunk carries the role (chat).
class stream_renderer {
public:
  explicit stream_renderer(answer_identity identity);
  void tokens(std::string& out, const attempt_tokens& piece);
  void choice_done(std::string& out, std::uint32_t choice, std::string_view reason);
  /// The usage chunk if it was asked for, then `[DONE]`.
  void finish(std::string& out, const token_usage& usage, const served_by& served);

private:
  void begin_choice(std::string& out, std::uint32_t choice);
  void open(std::string& out, std::uint32_t choice) const;
  void close(std::string& out) const;
  void with_extra(std::string& out, const attempt_tokens& piece) const;

  bool chat_;
  bool include_usage_;
  std::string head_; ///< `data: {"id":... ,"choices":[`, the same for every chunk.
  std::string tail_; ///< `]}` with what follows the choices, and the blank line.
  std::set<std::uint32_t> begun_;
};

/// Collects a whole answer.
class answer_builder {
public:
  explicit answer_builder(answer_identity identity) : identity_(std::move(identity)) {}
  void tokens(const attempt_tokens& piece);
  void choice_done(std::uint32_t choice, std::string reason);
  /// Text held so far, all choices.
  [[nodiscard]] std::size_t bytes() const { return bytes_; }
  /// Of the first choice.
  [[nodiscard]] std::string_view text() const;
  [[nodiscard]] std::string render(const token_usage& usage, const served_by& served) const;
  /// Forgets everything: the answer starts anew.
  void reset();

private:
  struct choice_state {
    std::string text;
    std::string finish_reason;
    nlohmann::ordered_json message = nlohmann::ordered_json::object(); ///< Extra message fields.
    nlohmann::ordered_json extra = nlohmann::ordered_json::object();   ///< Extra choice fields.
  };
  void append_choice(std::string& out, std::uint32_t index, const choice_state& state) const;

  answer_identity identity_;
  std::map<std::uint32_t, choice_state> choices_;
  std::size_t bytes_ = 0;
};

} // namespace consort::gateway
