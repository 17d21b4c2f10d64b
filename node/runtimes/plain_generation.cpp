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

} // namespace

result<plain_generation> read_generation(const attempt_body& from) {
  if (from.kind != request_kind::completion)
    return beyond("this kind of request, only completions");
  const auto body = read_server_json(from.json);
  if (!body.is_object())
    return error{recovery::refuse, "bad_body", "the body is no JSON object"};
  const auto prompt = body.find("prompt");
  if (prompt == body.end() || !prompt->is_string())
    return beyond("prompts that are not one text");
  if (std::max(whole_at(body, "n"), 1U) > 1 || whole_at(body, "best_of") > 1)
    return beyond("with several choices");
  for (const auto* name : {"response_format", "guided_json", "guided_regex", "tools"})
    if (const auto found = body.find(name); found != body.end() && !found->is_null())
      return beyond("in a given form (`" + std::string(name) + "`)");
  plain_generation out;
  out.text = prompt->get<std::string>() + from.resume.text;
  const auto asked = whole_at(body, "max_tokens");
  const auto gone
      = std::max(static_cast<std::uint32_t>(from.resume.token_ids.size()), from.resume.tokens);
  const auto wanted = asked > 0 ? asked : completion_tokens_default;
  out.max_tokens = wanted > gone ? wanted - gone : 1;
  out.temperature = number_at(body, "temperature");
  out.top_p = number_at(body, "top_p");
  out.seed = unsigned_at(body, "seed");
  out.top_k = unsigned_at(body, "top_k");
  out.stops = stops_of(body);
  return out;
}

} // namespace consort::node
