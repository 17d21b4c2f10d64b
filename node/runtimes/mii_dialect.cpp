// SPDX-License-Identifier: Apache-2.0
#include "node/runtimes/mii_dialect.hpp"

#include "node/runtimes/plain_generation.hpp"
#include "node/runtimes/server_errors.hpp"

#include <nlohmann/json.hpp>

#include <cctype>

namespace consort::node {

namespace {

using nlohmann::json;

constexpr std::size_t token_bytes_guessed = 4; ///< Of a text that nobody counted.

/// It becomes one segment of a path.
std::string escaped(const std::string& name) {
  constexpr std::string_view digits = "0123456789ABCDEF";
  std::string out;
  for (const auto byte : name) {
    const auto code = static_cast<unsigned char>(byte);
    if (std::isalnum(code) != 0 || std::string_view("-._~").find(byte) != std::string_view::npos)
      out += byte;
    else
      out += {'%', digits[code / 16U], digits[code % 16U]};
  }
  return out;
}

} // namespace

result<server_request> render_mii_request(const attempt_body& body, const std::string& model) {
  const auto asked = read_generation(body);
  if (!asked)
    return asked.failure();
  if (asked->frequency_penalty || asked->repetition_penalty || asked->logprobs)
    return error{recovery::retry_elsewhere, "kind_unsupported",
                 "DeepSpeed-MII has no `frequency_penalty`, `repetition_penalty` and `logprobs`"};
  json parameters{{"prompts", {asked->text}},
                  {"max_new_tokens", asked->max_tokens},
                  {"return_full_text", false}};
  const bool greedy = asked->temperature && *asked->temperature <= 0;
  parameters["do_sample"] = !greedy;
  if (asked->temperature && !greedy)
    parameters["temperature"] = *asked->temperature;
  if (asked->top_p)
    parameters["top_p"] = *asked->top_p;
  if (asked->top_k && *asked->top_k > 0)
    parameters["top_k"] = *asked->top_k;
  if (!asked->stops.empty())
    parameters["stop"] = asked->stops;
  server_request out;
  out.path = "/mii/" + escaped(model);
  out.max_tokens = asked->max_tokens;
  out.answered_in = server_protocol::mii;
  out.body = parameters.dump(-1, ' ', false, json::error_handler_t::replace);
  return out;
}

void mii_answer::feed(std::string_view bytes) {
  if (!ended() && within_bounds(bytes.size()))
    whole_.append(bytes);
}

void mii_answer::finish() {
  if (ended())
    return;
  const auto body = read_server_json(whole_);
  const auto broken = [&] {
    fail("server_protocol", "its answer is no list of texts: " + server_message(whole_));
  };
  if (!body.is_array() || body.size() != 1 || !body.front().is_object())
    return broken();
  const auto& one = body.front();
  const auto text = one.find("generated_text");
  if (text == one.end() || !text->is_string())
    return broken();
  if (!text->get_ref<const std::string&>().empty())
    say(attempt_tokens{0, text->get<std::string>(), {}, {}});
  const auto why = one.find("finish_reason");
  const bool length = why != one.end() && why->is_string() && *why == "length";
  say(attempt_choice_done{0, length ? "length" : "stop"});
  const auto& made = text->get_ref<const std::string&>();
  auto tokens = whole_at(one, "generated_length");
  if (tokens == 0 && !made.empty())
    tokens = static_cast<std::uint32_t>(made.size() / token_bytes_guessed) + 1;
  end(attempt_completed{{whole_at(one, "prompt_length"), tokens, 0}, 0, 0});
}

} // namespace consort::node
