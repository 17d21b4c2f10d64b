// SPDX-License-Identifier: Apache-2.0
#include "node/runtimes/kv_transfer.hpp"

#include "node/limits.hpp"
#include "node/runtimes/openai_request.hpp"
#include "node/runtimes/server_errors.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <iterator>

namespace consort::node {

namespace {

using nlohmann::json;

std::string text_of_json(const json& body) {
  return body.dump(-1, ' ', false, json::error_handler_t::replace);
}

bool is_media(const json& part) {
  constexpr std::array<std::string_view, 4> kinds{"image_url", "audio_url", "input_audio",
                                                  "video_url"};
  if (!part.is_object() || !part.contains("type") || !part["type"].is_string())
    return false;
  return std::find(kinds.begin(), kinds.end(), part["type"].get_ref<const std::string&>())
         != kinds.end();
}

} // namespace

std::optional<std::string> encode_body(const std::string& body) {
  const auto asked = read_server_json(body);
  if (!asked.is_object() || !asked.contains("messages") || !asked["messages"].is_array())
    return std::nullopt;
  auto items = json::array();
  for (const auto& message : asked["messages"])
    if (message.is_object() && message.contains("content") && message["content"].is_array())
      std::copy_if(message["content"].begin(), message["content"].end(), std::back_inserter(items),
                   is_media);
  if (items.empty() || items.size() > limits::encode_items_max)
    return std::nullopt;
  json shown{{"messages", {{{"role", "user"}, {"content", std::move(items)}}}},
             {"max_tokens", 1},
             {"stream", false}};
  // What changes how they are encoded, and so the name that they are found by.
  for (const auto* name : {"model", "mm_processor_kwargs", "media_io_kwargs", "priority"})
    if (asked.contains(name))
      shown[name] = asked[name];
  return text_of_json(shown);
}

std::string prefill_body(const std::string& body) {
  auto asked = read_server_json(whole_body(body));
  if (!asked.is_object())
    return body;
  for (const auto* name : {"max_tokens", "max_completion_tokens"})
    if (asked.contains(name))
      asked[name] = 1;
  asked["max_tokens"] = 1;
  // It may not be held to more than the one.
  asked.erase("min_tokens");
  asked["kv_transfer_params"]
      = {{"do_remote_decode", true},    {"do_remote_prefill", false}, {"remote_engine_id", nullptr},
         {"remote_block_ids", nullptr}, {"remote_host", nullptr},     {"remote_port", nullptr}};
  return text_of_json(asked);
}

std::string decode_body(const std::string& body, std::string_view answer) {
  const auto said = read_server_json(answer);
  auto asked = read_server_json(body);
  if (!said.is_object() || !asked.is_object())
    return body;
  const auto found = said.find("kv_transfer_params");
  if (found == said.end() || !found->is_object())
    return body;
  asked["kv_transfer_params"] = *found;
  return text_of_json(asked);
}

} // namespace consort::node
