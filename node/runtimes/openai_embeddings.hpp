// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Embeddings of an OpenAI-compatible server: what it is asked, and its answer as events of an
/// attempt. The attempt's text is a JSON array with one embedding per input, in the inputs' order
/// and each as the server wrote it (a list of numbers, or base64 in a string). It comes at the end,
/// all at once, in pieces that a frame may carry.

#include "node/runtimes/server_answer.hpp"
#include "node/runtimes/server_dialect.hpp"

#include <nlohmann/json_fwd.hpp>

namespace consort::node {

namespace limits {
inline constexpr std::size_t server_embeddings_bytes_max
    = 3 * 1024 * 1024; ///< Of one answer, which waits unsent as a whole.
inline constexpr std::size_t server_embeddings_piece_bytes = 256 * 1024; ///< Of one event.
} // namespace limits

/// The client's body with our own `model`. Errors: `bad_body` (refuse).
[[nodiscard]] result<server_request> render_openai_embeddings(const attempt_body& body,
                                                              const std::string& model);

/// How an attempt at embeddings ends that was refused so: where there is no such path (404, 405,
/// 501) the model or its server makes none, which is no fault of the device; else as any other.
[[nodiscard]] attempt_aborted judge_embeddings_refusal(unsigned status, std::string_view body);

class openai_embeddings final : public server_answer {
public:
  /// Requires: at least one input.
  explicit openai_embeddings(std::uint32_t inputs) : inputs_(inputs) {}

  void feed(std::string_view bytes) override;
  void finish() override;

private:
  /// Returns: the array as text; empty once the attempt has ended for it.
  [[nodiscard]] std::string in_order(const nlohmann::json& data);
  void too_large();

  const std::uint32_t inputs_;
  std::string whole_;
};

} // namespace consort::node
