// SPDX-License-Identifier: Apache-2.0
#include "include/consort/client.hpp"

#include "client/http_client.hpp"
#include "scheduler/units.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>

namespace consort {

namespace {

using nlohmann::json;

/// Anything absent or of another type is empty.
std::string text_in(const json& from, const char* pointer) {
  const json::json_pointer at(pointer);
  return from.contains(at) && from[at].is_string() ? from[at].get<std::string>() : std::string();
}

std::uint32_t number_in(const json& from, const char* pointer) {
  const json::json_pointer at(pointer);
  return from.contains(at) && from[at].is_number_unsigned() ? from[at].get<std::uint32_t>() : 0;
}

client_error lost(const error& failure) {
  if (failure.code == "usage") // The address: parse_url().
    return {"invalid_value", failure.message, 0};
  const bool said = failure.code == "unreachable" || failure.code == "cancelled";
  return {said ? failure.code : "broke_off", failure.message, 0};
}

client_error refused(const transport::http_answer& answer) {
  const auto body = json::parse(answer.body, nullptr, false);
  client_error out{text_in(body, "/error/code"), text_in(body, "/error/message"), answer.status};
  if (out.code.empty())
    out.code = "http_" + std::to_string(answer.status);
  if (out.message.empty())
    out.message = "the server answered with status " + std::to_string(answer.status);
  return out;
}

transport::http_request request_of(const generate_request& wanted) {
  json body{{"model", wanted.model},
            {"prompt", wanted.prompt},
            {"max_tokens", wanted.max_tokens},
            {"stream", true},
            {"stream_options", {{"include_usage", true}}}};
  if (wanted.temperature)
    body["temperature"] = *wanted.temperature;
  transport::http_request out{
      "POST",
      "/v1/completions",
      body.dump(-1, ' ', false, json::error_handler_t::replace),
      {{"Content-Type", "application/json"}, {"X-Consort-Device", wanted.device}}};
  if (!wanted.policy.empty())
    out.headers["X-Consort-Policy"] = wanted.policy;
  if (!wanted.wait.empty())
    out.headers["X-Consort-Wait"] = wanted.wait;
  return out;
}

/// What JSON can carry. Other bytes would be replaced, and another text answered.
bool is_text(const std::string& text) {
  try {
    static_cast<void>(json(text).dump());
    return true;
  } catch (const json::exception&) {
    return false;
  }
}

bool printable(const std::string& text) {
  return std::none_of(text.begin(), text.end(), [](char c) { return c < ' ' || c == 0x7f; });
}

/// One vector per input. Returns: nothing when the answer is anything else.
std::optional<std::vector<std::vector<float>>> vectors_in(const json& body, std::size_t inputs) {
  const json::json_pointer at("/data");
  if (!body.contains(at) || !body[at].is_array() || body[at].size() != inputs)
    return std::nullopt;
  std::vector<std::vector<float>> out(inputs);
  for (const auto& one : body[at]) {
    const auto index = one.is_object() ? number_in(one, "/index") : inputs;
    const auto numbers = one.is_object() ? one.find("embedding") : one.end();
    if (index >= inputs || numbers == one.end() || !numbers->is_array() || numbers->empty()
        || !out[index].empty())
      return std::nullopt;
    for (const auto& number : *numbers) {
      if (!number.is_number())
        return std::nullopt;
      out[index].push_back(number.get<float>());
    }
  }
  return out;
}

/// What a stream adds up to.
class collector {
public:
  collector(const client::on_text& piece, const std::atomic<bool>* cancel)
      : piece_(piece), cancel_(cancel) {}

  bool on_event(const links::sse_event& event) {
    if (event.data == "[DONE]")
      return whole_ = true, false;
    const auto body = json::parse(event.data, nullptr, false);
    if (!body.is_object() || body.contains("error")) {
      failure_ = client_error{text_in(body, "/error/code"), text_in(body, "/error/message"), 200};
      if (failure_->code.empty())
        failure_->code = "bad_answer";
      if (failure_->message.empty())
        failure_->message = "the stream holds what is no piece of an answer";
      return false;
    }
    if (const auto why = text_in(body, "/choices/0/finish_reason"); !why.empty())
      made_.finish_reason = why;
    if (body.contains("usage") && body["usage"].is_object()) {
      made_.prompt_tokens = number_in(body, "/usage/prompt_tokens");
      made_.completion_tokens = number_in(body, "/usage/completion_tokens");
      made_.attempts = number_in(body, "/usage/consort/attempts");
      made_.device = text_in(body, "/usage/consort/device");
    }
    const auto text = text_in(body, "/choices/0/text");
    made_.text += text;
    const bool go_on = text.empty() || !piece_ || piece_(text);
    stopped_ = !go_on || (cancel_ != nullptr && *cancel_);
    return !stopped_;
  }

  outcome<generation> end() {
    if (failure_)
      return *failure_;
    if (stopped_)
      return client_error{"cancelled", "it was stopped by its caller", 200};
    if (!whole_)
      return client_error{"broke_off", "the stream ended early", 200};
    return made_;
  }

private:
  const client::on_text& piece_;
  const std::atomic<bool>* cancel_;
  generation made_;
  std::optional<client_error> failure_;
  bool whole_ = false, stopped_ = false;
};

} // namespace

struct client::state {
  client_options options;
  transport::http_client http{options.url, options.api_key};
};

client::client(client_options options) : state_(new state{std::move(options)}) {}
client::~client() = default;
client::client(client&&) noexcept = default;
client& client::operator=(client&&) noexcept = default;

outcome<std::string> client::load_model(const std::string& model, const std::string& device,
                                        const std::string& wait) {
  return load_model(model, device, wait, nullptr);
}

outcome<std::string> client::load_model(const std::string& model, const std::string& device,
                                        const std::string& wait, const std::atomic<bool>* cancel) {
  generate_request probe;
  probe.model = model;
  probe.prompt = ".";
  probe.max_tokens = 1; // Nothing is loaded more surely than what has answered.
  probe.device = device;
  probe.wait = wait;
  const auto answered = generate(probe, cancel);
  if (!answered)
    return answered.error();
  return answered->device;
}

outcome<generation> client::generate(const generate_request& wanted) {
  return generate(wanted, on_text());
}

outcome<generation> client::generate(const generate_request& wanted,
                                     const std::atomic<bool>* cancel) {
  return generate(wanted, on_text(), cancel);
}

outcome<generation> client::generate(const generate_request& wanted, const on_text& piece,
                                     const std::atomic<bool>* cancel) {
  collector made(piece, cancel);
  for (const auto* text : {&wanted.device, &wanted.policy, &wanted.wait})
    if (!printable(*text))
      return client_error{"invalid_value", "device, policy and wait are printable ASCII", 0};
  if (!is_text(wanted.model) || !is_text(wanted.prompt))
    return client_error{"invalid_value", "model and prompt are UTF-8", 0};
  // Nothing is heard of a load or a build before its first token.
  auto patience = state_->options.timeout;
  if (const auto wait = parse_duration(wanted.wait))
    patience += std::chrono::milliseconds(*wait / 1000);
  const auto answer = state_->http.stream(
      request_of(wanted), [&made](const links::sse_event& event) { return made.on_event(event); },
      patience, cancel);
  if (!answer)
    return lost(answer.failure());
  if (answer->status != 200)
    return refused(*answer);
  return made.end();
}

outcome<std::vector<std::vector<float>>> client::embed(const std::string& model,
                                                       const std::vector<std::string>& inputs,
                                                       const std::string& device) {
  if (!printable(device))
    return client_error{"invalid_value", "the device is printable ASCII", 0};
  if (!is_text(model) || !std::all_of(inputs.begin(), inputs.end(), is_text))
    return client_error{"invalid_value", "model and texts are UTF-8", 0};
  const json body{{"model", model}, {"input", json(inputs)}, {"encoding_format", "float"}};
  const auto answer
      = state_->http.call({"POST",
                           "/v1/embeddings",
                           body.dump(-1, ' ', false, json::error_handler_t::replace),
                           {{"Content-Type", "application/json"}, {"X-Consort-Device", device}}},
                          state_->options.timeout);
  if (!answer)
    return lost(answer.failure());
  if (answer->status != 200)
    return refused(*answer);
  auto made = vectors_in(json::parse(answer->body, nullptr, false), inputs.size());
  if (!made)
    return client_error{"bad_answer", "the answer is no list of embeddings", 200};
  return *std::move(made);
}

} // namespace consort
