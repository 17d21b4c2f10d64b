// SPDX-License-Identifier: Apache-2.0
#include "node/runtimes/openai_request.hpp"

#include "node/runtimes/server_errors.hpp"
#include "node/runtimes/token_limit.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>

namespace consort::node {

namespace {

using nlohmann::json;

/// Tokens of what was emitted elsewhere.
std::uint32_t emitted_tokens(const resume_state& resume) {
  return std::max(static_cast<std::uint32_t>(resume.token_ids.size()), resume.tokens);
}

std::optional<error> go_on(json& body, request_kind kind, const std::string& text) {
  if (kind == request_kind::completion) {
    auto& prompt = body["prompt"];
    if (!prompt.is_string())
      return error{recovery::retry_elsewhere, "not_resumable",
                   "an answer goes on only where the prompt is one text"};
    prompt = prompt.get<std::string>() + text;
    return std::nullopt;
  }
  auto& messages = body["messages"];
  if (!messages.is_array())
    return error{recovery::refuse, "bad_body", "`messages` is no list"};
  messages.push_back({{"role", "assistant"}, {"content", text}});
  // As vLLM and SGLang name it.
  body["continue_final_message"] = true;
  body["add_generation_prompt"] = false;
  return std::nullopt;
}

} // namespace

result<server_request> render_openai_request(const attempt_body& from, const std::string& model) {
  if (from.kind != request_kind::completion && from.kind != request_kind::chat)
    return error{recovery::retry_elsewhere, "kind_unsupported",
                 "the server runtime answers completions and chats only"};
  auto body = read_server_json(from.json);
  if (!body.is_object())
    return error{recovery::refuse, "bad_body", "the body is no JSON object"};
  server_request out;
  out.path = from.kind == request_kind::chat ? "/v1/chat/completions" : "/v1/completions";
  const auto asked = asked_tokens_of(from);
  out.choices = asked.choices;
  const auto* limit
      = body.contains("max_completion_tokens") ? "max_completion_tokens" : "max_tokens";
  out.max_tokens = whole_at(body, limit);
  body["model"] = model;
  body["stream"] = true;
  body["stream_options"] = {{"include_usage", true}};
  if (!from.resume.text.empty()) {
    if (const auto failed = go_on(body, from.kind, from.resume.text))
      return *failed;
    if (out.max_tokens > 0) {
      const auto gone = emitted_tokens(from.resume);
      out.max_tokens = out.max_tokens > gone ? out.max_tokens - gone : 1;
      body[limit] = out.max_tokens;
    }
  }
  if (asked.most == 0) // `echo`: the prompt comes as well, and is not told apart.
    out.max_tokens = 0;
  out.body = body.dump(-1, ' ', false, json::error_handler_t::replace);
  return out;
}

std::string plain_body(const std::string& body) {
  auto asked = read_server_json(body);
  if (!asked.is_object() || asked.erase("stream_options") == 0)
    return body;
  return asked.dump(-1, ' ', false, json::error_handler_t::replace);
}

std::string whole_body(const std::string& body) {
  auto asked = read_server_json(plain_body(body));
  if (!asked.is_object())
    return body;
  asked["stream"] = false;
  return asked.dump(-1, ' ', false, json::error_handler_t::replace);
}

} // namespace consort::node
