// SPDX-License-Identifier: Apache-2.0
#include "gateway/errors.hpp"

#include "gateway/json_text.hpp"

#include <algorithm>

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

/// What only the scheduler can judge of a request's headers, by its code; empty = no header's
/// fault.
std::string header_at_fault(const std::string& code) {
  if (code == "policy_not_found")
    return "X-Consort-Policy";
  return code == "selector_malformed" ? "X-Consort-Device" : std::string();
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
  return bad_request(failure.code, failure.message);
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
