// SPDX-License-Identifier: Apache-2.0
#include "node/runtimes/openai_embeddings.hpp"

#include "messages/limits.hpp"
#include "node/limits.hpp"
#include "node/runtimes/server_errors.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>

namespace consort::node {

namespace {

using nlohmann::json;

// The data port sends what waits piece by piece and cancels an attempt of which too much waits.
static_assert(limits::server_embeddings_bytes_max + 1024 * 1024 <= limits::data_backlog_bytes_max);
static_assert(limits::server_embeddings_piece_bytes <= messages::limits::token_text_bytes_max);

bool is_embedding(const json& value) {
  if (value.is_string())
    return !value.get_ref<const std::string&>().empty();
  return value.is_array() && !value.empty()
         && std::all_of(value.begin(), value.end(),
                        [](const json& one) { return one.is_number(); });
}

/// How many texts the body has; 0 = it is none that a gateway lets through.
std::uint32_t inputs_of(const json& body) {
  const auto input = body.find("input");
  if (input == body.end())
    return 0;
  if (input->is_string())
    return 1;
  const bool texts = input->is_array()
                     && std::all_of(input->begin(), input->end(),
                                    [](const json& one) { return one.is_string(); });
  return texts ? static_cast<std::uint32_t>(input->size()) : 0;
}

} // namespace

result<server_request> render_openai_embeddings(const attempt_body& from,
                                                const std::string& model) {
  auto body = read_server_json(from.json);
  if (!body.is_object())
    return error{recovery::refuse, "bad_body", "the body is no JSON object"};
  server_request out;
  out.path = "/v1/embeddings";
  out.embeddings = inputs_of(body);
  if (out.embeddings == 0)
    return error{recovery::refuse, "bad_body", "`input` is no text and no list of texts"};
  body["model"] = model;
  out.body = body.dump(-1, ' ', false, json::error_handler_t::replace);
  return out;
}

attempt_aborted judge_embeddings_refusal(unsigned status, std::string_view body) {
  if (status != 404 && status != 405 && status != 501)
    return judge_refusal(status, body);
  return {{recovery::retry_elsewhere, "kind_unsupported",
           "the model server makes no embeddings of this model; it answered "
               + std::to_string(status) + ": " + server_message(body)},
          false};
}

void openai_embeddings::feed(std::string_view bytes) {
  if (ended())
    return;
  if (whole_.size() + bytes.size() > limits::server_embeddings_bytes_max)
    return too_large();
  whole_.append(bytes);
}

void openai_embeddings::finish() {
  if (ended())
    return;
  const auto body = read_server_json(whole_);
  if (!body.is_object())
    return fail("server_protocol", "its answer is no JSON object: " + server_message(whole_));
  const auto data = body.find("data");
  if (data == body.end() || !data->is_array()) {
    const auto said = message_in(body);
    return said.empty() ? fail("server_protocol", "what it sent has no `data`")
                        : fail("server_failed", said);
  }
  const auto text = in_order(*data);
  if (ended())
    return;
  for (std::size_t at = 0; at < text.size(); at += limits::server_embeddings_piece_bytes)
    say(attempt_tokens{0, text.substr(at, limits::server_embeddings_piece_bytes), {}, {}});
  say(attempt_choice_done{0, "stop"});
  token_usage used;
  if (const auto usage = body.find("usage"); usage != body.end() && usage->is_object())
    used.prompt_tokens = whole_at(*usage, "prompt_tokens");
  end(attempt_completed{used, 0, 0});
}

std::string openai_embeddings::in_order(const json& data) {
  std::vector<const json*> found(inputs_, nullptr);
  for (std::size_t place = 0; place < data.size(); ++place) {
    const auto& one = data[place];
    const auto index = one.is_object() && one.contains("index") ? whole_at(one, "index") : place;
    const auto embedding = one.is_object() ? one.find("embedding") : one.end();
    if (!one.is_object() || embedding == one.end() || !is_embedding(*embedding) || index >= inputs_
        || found[index] != nullptr) {
      fail("server_protocol", "one of its embeddings is none, or of no input");
      return {};
    }
    found[index] = &*embedding;
  }
  if (data.size() != inputs_) {
    fail("server_protocol", "it sent " + std::to_string(data.size()) + " embeddings for "
                                + std::to_string(inputs_) + " inputs");
    return {};
  }
  std::string text = "[";
  for (const auto* one : found)
    text.append(text.size() == 1 ? "" : ",").append(one->dump(-1, ' ', true));
  text += ']';
  if (text.size() > limits::server_embeddings_bytes_max) // Numbers may grow by being rewritten.
    too_large();
  return text;
}

void openai_embeddings::too_large() {
  end(attempt_aborted{{recovery::refuse, "answer_too_large",
                       "the embeddings exceed "
                           + std::to_string(limits::server_embeddings_bytes_max)
                           + " bytes; send fewer inputs, or ask for base64"},
                      false});
}

} // namespace consort::node
