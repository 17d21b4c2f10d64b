// SPDX-License-Identifier: Apache-2.0
#include "gateway/responses_request.hpp"

#include "gateway/body_fields.hpp"
#include "gateway/openai_request.hpp"

namespace consort::gateway {

namespace {

using tree = nlohmann::ordered_json;

api_error not_here(std::string_view field, std::string_view why) {
  return bad_request("unsupported", quoted(field) + " is not served here: " + std::string(why),
                     std::string(field));
}

/// Turns one body into a chat; keeps the first failure.
class responses_reader {
public:
  explicit responses_reader(tree from) : from_(std::move(from)) {}

  std::variant<chat_question, api_error> read() {
    refuse_what_needs_memory();
    chat_["model"] = take("model");
    chat_["messages"] = tree::array();
    instructions();
    input();
    tools();
    tool_choice();
    format();
    stream();
    rename("max_output_tokens", "max_tokens");
    if (const auto* effort = member_of("reasoning", "effort"))
      chat_["reasoning_effort"] = *effort;
    for (const auto* ours : {"reasoning", "store", "truncation", "include", "background", "prompt",
                             "previous_response_id", "conversation", "stream_options"})
      from_.erase(ours);
    chat_.update(from_); // What is left is the runtime's.
    if (failure_)
      return std::move(*failure_);
    return chat_question{chat_.dump(), std::move(echo_)};
  }

private:
  void fail(api_error problem) {
    if (!failure_)
      failure_ = std::move(problem);
  }

  /// Removes the member. Returns: it, or null.
  tree take(const char* field) {
    auto found = from_.find(field);
    if (found == from_.end())
      return nullptr;
    auto out = std::move(*found);
    from_.erase(field);
    return out;
  }

  const tree* member_of(std::string_view object, std::string_view field) {
    const auto* outer = member(from_, object);
    if (outer == nullptr)
      return nullptr;
    if (!outer->is_object())
      return fail(wrong_type(object, "an object")), nullptr;
    return member(*outer, field);
  }

  void refuse_what_needs_memory() {
    for (const auto* field : {"previous_response_id", "conversation"})
      if (member(from_, field) != nullptr)
        fail(not_here(field, "answers are not kept; send the whole conversation as `input`"));
    if (member(from_, "prompt") != nullptr)
      fail(not_here("prompt", "no prompt templates are kept; send `instructions` and `input`"));
    if (const auto* later = member(from_, "background"); later != nullptr && *later != false)
      fail(not_here("background", "answers are not kept; ask for a stream"));
    echo_
        = {{"instructions", from_.value("instructions", tree())},
           {"max_output_tokens", from_.value("max_output_tokens", tree())},
           {"metadata", from_.value("metadata", tree::object())},
           {"parallel_tool_calls", from_.value("parallel_tool_calls", tree(true))},
           {"previous_response_id", nullptr},
           {"reasoning", from_.value("reasoning", tree{{"effort", nullptr}, {"summary", nullptr}})},
           {"store", false},
           {"temperature", from_.value("temperature", tree())},
           {"text", from_.value("text", tree{{"format", {{"type", "text"}}}})},
           {"tool_choice", from_.value("tool_choice", tree("auto"))},
           {"tools", from_.value("tools", tree::array())},
           {"top_p", from_.value("top_p", tree())},
           {"truncation", "disabled"}};
  }

  void rename(const char* from, const char* to) {
    auto value = take(from);
    if (value.is_null())
      return;
    if (!value.is_number_integer() || value < 1)
      return fail(wrong_type(from, "a whole number of at least 1"));
    chat_[to] = std::move(value);
  }

  void stream() {
    const auto wanted = take("stream");
    if (wanted.is_null())
      return;
    if (!wanted.is_boolean())
      return fail(wrong_type("stream", "true or false"));
    chat_["stream"] = wanted;
    if (wanted == true) // The last event tells it whether it was asked for or not.
      chat_["stream_options"] = {{"include_usage", true}};
  }

  // --- the conversation ---

  void instructions() {
    auto text = take("instructions");
    if (text.is_null())
      return;
    if (!text.is_string())
      return fail(wrong_type("instructions", "a string"));
    say("system", std::move(text));
  }

  void input() {
    const auto input = take("input");
    if (input.is_null())
      return fail(missing("input"));
    if (input.is_string())
      return say("user", input);
    if (!input.is_array() || input.empty())
      return fail(wrong_type("input", "a string or an array of at least one item"));
    for (std::size_t at = 0; at < input.size() && !failure_; ++at)
      item(input[at], "input[" + std::to_string(at) + "]");
  }

  void say(std::string_view role, tree content) {
    chat_["messages"].push_back({{"role", role}, {"content", std::move(content)}});
  }

  void item(const tree& one, const std::string& where) {
    if (!one.is_object())
      return fail(wrong_type(where, "an object"));
    const auto type = text_of(one, "type", where, "message");
    if (type == "message")
      return message(one, where);
    if (type == "function_call")
      return call(one, where);
    if (type == "function_call_output")
      return output(one, where);
    if (type != "reasoning") // What was thought before is not told to a model again.
      fail(wrong_value(where + ".type",
                       "message, function_call, function_call_output or reasoning"));
  }

  /// A string member. `absent`: what it is when left out; nullptr = it must be there.
  std::string text_of(const tree& from, const char* field, const std::string& where,
                      const char* absent = nullptr) {
    const auto* value = member(from, field);
    if (value != nullptr && value->is_string())
      return value->get<std::string>();
    if (value != nullptr)
      fail(wrong_type(where + "." + field, "a string"));
    else if (absent == nullptr)
      fail(missing(where + "." + field));
    return absent == nullptr ? "" : absent;
  }

  void message(const tree& one, const std::string& where) {
    const auto role = text_of(one, "role", where);
    const auto* said = member(one, "content");
    if (said == nullptr)
      return fail(missing(where + ".content"));
    // Chat templates know one word for who sets the rules.
    say(role == "developer" ? "system" : role, content(*said, where + ".content"));
  }

  /// Text in one piece where it is only text, since not every template takes parts.
  tree content(const tree& said, const std::string& where) {
    if (said.is_string())
      return said;
    if (!said.is_array())
      return fail(wrong_type(where, "a string or an array of parts")), nullptr;
    tree parts = tree::array();
    std::string text;
    bool only_text = true;
    for (std::size_t at = 0; at < said.size(); ++at) {
      parts.push_back(part(said[at], where + "[" + std::to_string(at) + "]"));
      if (parts.back().value("type", "") == "text")
        text += parts.back()["text"].get<std::string>();
      else
        only_text = false;
    }
    return only_text ? tree(std::move(text)) : parts;
  }

  tree part(const tree& one, const std::string& where) {
    if (!one.is_object())
      return fail(wrong_type(where, "an object")), tree::object();
    const auto type = text_of(one, "type", where);
    if (type == "input_text" || type == "output_text" || type == "text")
      return {{"type", "text"}, {"text", text_of(one, "text", where)}};
    if (type == "refusal")
      return {{"type", "text"}, {"text", text_of(one, "refusal", where)}};
    if (type == "input_image") {
      tree image{{"url", text_of(one, "image_url", where)}};
      if (const auto* detail = member(one, "detail"))
        image["detail"] = *detail;
      return {{"type", "image_url"}, {"image_url", std::move(image)}};
    }
    return fail(wrong_value(where + ".type", "input_text, output_text or input_image")),
           tree::object();
  }

  /// Calls in a row are one turn of the assistant.
  void call(const tree& one, const std::string& where) {
    tree made{{"id", text_of(one, "call_id", where)},
              {"type", "function"},
              {"function",
               {{"name", text_of(one, "name", where)},
                {"arguments", text_of(one, "arguments", where, "{}")}}}};
    auto& turns = chat_["messages"];
    if (turns.empty() || !turns.back().contains("tool_calls"))
      turns.push_back({{"role", "assistant"}, {"content", nullptr}, {"tool_calls", tree::array()}});
    turns.back()["tool_calls"].push_back(std::move(made));
  }

  void output(const tree& one, const std::string& where) {
    const auto* said = member(one, "output");
    if (said == nullptr)
      return fail(missing(where + ".output"));
    chat_["messages"].push_back({{"role", "tool"},
                                 {"tool_call_id", text_of(one, "call_id", where)},
                                 {"content", content(*said, where + ".output")}});
  }

  // --- tools and formats ---

  void tools() {
    const auto list = take("tools");
    if (list.is_null() || (list.is_array() && list.empty()))
      return;
    if (!list.is_array())
      return fail(wrong_type("tools", "an array"));
    for (std::size_t at = 0; at < list.size(); ++at) {
      const auto where = "tools[" + std::to_string(at) + "]";
      if (!list[at].is_object())
        return fail(wrong_type(where, "an object"));
      if (text_of(list[at], "type", where) != "function")
        return fail(wrong_value(where + ".type", "function: no hosted tools run here"));
      auto function = list[at];
      function.erase("type");
      chat_["tools"].push_back({{"type", "function"}, {"function", std::move(function)}});
    }
  }

  void tool_choice() {
    auto choice = take("tool_choice");
    if (choice.is_null() || !chat_.contains("tools"))
      return;
    if (choice.is_object())
      choice = {{"type", "function"},
                {"function", {{"name", text_of(choice, "name", "tool_choice")}}}};
    else if (!choice.is_string())
      return fail(wrong_type("tool_choice", "a string or an object"));
    chat_["tool_choice"] = std::move(choice);
  }

  /// A schema stands beside its name here, and inside `json_schema` in a chat.
  void format() {
    if (const auto* wanted = member_of("text", "format")) {
      auto format = *wanted;
      if (!format.is_object())
        return fail(wrong_type("text.format", "an object"));
      const auto type = text_of(format, "type", "text.format");
      format.erase("type");
      if (type == "json_schema")
        chat_["response_format"] = {{"type", type}, {"json_schema", std::move(format)}};
      else if (type != "text")
        chat_["response_format"] = {{"type", type}};
    }
    from_.erase("text");
  }

  tree from_;
  tree chat_ = tree::object();
  tree echo_;
  std::optional<api_error> failure_;
};

} // namespace

std::variant<chat_question, api_error> chat_of_responses(std::string_view body) {
  tree from;
  if (auto problem = parse_json(body, from))
    return std::move(*problem);
  if (!from.is_object())
    return bad_request("invalid_type", "the body must be a JSON object");
  return responses_reader(std::move(from)).read();
}

} // namespace consort::gateway
