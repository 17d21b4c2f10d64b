// SPDX-License-Identifier: Apache-2.0
#include "node/runtimes/server_dialect.hpp"

#include "node/limits.hpp"
#include "node/runtimes/mii_dialect.hpp"
#include "node/runtimes/openai_answer.hpp"
#include "node/runtimes/openai_embeddings.hpp"
#include "node/runtimes/openai_request.hpp"
#include "node/runtimes/plain_generation.hpp"
#include "node/runtimes/tgi_dialect.hpp"

namespace consort::node {

bool server_answer::within_bounds(std::size_t bytes) {
  bytes_ += bytes;
  if (bytes_ > limits::server_answer_bytes_max)
    fail("server_protocol",
         "the answer exceeds " + std::to_string(limits::server_answer_bytes_max) + " bytes");
  return !ended_;
}

result<server_request> render_server_request(server_protocol protocol, const attempt_body& body,
                                             const std::string& model) {
  switch (protocol) {
  case server_protocol::openai:
    return body.kind == request_kind::embedding ? render_openai_embeddings(body, model)
                                                : render_openai_request(body, model);
  case server_protocol::tgi: return render_tgi_request(body, model);
  case server_protocol::mii: return render_mii_request(body, model);
  }
  return error{recovery::bug, "no_protocol", "unknown protocol"};
}

std::uint32_t refused_asks(const server_spec& server) {
  switch (server.protocol) {
  case server_protocol::openai:
    return (server.completions ? 0U : asks::completions) | (server.chats ? 0U : asks::chats);
  case server_protocol::tgi: return plain_refuses;
  case server_protocol::mii: return plain_refuses | asks::chats | asks::penalties | asks::logprobs;
  }
  return 0;
}

std::unique_ptr<server_answer> make_server_answer(const server_request& asked) {
  if (asked.embeddings > 0)
    return std::make_unique<openai_embeddings>(asked.embeddings);
  switch (asked.answered_in) {
  case server_protocol::openai:
    return std::make_unique<openai_answer>(asked.choices, asked.max_tokens);
  case server_protocol::tgi: return std::make_unique<tgi_answer>(asked.stops, asked.logprobs);
  case server_protocol::mii: return std::make_unique<mii_answer>();
  }
  return std::make_unique<openai_answer>(asked.choices, asked.max_tokens);
}

} // namespace consort::node
