// SPDX-License-Identifier: Apache-2.0
#include "gateway/errors.hpp"

#include "gateway/json_text.hpp"
#include "gateway/limits.hpp"

#include <algorithm>
#include <array>

namespace consort::gateway {

namespace {

constexpr duration_us ms_us = 1'000;
constexpr duration_us second_us = 1'000'000;

void append_field(std::string& out, std::string_view name, std::string_view value) {
  out.append(name);
  if (value.empty())
    out.append("null");
  else
    append_json_string(out, value);
}

bool in_name(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_'
         || c == '.' || c == '[' || c == ']';
}

/// A name in quotes that the words begin with; empty when they do not.
std::string_view quoted_name(std::string_view words) {
  if (words.empty() || (words[0] != '\'' && words[0] != '`'))
    return {};
  const auto end = words.find(words[0], 1);
  const auto name = end == words.npos ? std::string_view() : words.substr(1, end - 1);
  return name.size() <= limits::field_bytes_max && std::all_of(name.begin(), name.end(), in_name)
             ? name
             : std::string_view();
}

/// Whether `name` stands in the words as one of them.
bool has_word(std::string_view words, std::string_view name) {
  for (auto at = words.find(name); at != words.npos; at = words.find(name, at + 1)) {
    const auto end = at + name.size();
    if ((at == 0 || !in_name(words[at - 1])) && (end == words.size() || !in_name(words[end])))
      return true;
  }
  return false;
}

/// Which field of the body an engine refused, by its words, since engines say it no other way: the
/// name in quotes at their beginning, or the first of OpenAI's and vLLM's that is no word of
/// English and stands in them. Empty when it cannot be told.
std::string field_at_fault(std::string_view message) {
  constexpr std::array names{"temperature",
                             "top_p",
                             "top_k",
                             "min_p",
                             "typical_p",
                             "presence_penalty",
                             "frequency_penalty",
                             "repeat_penalty",
                             "repetition_penalty",
                             "max_tokens",
                             "min_tokens",
                             "max_completion_tokens",
                             "logit_bias",
                             "top_logprobs",
                             "logprobs",
                             "best_of",
                             "stop_token_ids",
                             "response_format",
                             "guided_json",
                             "tool_choice",
                             "stream_options"};
  // Behind whose words they are: `the model server answered 400: `.
  const auto told = message.find(": ");
  for (const auto from : {std::size_t{0}, told == message.npos ? message.size() : told + 2})
    if (const auto name = quoted_name(message.substr(from)); !name.empty())
      return std::string(name);
  const auto found = std::find_if(names.begin(), names.end(),
                                  [&](const char* name) { return has_word(message, name); });
  return found == names.end() ? std::string() : *found;
}

} // namespace

api_error bad_request(std::string code, std::string message, std::string param) {
  return {.status = 400,
          .code = std::move(code),
          .message = std::move(message),
          .param = std::move(param)};
}

api_error not_found(std::string message) {
  return {.status = 404, .code = "not_found", .message = std::move(message)};
}

api_error wrong_method(std::string_view path, std::string allowed) {
  return {.status = 405,
          .code = "method_not_allowed",
          .message = std::string(path) + " takes " + allowed + " only",
          .headers = {{"Allow", allowed}}};
}

std::string header_at_fault(const std::string& code) {
  if (code == "policy_not_found")
    return "X-Consort-Policy";
  return code == "selector_malformed" ? "X-Consort-Device" : std::string();
}

api_error from_reject(const core::reject_request& rejected) {
  api_error out{.status = rejected.http_status,
                .code = rejected.reason.code,
                .message = rejected.reason.message,
                .param = header_at_fault(rejected.reason.code),
                .state = rejected.state,
                .eta_us = rejected.eta_us,
                .retry_after_us = rejected.retry_after_us};
  if (out.status == 404 && out.code.empty())
    out.code = "model_not_found";
  // A client that may come back is always told when.
  if ((out.status == 429 || out.status == 503) && !out.retry_after_us)
    out.retry_after_us = out.eta_us.value_or(second_us);
  return out;
}

api_error from_refusal(const error& failure) {
  return bad_request(failure.code, failure.message, field_at_fault(failure.message));
}

api_error from_admin(const error& failure) {
  api_error out{.code = failure.code, .message = failure.message};
  switch (failure.action) {
  case recovery::refuse: out.status = failure.code.starts_with("unknown") ? 404 : 400; break;
  case recovery::retry_later:
  case recovery::retry_elsewhere:
    out.status = 503;
    out.retry_after_us = second_us;
    break;
  case recovery::bug: out.status = 500; break;
  }
  return out;
}

std::string_view error_type(unsigned status) {
  switch (status) {
  case 401: return "authentication_error";
  case 403: return "permission_error";
  case 408: return "timeout_error";
  case 429: return "rate_limit_error";
  case 503: return "overloaded_error";
  default: return status < 500 ? "invalid_request_error" : "server_error";
  }
}

std::string error_body(const api_error& failure) {
  std::string out = R"({"error":{"message":)";
  append_json_string(out, failure.message);
  append_field(out, R"(,"type":)", error_type(failure.status));
  append_field(out, R"(,"param":)", failure.param);
  append_field(out, R"(,"code":)", failure.code);
  if (!failure.state.empty()) {
    append_field(out, R"(,"consort":{"state":)", failure.state);
    out.append(R"(,"eta_ms":)");
    out.append(failure.eta_us ? std::to_string(*failure.eta_us / ms_us) : "null").append("}");
  }
  return out.append("}}");
}

http_response to_response(const api_error& failure) {
  http_response out{
      .status = failure.status, .headers = failure.headers, .body = error_body(failure) + "\n"};
  if (failure.retry_after_us) {
    // Whole seconds, rounded up: sooner would be in vain.
    const auto seconds
        = std::max<duration_us>(1, (*failure.retry_after_us + second_us - 1) / second_us);
    out.headers.emplace_back("Retry-After", std::to_string(seconds));
  }
  return out;
}

task<void> respond_error(exchange& out, const api_error& failure) {
  const auto answer = to_response(failure);
  co_await out.respond(answer);
}

std::string error_event(const api_error& failure) {
  return "event: error\ndata: " + error_body(failure) + "\n\n";
}

} // namespace consort::gateway
