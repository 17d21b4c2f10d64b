// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Failures as a client sees them: the OpenAI error envelope with our additions. Pure.

#include "gateway/http.hpp"
#include "scheduler/command.hpp"

namespace consort::gateway {

/// One failure at the HTTP edge. The envelope is `{"error": {message, type, param, code}}`, with
/// `consort: {state, eta_ms}` when `state` is set.
struct api_error {
  unsigned status = 500;
  std::string code = {};
  std::string message = {};
  std::string param = {}; ///< Field or header at fault; empty = null.
  std::string state = {}; ///< `loading`, `compiling`, `queued`; empty = none.
  std::optional<duration_us> eta_us = {};
  std::optional<duration_us> retry_after_us = {};
  header_list headers = {}; ///< Further ones, e.g. Allow.
};

/// A 400 about one field of the body or one header.
[[nodiscard]] api_error bad_request(std::string code, std::string message, std::string param = {});
[[nodiscard]] api_error not_found(std::string message);
/// Says which methods the path takes. `allowed` is the value of the Allow header.
[[nodiscard]] api_error wrong_method(std::string_view path, std::string allowed);
/// What the scheduler said.
[[nodiscard]] api_error from_reject(const core::reject_request& rejected);
/// What a runtime said about the request itself: 400.
[[nodiscard]] api_error from_refusal(const error& failure);
/// What an admin call answered: 400 for refusals, 503 for later, 500 for a defect of ours.
[[nodiscard]] api_error from_admin(const error& failure);

/// The header whose value the scheduler refused with that code; empty = no header's fault.
[[nodiscard]] std::string header_at_fault(const std::string& code);

/// OpenAI's word for a status, e.g. `invalid_request_error`.
[[nodiscard]] std::string_view error_type(unsigned status);
/// The envelope, one line.
[[nodiscard]] std::string error_body(const api_error& failure);
[[nodiscard]] http_response to_response(const api_error& failure);
/// Answers with the failure. Requires: nothing was answered yet.
task<void> respond_error(exchange& out, const api_error& failure);
/// `event: error` with the envelope: how a stream that has begun ends badly.
[[nodiscard]] std::string error_event(const api_error& failure);

} // namespace consort::gateway
