// SPDX-License-Identifier: Apache-2.0
#include "node/runtimes/kv_transfer.hpp"

#include "node/runtimes/server_errors.hpp"

#include <nlohmann/json.hpp>

namespace consort::node {

namespace {

using nlohmann::json;

std::string text_of_json(const json& body) {
  return body.dump(-1, ' ', false, json::error_handler_t::replace);
}

} // namespace

std::string prefill_body(const std::string& body) {
  auto asked = read_server_json(body);
  if (!asked.is_object())
    return body;
  asked["stream"] = false;
  asked.erase("stream_options");
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
