// SPDX-License-Identifier: Apache-2.0
#include "node/runtimes/believed_usage.hpp"

#include "node/limits.hpp"
#include "node/runtimes/server_errors.hpp"
#include "node/runtimes/token_limit.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <set>
#include <string_view>

namespace consort::node {

namespace {

using nlohmann::json;

constexpr std::uint64_t token_bytes_guessed = 4; ///< As gateways estimate prompts.
constexpr std::uint64_t end_tokens = 1; ///< Of a choice: there are servers that count its end.

struct prompt_size {
  std::uint64_t tokens = 0; ///< Told as ids.
  std::uint64_t bytes = 0;  ///< Of text.
  bool media = false;       ///< It shows something that is no text.
};

/// Depth is bounded by read_server_json().
void measure(const json& part, prompt_size& into) {
  static const std::set<std::string_view> media{"image_url",   "image",     "input_audio", "audio",
                                                "audio_url",   "video",     "video_url",   "file",
                                                "input_image", "input_file"};
  if (part.is_string())
    into.bytes += part.get_ref<const std::string&>().size();
  else if (part.is_number())
    ++into.tokens;
  else if (part.is_array())
    for (const auto& one : part)
      measure(one, into);
  else if (part.is_object())
    for (const auto& [name, value] : part.items())
      media.contains(name) ? void(into.media = true) : measure(value, into);
}

prompt_size prompt_of(const attempt_body& asked) {
  prompt_size size;
  const auto body = read_server_json(asked.json);
  if (body.is_object())
    for (const auto* name : {"prompt", "messages", "input"})
      if (const auto found = body.find(name); found != body.end())
        measure(*found, size);
  size.bytes += asked.resume.text.size();
  return size;
}

std::uint32_t estimate_of(const prompt_size& size) {
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(
      size.tokens + size.bytes / token_bytes_guessed + 1, limits::usage_media_tokens_max));
}

/// Returns: whether the prompt's tokens are told, and can be true.
bool check_prompt(believed_usage& usage, const attempt_body& asked) {
  const auto told = usage.told.prompt_tokens;
  const auto bytes = asked.json.size() + asked.resume.text.size();
  if (told > 0 && told <= bytes + limits::usage_added_tokens_max)
    return true;
  const auto size = prompt_of(asked);
  if (told > 0 && size.media && told <= bytes + limits::usage_media_tokens_max)
    return true;
  usage.doubted = usage.doubted || told > 0;
  usage.told.prompt_tokens = usage.told.cached_tokens = 0;
  usage.charged.prompt_tokens = estimate_of(size);
  usage.charged.cached_tokens = 0;
  return false;
}

void check_answer(believed_usage& usage, const attempt_body& asked, std::uint64_t pieces) {
  auto& told = usage.told.completion_tokens;
  if (told == 0)
    told = static_cast<std::uint32_t>(
        std::min<std::uint64_t>(pieces, limits::usage_answer_tokens_max));
  if (told > pieces) {
    const auto left = asked_tokens_of(asked);
    const auto body = read_server_json(asked.json);
    // Of these all are paid for, and only some are shown.
    const auto tried = body.is_object() ? whole_at(body, "best_of") : 0U;
    const std::uint64_t choices
        = std::min(std::max(left.choices, tried), limits::usage_choices_max);
    const auto most
        = std::max(choices * (left.most > 0 ? left.most : limits::usage_answer_tokens_max), pieces);
    if (told > most + end_tokens * choices) {
      usage.doubted = true;
      told = static_cast<std::uint32_t>(left.most > 0 ? most : pieces);
    }
  }
  usage.charged.completion_tokens = told;
}

} // namespace

believed_usage believe(token_usage said, const attempt_body& asked, std::uint64_t pieces) {
  believed_usage usage{said, said, false};
  if (check_prompt(usage, asked) && said.cached_tokens > said.prompt_tokens) {
    usage.doubted = true;
    usage.told.cached_tokens = usage.charged.cached_tokens = said.prompt_tokens;
  }
  if (asked.kind == request_kind::embedding) // Nothing is generated.
    usage.told.completion_tokens = usage.charged.completion_tokens = 0;
  else
    check_answer(usage, asked, pieces);
  return usage;
}

} // namespace consort::node
