// SPDX-License-Identifier: Apache-2.0
#include "node/runtimes/tgi_dialect.hpp"

#include "node/runtimes/openai_request.hpp"
#include "node/runtimes/plain_generation.hpp"
#include "node/runtimes/server_errors.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>

namespace consort::node {

namespace {

using nlohmann::json;

/// Length of the longest end of `text` that is a beginning of `stop` and not the whole of it.
std::size_t overlap(std::string_view text, std::string_view stop) {
  for (auto size = std::min(text.size(), stop.size() - 1); size > 0; --size)
    if (text.ends_with(stop.substr(0, size)))
      return size;
  return 0;
}

} // namespace

result<server_request> render_tgi_request(const attempt_body& body, const std::string& model) {
  if (body.kind == request_kind::chat)
    return render_openai_request(body, model);
  const auto asked = read_generation(body);
  if (!asked)
    return asked.failure();
  json parameters{{"max_new_tokens", asked->max_tokens}, {"details", true}};
  // Its validation refuses a temperature of 0 and a top_p of 1.
  const bool greedy = asked->temperature && *asked->temperature <= 0;
  parameters["do_sample"] = !greedy;
  if (asked->temperature && !greedy)
    parameters["temperature"] = *asked->temperature;
  if (asked->top_p && *asked->top_p > 0 && *asked->top_p < 1)
    parameters["top_p"] = *asked->top_p;
  if (asked->top_k && *asked->top_k > 0)
    parameters["top_k"] = *asked->top_k;
  if (asked->frequency_penalty)
    parameters["frequency_penalty"] = *asked->frequency_penalty;
  if (asked->repetition_penalty)
    parameters["repetition_penalty"] = *asked->repetition_penalty;
  if (asked->logprobs.value_or(0) > 0)
    parameters["top_n_tokens"] = *asked->logprobs;
  if (asked->seed)
    parameters["seed"] = *asked->seed;
  if (!asked->stops.empty())
    parameters["stop"] = asked->stops;
  server_request out;
  out.path = "/generate_stream";
  out.max_tokens = asked->max_tokens;
  out.stops = asked->stops;
  out.logprobs = asked->logprobs.has_value();
  out.answered_in = server_protocol::tgi;
  out.body = json{{"inputs", asked->text}, {"parameters", std::move(parameters)}}.dump(
      -1, ' ', false, json::error_handler_t::replace);
  return out;
}

tgi_answer::tgi_answer(std::vector<std::string> stops, bool logprobs)
    : stops_(std::move(stops)),
      events_([this](const links::sse_event& event) { return on_data(event.data); }),
      logprobs_(logprobs) {}

void tgi_answer::feed(std::string_view bytes) {
  if (ended() || !within_bounds(bytes.size()))
    return;
  if (!streamed())
    whole_.append(bytes);
  else if (!events_.feed(bytes) && events_.too_long())
    fail("server_protocol", "a line or an event of its stream is too long");
}

void tgi_answer::finish() {
  if (ended())
    return;
  // A server in front of it may have taken the stream together.
  if (!streamed())
    on_data(whole_);
  fail("server_broke_off", "its answer ends in the middle");
}

/// Returns: whether to go on.
bool tgi_answer::on_data(std::string_view data) {
  const auto body = read_server_json(data);
  if (!body.is_object())
    fail("server_protocol", "an event of its stream is no JSON object: " + server_message(data));
  else
    on_object(body);
  return !ended();
}

void tgi_answer::on_object(const json& body) {
  if (body.contains("error"))
    return fail("server_failed", message_in(body));
  const auto text = body.find("generated_text");
  const bool last = text != body.end() && text->is_string();
  const auto token = body.find("token");
  if (token != body.end() && token->is_object()) {
    const auto piece = token->find("text");
    const auto special = token->find("special");
    if (piece != token->end() && !piece->is_string() && !piece->is_null())
      return fail("server_protocol", "`text` of one of its tokens is no text: "
                                         + server_message(piece->dump(-1, ' ', true)));
    ++tokens_;
    if (piece != token->end() && piece->is_string()
        && !(special != token->end() && special->is_boolean() && special->get<bool>())) {
      note_logprobs(body, piece->get_ref<const std::string&>());
      on_text(piece->get<std::string>());
    }
  } else if (!last) {
    return fail("server_protocol", "what it sent has neither `token` nor `generated_text`");
  } else if (tokens_ == 0) {
    on_text(text->get<std::string>());
  }
  if (last)
    complete(body);
}

void tgi_answer::on_text(const std::string& piece) {
  if (stopped_)
    return;
  held_ += piece;
  auto ready = held_.size();
  for (const auto& stop : stops_)
    if (const auto at = held_.find(stop); at != std::string::npos) {
      stopped_ = true;
      ready = std::min(ready, at);
    }
  if (!stopped_) {
    std::size_t tail = 0;
    for (const auto& stop : stops_)
      tail = std::max(tail, overlap(held_, stop));
    ready -= tail;
  }
  if (ready > 0)
    tell(held_.substr(0, ready));
  else if (stopped_)
    noted_ = {}; // Of the text that stopped it.
  held_.erase(0, stopped_ ? std::string::npos : ready);
}

/// Of a token that is, or may be, a part of the answer.
void tgi_answer::note_logprobs(const json& event, const std::string& piece) {
  const auto offset = std::exchange(text_bytes_, text_bytes_ + piece.size());
  if (!logprobs_ || stopped_)
    return;
  const auto of = [](const json& token) {
    const auto found = token.is_object() ? token.find("logprob") : token.end();
    return found != token.end() && found->is_number() ? *found : json();
  };
  json likely;
  if (const auto top = event.find("top_tokens"); top != event.end() && top->is_array())
    for (const auto& one : *top)
      if (const auto text = one.is_object() ? one.find("text") : one.end();
          text != one.end() && text->is_string())
        likely[text->get<std::string>()] = of(one);
  noted_["tokens"].push_back(piece);
  noted_["token_logprobs"].push_back(of(event.at("token")));
  noted_["top_logprobs"].push_back(std::move(likely));
  noted_["text_offset"].push_back(offset);
}

/// With the log probabilities of all tokens since the last time.
void tgi_answer::tell(std::string text) {
  std::string extra;
  if (!noted_.empty())
    extra = json{{"logprobs", std::exchange(noted_, {})}}.dump(-1, ' ', false,
                                                               json::error_handler_t::replace);
  say(attempt_tokens{0, std::move(text), {}, std::move(extra)});
}

void tgi_answer::complete(const json& body) {
  if (!held_.empty() || !noted_.empty())
    tell(std::exchange(held_, {}));
  token_usage usage{0, tokens_, 0};
  std::string reason;
  if (const auto details = body.find("details"); details != body.end() && details->is_object()) {
    usage.prompt_tokens = whole_at(*details, "input_length");
    if (details->contains("generated_tokens"))
      usage.completion_tokens = whole_at(*details, "generated_tokens");
    if (const auto why = details->find("finish_reason"); why != details->end() && why->is_string())
      reason = why->get<std::string>();
  }
  say(attempt_choice_done{0, reason == "length" && !stopped_ ? "length" : "stop"});
  end(attempt_completed{usage, 0, 0});
}

} // namespace consort::node
