// SPDX-License-Identifier: Apache-2.0
#include "gateway/openai_response.hpp"

#include "gateway/json_text.hpp"

#include <algorithm>
#include <array>
#include <cinttypes>
#include <cstdio>

namespace consort::gateway {

namespace {

using json = nlohmann::ordered_json;

/// Runtime fields that belong to the message (or delta) rather than to the choice.
bool is_message_field(std::string_view name) {
  return name == "tool_calls" || name == "function_call" || name == "reasoning_content"
         || name == "reasoning" || name == "refusal" || name == "annotations" || name == "audio";
}

/// Joins a streamed piece to what is there: texts and arrays grow, objects merge, the rest is
/// replaced. Tool calls are joined by their `index`.
void absorb(json& into, const json& piece, bool grow_text) {
  if (into.is_object() && piece.is_object()) {
    for (const auto& [key, value] : piece.items())
      into.contains(key) ? absorb(into[key], value, key == "arguments" || grow_text)
                         : void(into[key] = value);
  } else if (into.is_array() && piece.is_array()) {
    for (const auto& item : piece) {
      const auto same = std::find_if(into.begin(), into.end(), [&](const json& one) {
        return item.is_object() && item.contains("index") && one.is_object()
               && one.contains("index") && one["index"] == item["index"];
      });
      same == into.end() ? into.push_back(item) : absorb(*same, item, false);
    }
  } else if (grow_text && into.is_string() && piece.is_string()) {
    into = into.get<std::string>() + piece.get<std::string>();
  } else if (!piece.is_null()) {
    into = piece;
  }
}

/// Splits a runtime's extra fields between the message and the choice. What is no JSON object is
/// dropped: it is the runtime's word, and the answer must stay well-formed.
void absorb_extra(const std::string& text, json& message, json& choice) {
  const auto extra = json::parse(text, nullptr, false);
  if (!extra.is_object())
    return;
  for (const auto& [key, value] : extra.items()) {
    const bool whole = key == "delta" || key == "message";
    if (whole && value.is_object())
      absorb(message, value, true);
    else if (is_message_field(key))
      absorb(message, json{{key, value}}, true);
    else
      absorb(choice, json{{key, value}}, false);
  }
}

std::string_view object_name(bool chat, bool streamed) {
  if (chat)
    return streamed ? "chat.completion.chunk" : "chat.completion";
  return "text_completion";
}

/// `"id":...,"object":...,"created":...,"model":...,"choices":[`
std::string common_head(const answer_identity& identity, bool streamed) {
  std::string out = "{\"id\":";
  append_json_string(out, identity.id);
  out.append(",\"object\":\"")
      .append(object_name(identity.kind == request_kind::chat, streamed))
      .append("\",\"created\":")
      .append(std::to_string(identity.created))
      .append(",\"model\":");
  append_json_string(out, identity.model);
  return out.append(",\"choices\":[");
}

/// Appends the members of an object without its braces, each with a leading comma.
void append_members(std::string& out, const json& members) {
  for (const auto& [key, value] : members.items()) {
    out += ',';
    append_json_string(out, key);
    out.append(":").append(value.dump(-1, ' ', false, json::error_handler_t::replace));
  }
}

/// In the currency unit, exactly.
std::string money(std::uint64_t cost_micros) {
  constexpr std::uint64_t unit = 1'000'000;
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%" PRIu64 ".%06" PRIu64, cost_micros / unit,
                cost_micros % unit);
  return text.data();
}

std::string joules(std::uint64_t energy_mj) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.3f", static_cast<double>(energy_mj) / 1000.0);
  return text.data();
}

} // namespace

std::string served_json(const served_by& served) {
  std::string out = "{\"device\":";
  append_json_string(out, served.device.value);
  out.append(",\"attempts\":").append(std::to_string(served.attempts));
  out.append(",\"queue_ms\":").append(std::to_string(served.queued_us / 1000));
  if (served.exact)
    out.append(",\"resumed_exact\":").append(*served.exact ? "true" : "false");
  if (served.energy_mj)
    out.append(",\"joules\":").append(joules(*served.energy_mj));
  if (served.cost_micros)
    out.append(",\"cost\":").append(money(*served.cost_micros));
  if (served.prompt_estimated)
    out.append(",\"prompt_estimated\":true");
  return out.append("}");
}

std::string usage_json(const token_usage& usage, const served_by& served) {
  const auto total = std::uint64_t{usage.prompt_tokens} + usage.completion_tokens;
  std::string out = "{\"prompt_tokens\":" + std::to_string(usage.prompt_tokens)
                    + ",\"completion_tokens\":" + std::to_string(usage.completion_tokens)
                    + ",\"total_tokens\":" + std::to_string(total)
                    + ",\"prompt_tokens_details\":{\"cached_tokens\":"
                    + std::to_string(usage.cached_tokens) + "},\"consort\":";
  return out.append(served_json(served)).append("}");
}

// --- streamed ---

stream_renderer::stream_renderer(answer_identity identity)
    : chat_(identity.kind == request_kind::chat),
      include_usage_(identity.include_usage),
      head_("data: " + common_head(identity, true)),
      tail_(include_usage_ ? "],\"usage\":null}\n\n" : "]}\n\n") {}

void stream_renderer::open(std::string& out, std::uint32_t choice) const {
  out.append(head_);
  if (chat_)
    out.append("{\"index\":").append(std::to_string(choice)).append(",\"delta\":{");
  else
    out.append("{\"text\":");
}

void stream_renderer::close(std::string& out) const {
  out.append("}").append(tail_);
}

void stream_renderer::begin_choice(std::string& out, std::uint32_t choice) {
  if (!chat_ || !begun_.insert(choice).second)
    return;
  open(out, choice);
  out.append(R"("role":"assistant","content":""},"logprobs":null,"finish_reason":null)");
  close(out);
}

void stream_renderer::tokens(std::string& out, const attempt_tokens& piece) {
  begin_choice(out, piece.choice);
  if (!piece.extra_json.empty())
    return with_extra(out, piece);
  if (piece.text.empty())
    return;
  open(out, piece.choice);
  if (chat_) {
    out.append("\"content\":");
    append_json_string(out, piece.text);
    out.append(R"(},"logprobs":null,"finish_reason":null)");
  } else {
    append_json_string(out, piece.text);
    out.append(",\"index\":").append(std::to_string(piece.choice));
    out.append(R"(,"logprobs":null,"finish_reason":null)");
  }
  close(out);
}

void stream_renderer::with_extra(std::string& out, const attempt_tokens& piece) const {
  json message = json::object();
  json choice{{"logprobs", nullptr}, {"finish_reason", nullptr}};
  absorb_extra(piece.extra_json, message, choice);
  open(out, piece.choice);
  if (chat_) {
    if (!piece.text.empty() || message.empty()) {
      out.append("\"content\":");
      append_json_string(out, piece.text);
      append_members(out, message);
    } else {
      std::string members;
      append_members(members, message);
      out.append(members, 1);
    }
    out.append("}");
  } else {
    append_json_string(out, piece.text);
    out.append(",\"index\":").append(std::to_string(piece.choice));
    choice.update(message);
  }
  append_members(out, choice);
  close(out);
}

void stream_renderer::choice_done(std::string& out, std::uint32_t choice, std::string_view reason) {
  begin_choice(out, choice);
  open(out, choice);
  if (chat_)
    out.append("},\"logprobs\":null,\"finish_reason\":");
  else
    out.append("\"\",\"index\":")
        .append(std::to_string(choice))
        .append(",\"logprobs\":null,\"finish_reason\":");
  append_json_string(out, reason);
  close(out);
}

void stream_renderer::finish(std::string& out, const token_usage& usage, const served_by& served) {
  if (include_usage_)
    out.append(head_).append("],\"usage\":").append(usage_json(usage, served)).append("}\n\n");
  out.append("data: [DONE]\n\n");
}

// --- whole ---

void answer_builder::tokens(const attempt_tokens& piece) {
  auto& choice = choices_[piece.choice];
  choice.text += piece.text;
  bytes_ += piece.text.size() + piece.extra_json.size();
  if (!piece.extra_json.empty())
    absorb_extra(piece.extra_json, choice.message, choice.extra);
}

std::string_view answer_builder::text() const {
  const auto first = choices_.find(0);
  return first == choices_.end() ? std::string_view() : first->second.text;
}

void answer_builder::choice_done(std::uint32_t choice, std::string reason) {
  choices_[choice].finish_reason = std::move(reason);
}

void answer_builder::reset() {
  choices_.clear();
  bytes_ = 0;
}

void answer_builder::append_choice(std::string& out, std::uint32_t index,
                                   const choice_state& state) const {
  auto members = state.extra;
  if (!members.contains("logprobs"))
    members["logprobs"] = nullptr;
  if (identity_.kind == request_kind::chat) {
    const bool silent = state.text.empty() && state.message.contains("tool_calls");
    out.append("{\"index\":").append(std::to_string(index));
    out.append(",\"message\":{\"role\":\"assistant\",\"content\":");
    silent ? void(out.append("null")) : append_json_string(out, state.text);
    auto message = state.message;
    if (!message.contains("refusal"))
      message["refusal"] = nullptr;
    append_members(out, message);
    out.append("}");
  } else {
    out.append("{\"text\":");
    append_json_string(out, state.text);
    out.append(",\"index\":").append(std::to_string(index));
    members.update(state.message);
  }
  append_members(out, members);
  out.append(",\"finish_reason\":");
  append_json_string(out, state.finish_reason.empty() ? "stop" : state.finish_reason);
  out.append("}");
}

std::string answer_builder::render(const token_usage& usage, const served_by& served) const {
  std::string out = common_head(identity_, false);
  for (const auto& [index, state] : choices_) {
    out.append(out.back() == '[' ? "" : ",");
    append_choice(out, index, state);
  }
  return out.append("],\"usage\":").append(usage_json(usage, served)).append("}\n");
}

} // namespace consort::gateway
