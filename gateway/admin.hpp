// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Handlers of everything but inference: models, health, metrics, the operator's API. Each answers
/// within limits::port_timeout; all but the event stream answer at once.

#include "gateway/context.hpp"

#include <nlohmann/json_fwd.hpp>

namespace consort::gateway {

/// What stands for an answer of the scheduler that did not come within port_timeout.
[[nodiscard]] error scheduler_silent();
/// By when the scheduler has to answer: limits::port_timeout from now.
[[nodiscard]] steady_time port_deadline(const gateway_context& context);
/// Answers with the body on a line of its own; invalid UTF-8 in it is replaced.
task<void> respond_json(exchange& out, unsigned status, const nlohmann::ordered_json& body);

// OpenAI's model list, from the scheduler's.
task<void> list_models(gateway_context&, const http_request&, const std::string& rest,
                       exchange& out);
task<void> show_model(gateway_context&, const http_request&, const std::string& rest,
                      exchange& out);

// For supervisors and dashboards. Readiness: the scheduler answers, a device is alive, no stop.
task<void> show_health(gateway_context&, const http_request&, const std::string& rest,
                       exchange& out);
task<void> show_readiness(gateway_context&, const http_request&, const std::string& rest,
                          exchange& out);
task<void> show_metrics(gateway_context&, const http_request&, const std::string& rest,
                        exchange& out);

// What the core shows of itself, as admin_json.hpp renders it.
task<void> show_cluster(gateway_context&, const http_request&, const std::string& rest,
                        exchange& out);
/// The list named by the last part of the path.
task<void> show_list(gateway_context&, const http_request&, const std::string& rest, exchange& out);
task<void> show_explanation(gateway_context&, const http_request&, const std::string& rest,
                            exchange& out);
/// The body and headers of an OpenAI request, which is not run.
task<void> post_explanation(gateway_context&, const http_request&, const std::string& rest,
                            exchange& out);
/// Some of the live ones: the query says which, and behind which.
task<void> show_requests(gateway_context&, const http_request&, const std::string& rest,
                         exchange& out);
/// Of every node, or of the one that the query names as `node`.
task<void> show_plugins(gateway_context&, const http_request&, const std::string& rest,
                        exchange& out);
/// Server-sent events until the client leaves or the server stops; a comment every event_ping.
task<void> stream_events(gateway_context&, const http_request&, const std::string& rest,
                         exchange& out);

// What an operator asks. 202 with {"accepted": true} once the scheduler has taken it.
/// Body {"target": node or device id, "reason"?}.
task<void> post_drain(gateway_context&, const http_request&, const std::string& rest,
                      exchange& out);
task<void> post_undrain(gateway_context&, const http_request&, const std::string& rest,
                        exchange& out);
task<void> post_cordon(gateway_context&, const http_request&, const std::string& rest,
                       exchange& out);
task<void> post_uncordon(gateway_context&, const http_request&, const std::string& rest,
                         exchange& out);
/// Body {"node"?, "timeout"?}; answers 200 with what came of it on each node.
task<void> post_reload(gateway_context&, const http_request&, const std::string& rest,
                       exchange& out);
/// Body {"model", "for"?} or {"drain"}; answers 200 with the steps and orders nothing.
task<void> post_plan(gateway_context&, const http_request&, const std::string& rest, exchange& out);
/// Body as model_spec_from_json reads it.
task<void> post_model(gateway_context&, const http_request&, const std::string& rest,
                      exchange& out);
task<void> delete_model(gateway_context&, const http_request&, const std::string& rest,
                        exchange& out);
/// Both: body {"model", "for": device selector}. The plan orders nothing.
task<void> post_compile_plan(gateway_context& context, const http_request& request,
                             const std::string& rest, exchange& out);
task<void> post_compile(gateway_context&, const http_request&, const std::string& rest,
                        exchange& out);

} // namespace consort::gateway
