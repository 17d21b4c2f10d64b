// SPDX-License-Identifier: Apache-2.0
#include "node/runtimes/openai_answer.hpp"

#include "node/limits.hpp"
#include "node/runtimes/server_errors.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <numeric>
#include <utility>

namespace consort::node {

namespace {

using nlohmann::json;

constexpr std::size_t token_bytes_guessed = 4; ///< Of a text that nobody counted.
constexpr std::uint64_t end_tokens = 1; ///< Of a choice: there are servers that count its end.

/// What a choice holds beside its text, for the gateway to pass on; empty when there is nothing.
std::string extras_of(const json& choice) {
  json extra = json::object();
  for (const auto& [key, value] : choice.items()) {
    if (value.is_null() || key == "index" || key == "text" || key == "finish_reason"
        || key == "stop_reason" || key == "token_ids" || key == "prompt_token_ids")
      continue;
    if (key != "delta" && key != "message") {
      extra[key] = value;
      continue;
    }
    json rest = json::object();
    for (const auto& [name, inner] : value.items())
      if (name != "content" && name != "role" && !inner.is_null()
          && !(inner.is_array() && inner.empty()))
        rest[name] = inner;
    if (!rest.empty())
      extra[key] = std::move(rest);
  }
  return extra.empty() ? std::string() : extra.dump(-1, ' ', false, json::error_handler_t::replace);
}

/// Where the text of a choice is, streamed or whole, chat or not, and what that is called; null
/// when there is none.
std::pair<const json*, const char*> text_at(const json& choice) {
  const auto in = [](const json& object, const char* name) {
    const auto found = object.find(name);
    return std::pair(found == object.end() || found->is_null() ? nullptr : &*found, name);
  };
  for (const auto* name : {"delta", "message"})
    if (const auto inner = choice.find(name); inner != choice.end() && inner->is_object())
      return in(*inner, "content");
  return in(choice, "text");
}

/// Its text; of one in parts (Mistral's models that think) those that are text.
std::string text_of(const json& choice) {
  const auto* text = text_at(choice).first;
  if (text == nullptr || !text->is_array())
    return text != nullptr && text->is_string() ? text->get<std::string>() : std::string();
  std::string out;
  for (const auto& part : *text)
    if (const auto piece = part.is_object() ? part.find("text") : part.end();
        piece != part.end() && piece->is_string())
      out += piece->get_ref<const std::string&>();
  return out;
}

/// Tokens of the text, by what the server says of its usage.
std::uint64_t text_tokens(const json& usage) {
  const std::uint64_t all = whole_at(usage, "completion_tokens");
  const auto details = usage.find("completion_tokens_details");
  const std::uint64_t hidden
      = details != usage.end() && details->is_object() ? whole_at(*details, "reasoning_tokens") : 0;
  return all - std::min(all, hidden);
}

/// The beginning of it, in whole characters.
void cut_text(std::string& text, std::size_t bytes) {
  while (bytes > 0 && (static_cast<unsigned char>(text[bytes]) & 0xc0U) == 0x80U)
    --bytes;
  text.resize(bytes);
}

} // namespace

openai_answer::openai_answer(std::uint32_t choices, std::uint32_t max_tokens)
    : choices_(choices),
      max_tokens_(max_tokens),
      events_([this](const links::sse_event& event) { return on_data(event.data); }) {}

void openai_answer::feed(std::string_view bytes) {
  if (ended() || !within_bounds(bytes.size()))
    return;
  if (!streamed()) {
    whole_.append(bytes);
    return;
  }
  if (!events_.feed(bytes) && events_.too_long())
    fail("server_protocol", "a line or an event of its stream is too long");
}

void openai_answer::finish() {
  if (ended())
    return;
  if (!streamed()) {
    const auto body = read_server_json(whole_);
    if (body.is_discarded())
      return fail("server_protocol", "its answer is no JSON: " + server_message(whole_));
    bound_text(body);
    on_object(body);
  }
  if (ended())
    return;
  if (!choices_done())
    return fail("server_broke_off", "its answer ends in the middle");
  complete();
}

/// How much of a whole answer's text is passed on where the server itself counted more tokens than
/// were asked for. Which bytes are whose nobody says: they are taken for equally long. An answer of
/// other things than text is left alone, since its tokens may be theirs.
void openai_answer::bound_text(const json& body) {
  if (max_tokens_ == 0 || !body.is_object() || !body.contains("usage") || !body["usage"].is_object()
      || !body.contains("choices") || !body["choices"].is_array())
    return;
  const auto made = text_tokens(body["usage"]);
  if (made <= (max_tokens_ + end_tokens) * choices_)
    return;
  std::uint64_t bytes = 0;
  for (const auto& choice : body["choices"]) {
    if (!choice.is_object() || !extras_of(choice).empty())
      return;
    bytes += text_of(choice).size();
  }
  text_bytes_max_ = bytes * max_tokens_ / made;
}

/// Returns: whether to go on.
bool openai_answer::on_data(std::string_view data) {
  if (data == "[DONE]") {
    if (choices_done())
      complete();
    else
      fail("server_broke_off", "it says that it is done and never said why it stopped");
    return false;
  }
  const auto body = read_server_json(data);
  if (!body.is_object())
    fail("server_protocol", "an event of its stream is no JSON object: " + server_message(data));
  else
    on_object(body);
  return !ended();
}

void openai_answer::on_object(const json& body) {
  const auto choices = body.find("choices");
  if (choices == body.end() || !choices->is_array()) {
    const auto said = message_in(body);
    if (body.contains("error") || !said.empty())
      return fail("server_failed", said.empty() ? "an error without a message" : said);
    if (!body.contains("usage"))
      return fail("server_protocol", "what it sent has no `choices`");
  } else {
    for (const auto& choice : *choices) {
      if (ended())
        return;
      on_choice(choice);
    }
  }
  if (const auto usage = body.find("usage"); usage != body.end() && usage->is_object())
    on_usage(*usage);
}

void openai_answer::on_choice(const json& choice) {
  if (!choice.is_object())
    return fail("server_protocol", "one of its choices is no object");
  if (const auto [text, name] = text_at(choice);
      text != nullptr && !text->is_string() && !text->is_array())
    return fail("server_protocol", "`" + std::string(name) + "` of one of its choices is no text: "
                                       + server_message(text->dump(-1, ' ', true)));
  // Where it says none there is but one.
  const auto said = choice.find("index");
  if (said != choice.end() && said->is_number_integer()
      && (!said->is_number_unsigned() || said->get<std::uint64_t>() >= choices_))
    return fail("server_protocol", "it answers a choice that nobody asked for: "
                                       + server_message(said->dump(-1, ' ', true)));
  const auto index = whole_at(choice, "index");
  if (!done_.contains(index)) {
    on_piece(index, choice);
    if (const auto why = choice.find("finish_reason"); why != choice.end() && why->is_string())
      finish_choice(index, why->get<std::string>());
  }
}

void openai_answer::on_piece(std::uint32_t index, const json& choice) {
  auto text = text_of(choice);
  auto extra = extras_of(choice);
  if (text.empty() && extra.empty())
    return;
  // A streamed piece is a token or so; of a whole text only its length says how many there were.
  const auto more
      = streamed() ? 1U : static_cast<std::uint32_t>(text.size() / token_bytes_guessed) + 1;
  const auto pieces = text.empty() ? 0 : (pieces_[index] += more);
  if (streamed() && max_tokens_ > 0 && pieces > max_tokens_) {
    pieces_[index] = max_tokens_;
    finish_choice(index, "length");
    // Whatever else it says is not waited for.
    return choices_done() ? complete() : void();
  }
  if (text_bytes_max_ && text.size() > *text_bytes_max_) {
    cut_text(text, *text_bytes_max_);
    if (!text.empty())
      say(attempt_tokens{index, std::move(text), {}, {}});
    return finish_choice(index, "length");
  }
  say(attempt_tokens{index, std::move(text), {}, std::move(extra)});
}

void openai_answer::finish_choice(std::uint32_t index, std::string reason) {
  if (!done_.insert(index).second)
    return;
  if (!streamed() && max_tokens_ > 0 && reason == "length")
    pieces_[index] = max_tokens_;
  // A reason is a word; anything else would go to the client as it is.
  const bool plain = !reason.empty() && reason.size() <= 32
                     && std::all_of(reason.begin(), reason.end(),
                                    [](char c) { return (c >= 'a' && c <= 'z') || c == '_'; });
  say(attempt_choice_done{index, plain ? std::move(reason) : "stop"});
}

void openai_answer::on_usage(const json& usage) {
  token_usage seen;
  seen.prompt_tokens = whole_at(usage, "prompt_tokens");
  seen.completion_tokens = whole_at(usage, "completion_tokens");
  if (const auto details = usage.find("prompt_tokens_details");
      details != usage.end() && details->is_object())
    seen.cached_tokens = whole_at(*details, "cached_tokens");
  usage_ = seen;
}

void openai_answer::complete() {
  const auto counted
      = std::accumulate(pieces_.begin(), pieces_.end(), 0U,
                        [](std::uint32_t sum, const auto& of) { return sum + of.second; });
  if (usage_ && usage_->completion_tokens == 0)
    usage_->completion_tokens = counted;
  if (usage_ && text_bytes_max_)
    usage_->completion_tokens = static_cast<std::uint32_t>(
        std::min<std::uint64_t>(usage_->completion_tokens, std::uint64_t{max_tokens_} * choices_));
  end(attempt_completed{usage_.value_or(token_usage{0, counted, 0}), 0, 0});
}

} // namespace consort::node
