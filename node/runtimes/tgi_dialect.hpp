// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Text Generation Inference's own protocol: completions through `/generate_stream`, which ends
/// without `[DONE]` with the event that holds `generated_text`, and chats through its OpenAI route.
/// Pure.

#include "links/sse.hpp"
#include "node/runtimes/server_dialect.hpp"

#include <nlohmann/json.hpp>

namespace consort::node {

/// Errors as read_generation() has them.
[[nodiscard]] result<server_request> render_tgi_request(const attempt_body& body,
                                                        const std::string& model);

/// TGI leaves the text that stopped an answer in it, as OpenAI's clients do not expect: a tail that
/// may become such a text is held back. Special tokens are no text.
class tgi_answer final : public server_answer {
public:
  /// `logprobs`: tells those of each token, as OpenAI's completions have them.
  explicit tgi_answer(std::vector<std::string> stops, bool logprobs = false);

  void feed(std::string_view bytes) override;
  void finish() override;

private:
  bool on_data(std::string_view data);
  void on_object(const nlohmann::json& body);
  void on_text(const std::string& piece);
  void note_logprobs(const nlohmann::json& event, const std::string& piece);
  void tell(std::string text);
  void complete(const nlohmann::json& body);

  const std::vector<std::string> stops_;
  links::sse_parser events_;
  std::string held_, whole_;
  const bool logprobs_;
  nlohmann::json noted_;       ///< Log probabilities that are still to be told: an object of lists.
  std::size_t text_bytes_ = 0; ///< Of all tokens so far.
  std::uint32_t tokens_ = 0;
  bool stopped_ = false; ///< One of the stop texts came.
};

} // namespace consort::node
