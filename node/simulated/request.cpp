// SPDX-License-Identifier: Apache-2.0
#include "node/simulated/request.hpp"

#include "node/simulated/limits.hpp"

#include <nlohmann/json.hpp>

namespace consort::node {

namespace {

using nlohmann::json;

constexpr std::size_t bytes_per_token = 4;    ///< As gateway/openai_request.cpp.
constexpr std::size_t tokens_per_message = 4; ///< Likewise.

error refused(const std::string& message) {
  return {recovery::refuse, "bad_request", "a simulated device: " + message};
}

/// The prompt as one text, and tokens that were given as numbers.
struct prompt_text {
  std::string text;
  std::size_t tokens = 0;
};

void add_content(const json& content, prompt_text& into) {
  if (content.is_string())
    into.text += content.get_ref<const std::string&>();
  if (!content.is_array())
    return;
  for (const auto& part : content)
    if (part.is_object() && part.contains("text") && part["text"].is_string())
      into.text += part["text"].get_ref<const std::string&>();
}

prompt_text chat_prompt(const json& body) {
  prompt_text made;
  const auto messages = body.value("messages", json::array());
  for (const auto& one : messages) {
    if (!one.is_object())
      continue;
    add_content(one.value("role", json()), made);
    made.text += '\n';
    add_content(one.value("content", json()), made);
    made.text += '\n';
    made.tokens += tokens_per_message;
  }
  return made;
}

prompt_text plain_prompt(const json& body) {
  prompt_text made;
  const auto prompt = body.value("prompt", json());
  if (prompt.is_array() && !prompt.empty() && prompt.front().is_number_integer())
    made.tokens = prompt.size();
  else if (prompt.is_array() && prompt.size() == 1)
    add_content(prompt.front(), made);
  else
    add_content(prompt, made);
  return made;
}

std::uint32_t count_at(const json& body, const char* name) {
  const auto found = body.find(name);
  return found != body.end() && found->is_number_unsigned() ? static_cast<std::uint32_t>(
             std::min<std::uint64_t>(found->get<std::uint64_t>(), limits::simulated_tokens_max))
                                                            : 0;
}

/// Chained hashes of the text's whole blocks.
std::vector<std::uint64_t> prefix_of(std::string_view text, std::size_t block_bytes) {
  std::vector<std::uint64_t> made;
  auto chain = sim::fold_start;
  for (; text.size() >= block_bytes; text.remove_prefix(block_bytes))
    made.push_back(chain = sim::fold(chain, text.substr(0, block_bytes)));
  return made;
}

} // namespace

result<sim::engine_sequence> read_simulated_request(const attempt_body& body,
                                                    std::uint32_t block_tokens) {
  const auto parsed = json::parse(body.json, nullptr, false);
  if (!parsed.is_object())
    return refused("the body is no JSON object");
  if (body.kind == request_kind::embedding)
    return refused("it makes no embeddings");
  if (count_at(parsed, "n") > 1
      || (parsed.contains("prompt") && parsed["prompt"].is_array() && parsed["prompt"].size() > 1
          && !parsed["prompt"].front().is_number_integer()))
    return refused("one choice at a time");
  const bool chat = body.kind == request_kind::chat;
  const auto prompt = chat ? chat_prompt(parsed) : plain_prompt(parsed);
  sim::engine_sequence made;
  made.prompt_tokens
      = static_cast<std::uint32_t>(prompt.tokens + prompt.text.size() / bytes_per_token + 1);
  if (made.prompt_tokens > limits::simulated_tokens_max)
    return refused("a prompt has at most " + std::to_string(limits::simulated_tokens_max)
                   + " tokens");
  made.output_tokens
      = std::max(count_at(parsed, "max_tokens"), count_at(parsed, "max_completion_tokens"));
  if (made.output_tokens == 0)
    made.output_tokens = limits::simulated_output_tokens;
  made.emitted
      = std::max(static_cast<std::uint32_t>(body.resume.token_ids.size()), body.resume.tokens);
  // Whole blocks of the cache, and not too small: each is hashed.
  const auto least = static_cast<std::uint32_t>(limits::simulated_block_tokens);
  made.prefix_tokens = block_tokens * ((least + block_tokens - 1) / block_tokens);
  made.prefix = prefix_of(prompt.text, std::size_t{made.prefix_tokens} * bytes_per_token);
  return made;
}

std::string simulated_token(std::uint32_t number) {
  return "sim" + std::to_string(number) + " ";
}

} // namespace consort::node
