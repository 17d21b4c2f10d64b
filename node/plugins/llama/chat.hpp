// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Chat messages: reading them, and joining them into the one prompt that a model continues.
/// Pure functions.

#include "scheduler/result.hpp"

#include <nlohmann/json.hpp>

#include <string>
#include <vector>

namespace consort::llama {

struct chat_message {
  std::string role;
  std::string content;
};

/// A prompt made of messages. `templated` = it holds the template's control tokens as text.
struct chat_prompt {
  std::string text;
  bool templated = false;
};

/// Reads `messages`: a list, not empty, of {role: system|developer|user|assistant|tool, content:
/// string or list of {type: "text", text}}. Other content types are refused as unsupported.
[[nodiscard]] result<std::vector<chat_message>> read_messages(const nlohmann::json* messages);

/// Joins messages by the model's template when llama.cpp knows its form (no Jinja is run), ending
/// where the assistant's answer starts. Without a known template the contents are joined in order
/// by newlines, without roles, so that a plain language model continues the last of them.
[[nodiscard]] chat_prompt render_chat(const std::vector<chat_message>& messages,
                                      const char* model_template);

} // namespace consort::llama
