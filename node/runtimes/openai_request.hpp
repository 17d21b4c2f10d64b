// SPDX-License-Identifier: Apache-2.0
#pragma once
/// From an attempt to what an OpenAI-compatible server is sent. Pure.

#include "messages/attempt_service.hpp"
#include "scheduler/result.hpp"

namespace consort::node {

struct openai_request {
  std::string path; ///< `/v1/completions` or `/v1/chat/completions`.
  std::string body;
  std::uint32_t choices = 1;
  std::uint32_t max_tokens = 0; ///< Of each choice, counted from here on; 0 = the server's own.
};

/// The client's body with our own `model`, streamed with usage. An answer that began elsewhere goes
/// on as a longer prompt, or as the assistant's last message, which is to be continued. Errors:
/// `bad_body` (refuse), `kind_unsupported` (retry elsewhere).
[[nodiscard]] result<openai_request> render_openai_request(const attempt_body& body,
                                                           const std::string& model);

} // namespace consort::node
