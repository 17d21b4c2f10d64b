// SPDX-License-Identifier: Apache-2.0
#include "node/plugins/llama/embedding_job.hpp"

#include "node/plugins/llama/json_fields.hpp"
#include "node/plugins/llama/limits.hpp"

#include <array>
#include <bit>
#include <charconv>
#include <cmath>

namespace consort::llama {
namespace {

using nlohmann::json;

error too_long(std::size_t at, const std::string& tokens, std::uint32_t most) {
  return {recovery::refuse, "context_length_exceeded",
          "This model's maximum context length is " + std::to_string(most) + " tokens. However, "
              + "input[" + std::to_string(at) + "] has " + tokens
              + ". Please reduce its length, or split it."};
}

result<std::vector<std::string>> read_inputs(const json* input) {
  if (input == nullptr)
    return invalid("'input' is missing");
  const json list = input->is_array() ? *input : json::array({*input});
  if (list.empty() || list.size() > limits::embedding_inputs_max)
    return invalid("'input' must hold from 1 to " + std::to_string(limits::embedding_inputs_max)
                   + " texts");
  std::vector<std::string> texts;
  for (const json& one : list) {
    if (!one.is_string() || one.get_ref<const std::string&>().empty())
      return invalid("'input' must be a text or a list of texts, none of them empty");
    texts.push_back(one.get<std::string>());
  }
  return texts;
}

void read_form(json_fields& body, const embedding_facts& model, embedding_job& into) {
  const auto format = body.string("encoding_format", "float");
  into.base64 = format == "base64";
  if (!into.base64 && format != "float")
    body.fail(invalid("'encoding_format' must be float or base64"));
  const auto width = body.integer("dimensions", model.width, 1, limits::embedding_width_max);
  if (width != model.width)
    body.fail(invalid("'dimensions' can only be " + std::to_string(model.width)
                      + ": this model makes vectors of that length alone"));
  const json* name = body.find("model");
  for (std::uint32_t at = 0; at < model.adapters.size(); ++at)
    if (name != nullptr && name->is_string() && *name == model.adapters[at])
      into.adapter = at + 1;
}

/// Text that cannot fit is refused before it costs a tokenization.
result<token_list> tokens_of(const std::string& text, std::size_t at, const vocabulary& words,
                             std::uint32_t most) {
  if (const auto least = text.size() / words.piece_bytes_max(); least > most)
    return too_long(at, "at least " + std::to_string(least), most);
  auto tokens = words.tokenize(text, true);
  if (tokens.empty())
    return invalid("'input' holds a text without a token");
  if (tokens.size() > most)
    return too_long(at, std::to_string(tokens.size()), most);
  return tokens;
}

std::string base64_of(std::span<const float> vector) {
  constexpr std::string_view letters
      = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::vector<std::uint8_t> bytes;
  for (const float number : vector)
    for (unsigned shift = 0; shift < 32; shift += 8)
      bytes.push_back(static_cast<std::uint8_t>(std::bit_cast<std::uint32_t>(number) >> shift));
  std::string text;
  for (std::size_t at = 0; at < bytes.size(); at += 3) {
    const auto byte = [&](std::size_t more) {
      return at + more < bytes.size() ? std::uint32_t{bytes[at + more]} : 0U;
    };
    const auto group = byte(0) << 16U | byte(1) << 8U | byte(2);
    for (unsigned letter = 0; letter < 4; ++letter)
      text += at + letter > bytes.size() ? '=' : letters[group >> (18U - 6U * letter) & 63U];
  }
  return text;
}

} // namespace

result<embedding_job> prepare_embedding(const consort_request& request, const vocabulary& words,
                                        const embedding_facts& model) {
  if (request.json_bytes > limits::body_bytes_max)
    return invalid("the body is larger than " + std::to_string(limits::body_bytes_max) + " bytes");
  auto parsed = parse_object({request.json, request.json_bytes}, "the body");
  if (!parsed)
    return parsed.failure();
  json_fields body(*parsed);
  embedding_job made;
  made.id = request.id;
  read_form(body, model, made);
  if (body.fault())
    return *body.fault();
  const auto texts = read_inputs(body.find("input"));
  if (!texts)
    return texts.failure();
  for (std::size_t at = 0; at < texts->size(); ++at) {
    auto tokens = tokens_of((*texts)[at], at, words, model.tokens_max);
    if (!tokens)
      return tokens.failure();
    made.prompt_tokens += static_cast<std::uint32_t>(tokens->size());
    made.inputs.push_back(*std::move(tokens));
  }
  made.queued = std::chrono::steady_clock::now();
  return made;
}

void normalize(std::span<float> vector) {
  double squares = 0;
  for (const float number : vector)
    squares += static_cast<double>(number) * number;
  if (squares == 0)
    return;
  const auto scale = 1.0 / std::sqrt(squares);
  for (float& number : vector)
    number = static_cast<float>(number * scale);
}

std::string embedding_json(std::span<const float> vector, bool base64) {
  if (base64)
    return '"' + base64_of(vector) + '"';
  std::string text = "[";
  for (const float number : vector) {
    std::array<char, 32> digits{};
    // What is no number has no JSON; a model that makes one is broken, not its client.
    const auto end = std::to_chars(digits.data(), digits.data() + digits.size(),
                                   std::isfinite(number) ? number : 0.0F);
    text.append(text.size() > 1 ? "," : "").append(digits.data(), end.ptr);
  }
  return text + "]";
}

} // namespace consort::llama
