// SPDX-License-Identifier: Apache-2.0
#pragma once
/// What model servers speak, behind one door: from an attempt to a request, and a reader for the
/// answer to it. Pure. A new protocol is a pair of functions in a file of its own and a line here.

#include "node/runtimes/server_answer.hpp"
#include "node/server_spec.hpp"
#include "scheduler/result.hpp"

namespace consort::node {

/// What a server is sent, and what its answer must look like.
struct server_request {
  std::string path;
  std::string body;
  std::uint32_t choices = 1;
  std::uint32_t embeddings = 0;   ///< Texts to embed; 0 = text is to be made.
  std::uint32_t max_tokens = 0;   ///< Of each choice, counted from here on; 0 = the server's own.
  std::vector<std::string> stops; ///< Texts that end an answer, for servers that leave them in it.
  bool logprobs = false; ///< Those of each token are to be told, by servers that always send them.
  server_protocol answered_in = server_protocol::openai;
};

/// Errors: `bad_body` (refuse), `kind_unsupported` and `not_resumable` (retry elsewhere).
[[nodiscard]] result<server_request>
render_server_request(server_protocol protocol, const attempt_body& body, const std::string& model);

/// What a server of that kind is never asked, as bits of asks.hpp: what its protocol has no words
/// for, and the routes that it has not.
[[nodiscard]] std::uint32_t refused_asks(const server_spec& server);

/// Never null.
[[nodiscard]] std::unique_ptr<server_answer> make_server_answer(const server_request& asked);

} // namespace consort::node
