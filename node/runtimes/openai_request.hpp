// SPDX-License-Identifier: Apache-2.0
#pragma once
/// From an attempt to what an OpenAI-compatible server is sent. Pure.

#include "node/runtimes/server_dialect.hpp"

namespace consort::node {

/// The client's body with our own `model`, streamed with usage. An answer that began elsewhere goes
/// on as a longer prompt, or as the assistant's last message, which is to be continued. Errors:
/// `bad_body` (refuse), `kind_unsupported` (retry elsewhere).
[[nodiscard]] result<server_request> render_openai_request(const attempt_body& body,
                                                           const std::string& model);

/// The same request, answered in one piece. `body` is a request as render_openai_request() makes
/// it.
[[nodiscard]] std::string whole_body(const std::string& body);

/// The same request, which does not ask for usage in a stream: there are servers that refuse the
/// question, and tell it without.
[[nodiscard]] std::string plain_body(const std::string& body);

} // namespace consort::node
