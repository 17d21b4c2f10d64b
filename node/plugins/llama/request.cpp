// SPDX-License-Identifier: Apache-2.0
#include "node/plugins/llama/request.hpp"

#include "node/plugins/llama/chat.hpp"
#include "node/plugins/llama/json_fields.hpp"
#include "node/plugins/llama/limits.hpp"

#include <algorithm>
#include <charconv>
#include <random>

namespace consort::llama {
namespace {

using nlohmann::json;

/// What OpenAI's completions give when nothing was asked.
constexpr std::uint32_t completion_tokens_default = 16;
constexpr std::int64_t tokens_ask_max = 1LL << 31U;

std::uint64_t fresh_seed() {
  std::random_device source;
  return (static_cast<std::uint64_t>(source()) << 32U) | source();
}

result<token_list> read_tokens(const json& ids, std::int32_t vocabulary_size) {
  token_list tokens;
  for (const json& id : ids) {
    if (!id.is_number_integer() || id.get<std::int64_t>() < 0
        || id.get<std::int64_t>() >= vocabulary_size)
      return invalid("'prompt' holds a token that is not from 0 to "
                     + std::to_string(vocabulary_size - 1));
    tokens.push_back(id.get<llama_token>());
  }
  return tokens;
}

result<prompt_source> read_prompt(const json* prompt, const model_facts& model) {
  if (prompt == nullptr)
    return invalid("'prompt' is missing");
  if (prompt->is_array() && !prompt->empty() && !(*prompt)[0].is_number()) {
    if (prompt->size() > 1)
      return unsupported("'prompt' holds " + std::to_string(prompt->size())
                         + " prompts; send one request for each");
    prompt = &(*prompt)[0];
  }
  if (prompt->is_string())
    return prompt_source(prompt_text{prompt->get<std::string>()});
  if (!prompt->is_array() || prompt->empty())
    return invalid("'prompt' must be a string or a list of tokens, not empty");
  auto tokens = read_tokens(*prompt, model.vocabulary_size);
  if (!tokens)
    return tokens.failure();
  return prompt_source(std::move(*tokens));
}

result<prompt_source> read_chat(const json_fields& body, const model_facts& model) {
  auto messages = read_messages(body.find("messages"));
  if (!messages)
    return messages.failure();
  chat_prompt prompt = render_chat(*messages, model.chat_template);
  return prompt_source(prompt_text{std::move(prompt.text), prompt.templated});
}

void read_stops(json_fields& body, std::vector<std::string>& stops) {
  const json* field = body.find("stop");
  if (field == nullptr)
    return;
  const json list = field->is_array() ? *field : json::array({*field});
  if (list.size() > limits::stops_max)
    return body.fail(
        invalid("'stop' holds more than " + std::to_string(limits::stops_max) + " strings"));
  for (const json& stop : list) {
    if (!stop.is_string() || stop.get_ref<const std::string&>().empty()
        || stop.get_ref<const std::string&>().size() > limits::stop_bytes_max)
      return body.fail(invalid("'stop' must be a string or a list of strings, each of 1 to "
                               + std::to_string(limits::stop_bytes_max) + " bytes"));
    stops.push_back(stop.get<std::string>());
  }
}

void read_logit_bias(json_fields& body, std::int32_t vocabulary_size, sampling_options& into) {
  const json* field = body.find("logit_bias");
  if (field == nullptr)
    return;
  if (!field->is_object() || field->size() > limits::logit_bias_max)
    return body.fail(invalid("'logit_bias' must be an object of at most "
                             + std::to_string(limits::logit_bias_max) + " tokens"));
  for (const auto& [name, bias] : field->items()) {
    llama_token token = -1;
    const auto read = std::from_chars(name.data(), name.data() + name.size(), token);
    if (read.ec != std::errc() || read.ptr != name.data() + name.size() || token < 0
        || token >= vocabulary_size)
      return body.fail(invalid("'logit_bias' names a token that is not from 0 to "
                               + std::to_string(vocabulary_size - 1)));
    if (!bias.is_number() || bias.get<double>() < -100 || bias.get<double>() > 100)
      return body.fail(invalid("'logit_bias." + name + "' must be a number from -100 to 100"));
    into.logit_bias.emplace_back(token, bias.get<float>());
  }
}

void read_sampling(json_fields& body, std::int32_t vocabulary_size, sampling_options& into) {
  const auto real = [&](const char* name, double otherwise, double least, double most) {
    return static_cast<float>(body.number(name, otherwise, least, most));
  };
  into.temperature = real("temperature", 1, 0, 2);
  into.top_p = real("top_p", 1, 0, 1);
  into.min_p = real("min_p", 0, 0, 1);
  into.top_k = static_cast<std::uint32_t>(std::max<std::int64_t>(
      body.integer("top_k", 0, -1, tokens_ask_max), 0)); // vLLM writes "all" as -1.
  into.presence_penalty = real("presence_penalty", 0, -2, 2);
  into.frequency_penalty = real("frequency_penalty", 0, -2, 2);
  const char* repeat
      = body.find("repeat_penalty") != nullptr ? "repeat_penalty" : "repetition_penalty";
  into.repeat_penalty = real(repeat, 1, 0.01, 10);
  into.seed = body.find("seed") == nullptr
                  ? fresh_seed()
                  : static_cast<std::uint64_t>(body.integer("seed", 0, INT64_MIN, INT64_MAX));
  read_logit_bias(body, vocabulary_size, into);
}

void read_length(json_fields& body, generation_request& into) {
  const char* name
      = body.find("max_completion_tokens") != nullptr ? "max_completion_tokens" : "max_tokens";
  if (body.find(name) != nullptr)
    into.tokens_max
        = static_cast<std::uint32_t>(body.integer(name, 1, into.chat ? 1 : 0, tokens_ask_max));
  else if (!into.chat)
    into.tokens_max = completion_tokens_default;
}

void read_choices(json_fields& body, const model_facts& model, generation_request& into) {
  into.choices = static_cast<std::uint32_t>(body.integer("n", 1, 1, limits::choices_max));
  if (into.choices > model.sequences)
    body.fail(unsupported("'n' is " + std::to_string(into.choices) + "; this instance decodes "
                          + std::to_string(model.sequences) + " sequences side by side"));
  if (body.integer("best_of", into.choices, 1, INT32_MAX) != into.choices)
    body.fail(unsupported("'best_of' other than 'n' is not supported"));
}

void read_logprobs(json_fields& body, generation_request& into) {
  if (!into.chat) {
    if (body.find("logprobs") != nullptr)
      into.logprobs
          = static_cast<std::uint32_t>(body.integer("logprobs", 0, 0, limits::top_logprobs_max));
    return;
  }
  const auto top
      = static_cast<std::uint32_t>(body.integer("top_logprobs", 0, 0, limits::top_logprobs_max));
  if (body.boolean("logprobs", false))
    into.logprobs = top;
  else if (top > 0)
    body.fail(invalid("'top_logprobs' needs 'logprobs' to be true"));
}

/// Any other name is one that the model itself is served under.
void read_adapter(json_fields& body, const model_facts& model, generation_request& into) {
  const json* name = body.find("model");
  if (name == nullptr || !name->is_string())
    return;
  for (std::uint32_t at = 0; at < model.adapters.size(); ++at)
    if (model.adapters[at] == name->get_ref<const std::string&>())
      into.adapter = at + 1;
}

/// Fields that would change the answer and that nothing here implements.
void refuse_unsupported(json_fields& body) {
  if (const json* format = body.find("response_format")) {
    if (!format->is_object() || !format->contains("type") || !(*format)["type"].is_string())
      body.fail(invalid("'response_format.type' must be a string"));
    else if ((*format)["type"] != "text")
      body.fail(unsupported("'response_format' other than text is not supported"));
  }
  const json* tools = body.find("tools");
  const json* choice = body.find("tool_choice");
  if (choice != nullptr && *choice != "none" && *choice != "auto")
    body.fail(unsupported("'tool_choice' other than none or auto is not supported"));
  if (tools != nullptr && !tools->empty() && (choice == nullptr || *choice != "none"))
    body.fail(unsupported("'tools' is not supported; set 'tool_choice' to none to send them"));
  if (body.find("suffix") != nullptr && !body.string("suffix", "").empty())
    body.fail(unsupported("'suffix' is not supported"));
  for (const char* name : {"grammar", "json_schema", "guided_json", "guided_regex"})
    if (body.find(name) != nullptr)
      body.fail(unsupported("'" + std::string(name) + "' is not supported"));
}

} // namespace

result<generation_request> parse_request(consort_request_kind kind, std::string_view text,
                                         const model_facts& model) {
  if (kind != CONSORT_COMPLETION && kind != CONSORT_CHAT)
    return unsupported("this runtime serves completions and chat only");
  if (text.size() > limits::body_bytes_max)
    return invalid("the body is larger than " + std::to_string(limits::body_bytes_max) + " bytes");
  auto parsed = parse_object(text, "the body");
  if (!parsed)
    return parsed.failure();
  json_fields body(*parsed);
  generation_request wanted;
  wanted.chat = kind == CONSORT_CHAT;
  auto prompt = wanted.chat ? read_chat(body, model) : read_prompt(body.find("prompt"), model);
  if (!prompt)
    return prompt.failure();
  wanted.prompt = std::move(*prompt);
  read_sampling(body, model.vocabulary_size, wanted.sampling);
  read_length(body, wanted);
  read_choices(body, model, wanted);
  read_stops(body, wanted.stops);
  read_logprobs(body, wanted);
  read_adapter(body, model, wanted);
  wanted.echo = !wanted.chat && body.boolean("echo", false);
  wanted.ignore_end = body.boolean("ignore_eos", false);
  refuse_unsupported(body);
  if (body.fault())
    return *body.fault();
  return wanted;
}

} // namespace consort::llama
