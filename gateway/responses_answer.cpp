// SPDX-License-Identifier: Apache-2.0
#include "gateway/responses_answer.hpp"

#include <optional>
#include <utility>

namespace consort::gateway {

namespace {

using tree = nlohmann::ordered_json;

constexpr std::string_view message = "message";
constexpr std::string_view reasoning = "reasoning";
constexpr std::string_view function_call = "function_call";

std::string dump(const tree& value) {
  return value.dump(-1, ' ', false, tree::error_handler_t::replace);
}

/// What follows `prefix` in the text; nullopt when it begins otherwise.
std::optional<std::string_view> after(std::string_view text, std::string_view prefix) {
  if (!text.starts_with(prefix))
    return std::nullopt;
  return text.substr(prefix.size());
}

/// The member when it is a string that is not empty; else null.
const tree* said_in(const tree& from, const char* field) {
  const auto found = from.find(field);
  return found != from.end() && found->is_string() && !found->get_ref<const std::string&>().empty()
             ? &*found
             : nullptr;
}

tree usage_of(const tree& chat) {
  const auto details = chat.value("prompt_tokens_details", tree::object());
  const auto thought = chat.value("completion_tokens_details", tree::object());
  tree out{{"input_tokens", chat.value("prompt_tokens", 0)},
           {"input_tokens_details", {{"cached_tokens", details.value("cached_tokens", 0)}}},
           {"output_tokens", chat.value("completion_tokens", 0)},
           {"output_tokens_details", {{"reasoning_tokens", thought.value("reasoning_tokens", 0)}}},
           {"total_tokens", chat.value("total_tokens", 0)}};
  if (chat.contains("consort"))
    out["consort"] = chat["consort"];
  return out;
}

/// An item's content: what a reader shows of it.
tree part_of(std::string_view kind, std::string_view text) {
  if (kind == reasoning)
    return {{"type", "reasoning_text"}, {"text", text}};
  return {{"type", "output_text"}, {"text", text}, {"annotations", tree::array()}};
}

} // namespace

// --- what comes ---

std::string responses_answer::whole(std::string_view chat_answer) {
  const auto chat = tree::parse(chat_answer);
  streamed_ = false;
  begin(chat);
  usage_ = usage_of(chat.at("usage"));
  const auto& choice = chat.at("choices").at(0);
  reason_ = choice.value("finish_reason", "stop");
  take_choice(choice.at("message"));
  close();
  return dump(response(status())) + "\n";
}

std::string responses_answer::feed(std::string_view chat_events) {
  while (!chat_events.empty()) {
    const auto end = chat_events.find("\n\n");
    take_event(chat_events.substr(0, end));
    chat_events.remove_prefix(end == std::string_view::npos ? chat_events.size() : end + 2);
  }
  return std::exchange(out_, {});
}

void responses_answer::take_event(std::string_view event) {
  if (const auto failure = after(event, "event: error\ndata: "))
    return take_failure(tree::parse(*failure).at("error"));
  const auto data = after(event, "data: ");
  if (!data)
    return;
  if (*data == "[DONE]")
    return finish();
  const auto chunk = tree::parse(*data);
  begin(chunk);
  if (chunk.contains("usage") && chunk["usage"].is_object())
    usage_ = usage_of(chunk["usage"]);
  for (const auto& choice : chunk.at("choices")) {
    take_choice(choice.at("delta"));
    if (const auto* reason = said_in(choice, "finish_reason"))
      reason_ = reason->get<std::string>();
  }
}

void responses_answer::take_failure(const tree& failure) {
  emit("error", {{"code", failure.value("code", tree())},
                 {"message", failure.value("message", tree())},
                 {"param", failure.value("param", tree())}});
}

void responses_answer::begin(const tree& chat) {
  if (std::exchange(begun_, true))
    return;
  const auto id = chat.at("id").get<std::string>();
  id_ = std::string(after(id, "chatcmpl-").value_or(id));
  created_at_ = chat.at("created");
  model_ = chat.at("model");
  emit("response.created", {{"response", response("in_progress")}});
  emit("response.in_progress", {{"response", response("in_progress")}});
}

void responses_answer::take_choice(const tree& said) {
  for (const auto* field : {"reasoning_content", "reasoning"})
    if (const auto* thought = said_in(said, field))
      text(reasoning, *thought);
  for (const auto* field : {"content", "refusal"})
    if (const auto* piece = said_in(said, field))
      text(message, *piece);
  const auto calls = said.find("tool_calls");
  if (calls == said.end() || !calls->is_array())
    return;
  for (std::size_t at = 0; at < calls->size(); ++at)
    if ((*calls)[at].is_object())
      call((*calls)[at], at);
}

void responses_answer::finish() {
  close();
  const auto how = status();
  emit(how == "completed" ? "response.completed" : "response.incomplete",
       {{"response", response(how)}});
}

// --- items ---

void responses_answer::open(std::string_view kind, tree item, tree part) {
  close();
  open_ = true;
  kind_ = kind;
  emit("response.output_item.added", {{"output_index", output_.size()}, {"item", item}});
  output_.push_back(std::move(item));
  if (part.is_null())
    return;
  emit("response.content_part.added", {{"item_id", this->item()["id"]},
                                       {"output_index", output_.size() - 1},
                                       {"content_index", 0},
                                       {"part", part}});
  this->item()["content"] = tree::array({std::move(part)});
}

void responses_answer::text(std::string_view kind, const tree& piece) {
  if (!is_open(kind)) {
    const auto number = std::to_string(output_.size());
    if (kind == reasoning)
      open(kind, {{"id", "rs_" + id_ + "_" + number}, {"type", kind}, {"summary", tree::array()}},
           part_of(kind, ""));
    else
      open(kind,
           {{"id", "msg_" + id_ + "_" + number},
            {"type", kind},
            {"status", "in_progress"},
            {"role", "assistant"},
            {"content", tree::array()}},
           part_of(kind, ""));
  }
  auto& whole = item()["content"][0]["text"].get_ref<std::string&>();
  whole += piece.get_ref<const std::string&>();
  emit(kind == reasoning ? "response.reasoning_text.delta" : "response.output_text.delta",
       {{"item_id", item()["id"]},
        {"output_index", output_.size() - 1},
        {"content_index", 0},
        {"delta", piece},
        {"logprobs", tree::array()}});
}

/// A piece of a call: the first one names it, the others bring arguments. Whole answers number no
/// calls, so that their place does.
void responses_answer::call(const tree& piece, std::size_t at) {
  const auto index = piece.value("index", tree(at));
  const auto told = piece.find("function");
  const auto function = told != piece.end() && told->is_object() ? *told : tree::object();
  if (!is_open(function_call) || call_index_ != index) {
    const auto number = std::to_string(output_.size());
    open(function_call, {{"id", "fc_" + id_ + "_" + number},
                         {"type", function_call},
                         {"status", "in_progress"},
                         {"call_id", piece.value("id", tree("call_" + id_ + "_" + number))},
                         {"name", function.value("name", tree(""))},
                         {"arguments", ""}});
    call_index_ = index;
  }
  const auto* arguments = said_in(function, "arguments");
  if (arguments == nullptr)
    return;
  item()["arguments"].get_ref<std::string&>() += arguments->get_ref<const std::string&>();
  emit("response.function_call_arguments.delta",
       {{"item_id", item()["id"]}, {"output_index", output_.size() - 1}, {"delta", *arguments}});
}

void responses_answer::close() {
  if (!std::exchange(open_, false))
    return;
  const auto index = output_.size() - 1;
  const tree where{{"item_id", item()["id"]}, {"output_index", index}};
  const auto emit_here = [&](std::string_view type, const tree& members) {
    auto all = where;
    all.update(members);
    emit(type, std::move(all));
  };
  if (kind_ != reasoning)
    item()["status"] = status();
  if (kind_ == function_call) {
    emit_here("response.function_call_arguments.done",
              {{"name", item()["name"]}, {"arguments", item()["arguments"]}});
  } else {
    const auto& part = item()["content"][0];
    emit_here(kind_ == reasoning ? "response.reasoning_text.done" : "response.output_text.done",
              {{"content_index", 0}, {"text", part["text"]}, {"logprobs", tree::array()}});
    emit_here("response.content_part.done", {{"content_index", 0}, {"part", part}});
  }
  emit("response.output_item.done", {{"output_index", index}, {"item", item()}});
}

// --- what goes ---

void responses_answer::emit(std::string_view type, tree members) {
  if (!streamed_)
    return;
  tree event{{"type", type}, {"sequence_number", sequence_++}};
  event.update(members);
  out_.append("event: ").append(type).append("\ndata: ").append(dump(event)).append("\n\n");
}

std::string_view responses_answer::status() const {
  return reason_ == "length" || reason_ == "content_filter" ? "incomplete" : "completed";
}

tree responses_answer::response(std::string_view status) const {
  const bool cut = status == "incomplete";
  tree out{{"id", "resp_" + id_},
           {"object", "response"},
           {"created_at", created_at_},
           {"status", status},
           {"background", false},
           {"error", nullptr},
           {"incomplete_details",
            cut ? tree{{"reason", reason_ == "length" ? "max_output_tokens" : reason_}} : tree()},
           {"model", model_},
           {"output", output_}};
  out.update(echo_);
  out["usage"] = usage_;
  return out;
}

} // namespace consort::gateway
