// SPDX-License-Identifier: Apache-2.0
#pragma once
/// An OpenAI-compatible server's answer as events of an attempt: a stream of server-sent events, or
/// one JSON object from a server that does not stream. A server that gives more pieces than tokens
/// were asked for is cut there, with the finish reason `length`; so is one that does not stream and
/// says itself, in its usage, that there are more.

#include "links/sse.hpp"
#include "node/runtimes/server_answer.hpp"

#include <nlohmann/json_fwd.hpp>

#include <optional>
#include <set>

namespace consort::node {

class openai_answer final : public server_answer {
public:
  /// `choices` and `max_tokens` as asked; 0 tokens = unknown.
  openai_answer(std::uint32_t choices, std::uint32_t max_tokens);

  void feed(std::string_view bytes) override;
  void finish() override;

private:
  void bound_text(const nlohmann::json& body);
  bool on_data(std::string_view data);
  void on_object(const nlohmann::json& body);
  void on_choice(const nlohmann::json& choice);
  void on_piece(std::uint32_t index, const nlohmann::json& choice);
  void finish_choice(std::uint32_t index, std::string reason);
  void on_usage(const nlohmann::json& usage);
  void complete();
  [[nodiscard]] bool choices_done() const { return done_.size() >= choices_; }

  const std::uint32_t choices_, max_tokens_;
  links::sse_parser events_;
  std::string whole_;
  std::optional<std::size_t> text_bytes_max_; ///< Of a choice of a whole answer that has too much.
  std::map<std::uint32_t, std::uint32_t> pieces_; ///< With text, by choice.
  std::set<std::uint32_t> done_;
  std::optional<token_usage> usage_;
};

} // namespace consort::node
