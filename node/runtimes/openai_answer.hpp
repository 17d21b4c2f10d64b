// SPDX-License-Identifier: Apache-2.0
#pragma once
/// An OpenAI-compatible server's answer as events of an attempt: a stream of server-sent events, or
/// one JSON object from a server that does not stream. Owned by one attempt; no I/O, no clock.
///
/// Invariants: `attempt_opened` comes first, exactly one terminal event last and nothing after it;
/// text is UTF-8; no choice ends twice. A server that gives more pieces than tokens were asked for
/// is cut there, with the finish reason `length`. Limits: limits::server_answer_bytes_max bytes.

#include "links/sse.hpp"
#include "messages/attempt_service.hpp"

#include <nlohmann/json_fwd.hpp>

#include <optional>
#include <set>

namespace consort::node {

class openai_answer {
public:
  /// `choices` and `max_tokens` as asked; 0 tokens = unknown.
  openai_answer(std::uint32_t choices, std::uint32_t max_tokens);

  /// The head was 200. Call once, before feed().
  void begin(bool event_stream);
  void feed(std::string_view bytes);
  /// The body is whole. Ends the attempt if nothing did.
  void finish();

  /// What happened since the last call.
  [[nodiscard]] std::vector<attempt_event> take() { return std::exchange(out_, {}); }
  [[nodiscard]] bool ended() const { return ended_; }

private:
  bool on_data(std::string_view data);
  void on_object(const nlohmann::json& body);
  void on_choice(const nlohmann::json& choice);
  void on_piece(std::uint32_t index, const nlohmann::json& choice);
  void finish_choice(std::uint32_t index, std::string reason);
  void on_usage(const nlohmann::json& usage);
  void complete();
  void fail(std::string code, const std::string& what);
  void end(attempt_event last);
  [[nodiscard]] bool choices_done() const { return done_.size() >= choices_; }

  const std::uint32_t choices_, max_tokens_;
  links::sse_parser events_;
  bool streamed_ = true;
  std::string whole_;
  std::uint64_t bytes_ = 0;
  std::map<std::uint32_t, std::uint32_t> pieces_; ///< With text, by choice.
  std::set<std::uint32_t> done_;
  std::optional<token_usage> usage_;
  std::vector<attempt_event> out_;
  bool ended_ = false;
};

} // namespace consort::node
