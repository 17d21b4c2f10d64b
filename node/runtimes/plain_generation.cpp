// SPDX-License-Identifier: Apache-2.0
#include "node/runtimes/plain_generation.hpp"

#include "node/limits.hpp"
#include "node/runtimes/server_errors.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>

namespace consort::node {

namespace {

using nlohmann::json;

constexpr std::uint32_t completion_tokens_default = 16; ///< As the OpenAI API has it.

error beyond(const std::string& what) {
  return {recovery::retry_elsewhere, "kind_unsupported",
          "this kind of model server does not answer " + what};
}

std::optional<double> number_at(const json& body, const char* name) {
  const auto found = body.find(name);
  return found != body.end() && found->is_number() ? std::optional(found->get<double>())
                                                   : std::nullopt;
}

std::optional<std::uint64_t> unsigned_at(const json& body, const char* name) {
  const auto found = body.find(name);
  return found != body.end() && found->is_number_unsigned()
             ? std::optional(found->get<std::uint64_t>())
             : std::nullopt;
}

std::vector<std::string> stops_of(const json& body) {
  std::vector<std::string> stops;
  const auto found = body.find("stop");
  if (found == body.end())
    return stops;
  if (found->is_string())
    stops.push_back(found->get<std::string>());
  else if (found->is_array())
    for (const auto& one : *found)
      if (one.is_string() && stops.size() < limits::server_stops_max)
        stops.push_back(one.get<std::string>());
  std::erase_if(stops, [](const auto& one) { return one.empty(); });
  return stops;
}

/// The prompt, alone or in a list of its own; nullptr where it is anything else.
const std::string* one_text(const json& prompt) {
  const auto& one = prompt.is_array() && prompt.size() == 1 ? prompt.front() : prompt;
  return one.is_string() ? &one.get_ref<const std::string&>() : nullptr;
}

std::optional<double> unless(std::optional<double> value, double neutral) {
  return value == neutral ? std::nullopt : value;
}

/// Whether the field says anything but what holds without it.
bool says_more(const json& body, const char* name, const json& neutral = false) {
  const auto found = body.find(name);
  return found != body.end() && !found->is_null() && *found != neutral
         && !(found->is_structured() && found->empty());
}

/// What the answer would silently lack.
std::optional<error> beyond_text(const json& body) {
  for (const auto* name : {"response_format", "tools", "functions", "grammar", "guided_json",
                           "guided_regex", "guided_choice", "guided_grammar", "structured_outputs"})
    if (says_more(body, name, {{"type", "text"}}))
      return beyond("in a given form (`" + std::string(name) + "`)");
  for (const auto* name : {"echo", "logit_bias"})
    if (says_more(body, name))
      return beyond("with `" + std::string(name) + "`");
  if (says_more(body, "presence_penalty", 0))
    return beyond("with `presence_penalty`");
  return std::nullopt;
}

} // namespace

result<plain_generation> read_generation(const attempt_body& from) {
  if (from.kind != request_kind::completion)
    return beyond("this kind of request, only completions");
  const auto body = read_server_json(from.json);
  if (!body.is_object())
    return error{recovery::refuse, "bad_body", "the body is no JSON object"};
  const auto prompt = body.find("prompt");
  const auto* text = prompt == body.end() ? nullptr : one_text(*prompt);
  if (text == nullptr)
    return beyond("prompts that are not one text");
  if (std::max(whole_at(body, "n"), 1U) > 1 || whole_at(body, "best_of") > 1)
    return beyond("with several choices");
  if (auto more = beyond_text(body))
    return *std::move(more);
  plain_generation out;
  out.text = *text + from.resume.text;
  const auto asked = whole_at(body, "max_tokens");
  const auto gone
      = std::max(static_cast<std::uint32_t>(from.resume.token_ids.size()), from.resume.tokens);
  const auto wanted = asked > 0 ? asked : completion_tokens_default;
  out.max_tokens = wanted > gone ? wanted - gone : 1;
  out.temperature = number_at(body, "temperature");
  out.top_p = number_at(body, "top_p");
  out.frequency_penalty = unless(number_at(body, "frequency_penalty"), 0);
  out.repetition_penalty = unless(number_at(body, "repetition_penalty"), 1);
  if (says_more(body, "logprobs"))
    out.logprobs = whole_at(body, "logprobs");
  out.seed = unsigned_at(body, "seed");
  out.top_k = unsigned_at(body, "top_k");
  out.stops = stops_of(body);
  return out;
}

} // namespace consort::node
