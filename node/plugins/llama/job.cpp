// SPDX-License-Identifier: Apache-2.0
#include "node/plugins/llama/job.hpp"

#include "node/plugins/llama/json_fields.hpp"

#include <algorithm>

namespace consort::llama {
namespace {

error context_exceeded(std::uint32_t context, const std::string& prompt_tokens) {
  return {recovery::refuse, "context_length_exceeded",
          "This model's maximum context length is " + std::to_string(context)
              + " tokens. However, your prompt has " + prompt_tokens
              + " tokens, which leaves no room for an answer. Please reduce the length of the "
                "prompt."};
}

/// Tokens of the prompt; text that cannot fit is refused before it costs a tokenization.
result<token_list> tokenize_prompt(const prompt_source& source, const vocabulary& words,
                                   std::uint32_t context) {
  const auto* text = std::get_if<prompt_text>(&source);
  if (text == nullptr)
    return std::get<token_list>(source);
  const std::size_t least = text->text.size() / words.piece_bytes_max();
  if (least > context)
    return context_exceeded(context, "at least " + std::to_string(least));
  token_list tokens = words.tokenize(text->text, text->parse_special);
  if (tokens.empty())
    return invalid("the prompt has no tokens");
  return tokens;
}

std::string prompt_as_text(const job& made, const vocabulary& words) {
  const auto* text = std::get_if<prompt_text>(&made.wanted.prompt);
  return text != nullptr ? text->text : words.text(made.prompt);
}

/// Takes over what an earlier attempt emitted, by ids or else by text.
result<done> resume(const consort_request& from, const vocabulary& words, job& made) {
  made.delivered = from.resume_text != nullptr ? from.resume_text : "";
  if (made.wanted.echo && made.delivered.starts_with(made.echo))
    made.delivered.erase(0, made.echo.size());
  made.resumed_by_ids = from.resume_ids != nullptr && from.resume_count > 0;
  if (made.resumed_by_ids) {
    made.resumed.assign(from.resume_ids, from.resume_ids + from.resume_count);
    for (const llama_token token : made.resumed)
      if (!words.contains(token))
        return invalid("'resume_ids' holds a token outside the vocabulary");
    return done{};
  }
  if (made.delivered.empty())
    return done{};
  // Tokenized behind the prompt: alone, a tokenizer would put a space before it.
  const auto* text = std::get_if<prompt_text>(&made.wanted.prompt);
  const token_list all = words.tokenize(prompt_as_text(made, words) + made.delivered,
                                        text != nullptr && text->parse_special);
  if (all.size() > made.prompt.size())
    made.resumed.assign(all.begin() + static_cast<std::ptrdiff_t>(made.prompt.size()), all.end());
  if (!made.resumed.empty())
    std::copy_n(all.begin(), made.prompt.size(), made.prompt.begin());
  return done{};
}

} // namespace

result<job> prepare_job(const consort_request& request, const vocabulary& words,
                        const model_facts& model, std::uint32_t context_tokens) {
  auto wanted = parse_request(static_cast<consort_request_kind>(request.kind),
                              {request.json, request.json_bytes}, model);
  if (!wanted)
    return wanted.failure();
  job made;
  made.id = request.id;
  made.wanted = std::move(*wanted);
  auto prompt = tokenize_prompt(made.wanted.prompt, words, context_tokens);
  if (!prompt)
    return prompt.failure();
  made.prompt = std::move(*prompt);
  const auto prompt_tokens = static_cast<std::uint32_t>(made.prompt.size());
  if (prompt_tokens >= context_tokens)
    return context_exceeded(context_tokens, std::to_string(prompt_tokens));
  if (made.wanted.echo)
    made.echo = prompt_as_text(made, words);
  if (auto resumed = resume(request, words, made); !resumed)
    return resumed.failure();
  if (!made.resumed.empty() && made.wanted.choices > 1)
    return unsupported("a request with 'n' above 1 cannot be resumed");
  const std::uint32_t room = context_tokens - prompt_tokens;
  made.tokens_max = std::min(made.wanted.tokens_max.value_or(room), room);
  made.queued = std::chrono::steady_clock::now();
  return made;
}

} // namespace consort::llama
