// SPDX-License-Identifier: Apache-2.0
#include "node/plugins/llama/chat.hpp"

#include "node/plugins/llama/json_fields.hpp"
#include "node/plugins/llama/limits.hpp"

#include <llama.h>

#include <algorithm>
#include <array>
#include <string_view>

namespace consort::llama {
namespace {

using nlohmann::json;

constexpr std::array<std::string_view, 5> roles{"system", "developer", "user", "assistant", "tool"};

result<std::string> read_content(const json& content, const std::string& where) {
  if (content.is_string())
    return content.get<std::string>();
  if (!content.is_array())
    return invalid("'" + where + "' must be a string or a list of parts");
  std::string text;
  for (std::size_t i = 0; i < content.size(); ++i) {
    const json& part = content[i];
    const std::string at = where + "[" + std::to_string(i) + "]";
    if (!part.is_object() || !part.contains("type") || !part["type"].is_string())
      return invalid("'" + at + ".type' must be a string");
    if (part["type"] != "text")
      return unsupported("'" + at + ".type' is '" + part["type"].get<std::string>()
                         + "'; this model reads text only");
    if (!part.contains("text") || !part["text"].is_string())
      return invalid("'" + at + ".text' must be a string");
    text += part["text"].get<std::string>();
  }
  return text;
}

result<chat_message> read_message(const json& message, const std::string& where) {
  if (!message.is_object())
    return invalid("'" + where + "' must be an object");
  const auto role = message.find("role");
  if (role == message.end() || !role->is_string()
      || std::find(roles.begin(), roles.end(), role->get_ref<const std::string&>()) == roles.end())
    return invalid("'" + where + ".role' must be one of system, developer, user, assistant, tool");
  const auto content = message.find("content");
  const bool absent = content == message.end() || content->is_null();
  if (absent && *role != "assistant")
    return invalid("'" + where + ".content' is missing");
  auto text
      = absent ? result<std::string>(std::string()) : read_content(*content, where + ".content");
  if (!text)
    return text.failure();
  return chat_message{role->get<std::string>(), std::move(*text)};
}

std::string render_plain(const std::vector<chat_message>& messages) {
  std::string text;
  for (const chat_message& message : messages) {
    if (!text.empty() && !message.content.empty())
      text += '\n';
    text += message.content;
  }
  return text;
}

} // namespace

result<std::vector<chat_message>> read_messages(const json* messages) {
  if (messages == nullptr || !messages->is_array() || messages->empty())
    return invalid("'messages' must be a list with at least one message");
  if (messages->size() > limits::messages_max)
    return invalid("'messages' holds more than " + std::to_string(limits::messages_max)
                   + " messages");
  std::vector<chat_message> all;
  for (std::size_t i = 0; i < messages->size(); ++i) {
    auto message = read_message((*messages)[i], "messages[" + std::to_string(i) + "]");
    if (!message)
      return message.failure();
    all.push_back(std::move(*message));
  }
  return all;
}

chat_prompt render_chat(const std::vector<chat_message>& messages, const char* model_template) {
  if (model_template == nullptr)
    return {render_plain(messages), false};
  std::vector<llama_chat_message> borrowed;
  std::size_t bytes = 256;
  for (const chat_message& message : messages) {
    // Templates know the older word.
    const char* role = message.role == "developer" ? "system" : message.role.c_str();
    borrowed.push_back({role, message.content.c_str()});
    bytes += 2 * (message.content.size() + message.role.size());
  }
  std::string text(bytes, '\0');
  const auto apply = [&] {
    return llama_chat_apply_template(model_template, borrowed.data(), borrowed.size(), true,
                                     text.data(), static_cast<std::int32_t>(text.size()));
  };
  std::int32_t needed = apply();
  if (needed > static_cast<std::int32_t>(text.size())) {
    text.resize(static_cast<std::size_t>(needed));
    needed = apply();
  }
  if (needed <= 0)
    return {render_plain(messages), false};
  text.resize(static_cast<std::size_t>(needed));
  return {std::move(text), true};
}

} // namespace consort::llama
