// SPDX-License-Identifier: Apache-2.0
// What an operator and a supervisor read. What they ask for is in admin_commands.cpp.
#include "gateway/admin.hpp"

#include "gateway/admin_json.hpp"
#include "gateway/errors.hpp"
#include "gateway/inference.hpp"
#include "gateway/log.hpp"
#include "links/holds.hpp"
#include "scheduler/nearest_name.hpp"

#include <algorithm>
#include <ctime>
#include <utility>

namespace consort::gateway {

error scheduler_silent() {
  return {recovery::retry_later, "scheduler_silent", "the scheduler gave no answer in time"};
}

task<void> respond_json(exchange& out, unsigned status, const json& body) {
  auto text = body.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
  const auto answer = make_response(status, std::move(text));
  co_await out.respond(answer);
}

steady_time port_deadline(const gateway_context& context) {
  return std::chrono::steady_clock::now()
         + std::chrono::microseconds(context.config.limits.port_timeout);
}

namespace {

json model_entry(const gateway_context& context, const core::model_view& view) {
  auto aliases = json::array();
  for (const auto& alias : view.spec.aliases)
    aliases.push_back(alias.value);
  return {{"id", view.spec.name.value},
          {"object", "model"},
          {"created", context.started_unix_s},
          {"owned_by", "consort"},
          {"consort",
           {{"aliases", std::move(aliases)},
            {"replicas_ready", view.replicas_ready},
            {"replicas_loading", view.replicas_loading}}}};
}

/// As vLLM lists them: models of their own, with what they are part of.
json adapter_entry(const gateway_context& context, const core::model_view& view,
                   const model_adapter& one) {
  auto entry = model_entry(context, view);
  entry["id"] = one.name.value;
  entry["parent"] = view.spec.name.value;
  entry["consort"]["aliases"] = json::array();
  return entry;
}

/// The first variant's, which all have.
const std::vector<model_adapter>& adapters_of(const core::model_view& view) {
  static const std::vector<model_adapter> nothing;
  return view.spec.variants.empty() ? nothing : view.spec.variants.front().adapters;
}

api_error unknown_model(const core::snapshot& seen, const std::string& wanted) {
  std::vector<std::string> known;
  for (const auto& view : seen.models) {
    known.push_back(view.spec.name.value);
    for (const auto& alias : view.spec.aliases)
      known.push_back(alias.value);
    for (const auto& one : adapters_of(view))
      known.push_back(one.name.value);
  }
  return {.status = 404,
          .code = "model_not_found",
          .message = "no model named `" + wanted.substr(0, limits::model_name_bytes_max) + "`"
                     + did_you_mean(wanted, known),
          .param = "model"};
}

} // namespace

gateway_context::gateway_context(server_config with, scheduler_port& to, attempt_resolver by)
    : config(std::move(with)),
      port(to),
      resolve(std::move(by)),
      started_unix_s(std::time(nullptr)),
      events(std::make_shared<event_hub>(config.limits.event_streams, started_unix_s)) {}

task<result<core::snapshot>> take_snapshot(gateway_context& context, exchange& out) {
  const auto start = [&context](auto reply) { context.port.snapshot(std::move(reply)); };
  auto answer = co_await await_answer<result<core::snapshot>>(out, port_deadline(context), start);
  if (!answer)
    co_return scheduler_silent();
  co_return std::move(*answer);
}

namespace {

/// Returns: nothing once it has answered why not.
task<std::optional<core::snapshot>> snapshot_or_error(gateway_context& context, exchange& out) {
  auto seen = co_await take_snapshot(context, out);
  if (seen)
    co_return std::move(*seen);
  const auto failure = from_admin(seen.failure());
  co_await respond_error(out, failure);
  co_return std::nullopt;
}

/// What the scheduler explains, once `start` has asked it.
template <class Start>
task<result<core::explanation>> explained_by(const gateway_context& context, exchange& out,
                                             const Start& start) {
  auto answer
      = co_await await_answer<result<core::explanation>>(out, port_deadline(context), start);
  if (!answer)
    co_return scheduler_silent();
  co_return std::move(*answer);
}

} // namespace

task<void> list_models(gateway_context& context, const http_request&, const std::string&,
                       exchange& out) {
  const auto seen = co_await snapshot_or_error(context, out);
  if (!seen)
    co_return;
  json body{{"object", "list"}, {"data", json::array()}};
  for (const auto& view : seen->models) {
    body["data"].push_back(model_entry(context, view));
    for (const auto& one : adapters_of(view))
      body["data"].push_back(adapter_entry(context, view, one));
  }
  co_await respond_json(out, 200, body);
}

task<void> show_model(gateway_context& context, const http_request&, const std::string& rest,
                      exchange& out) {
  const auto seen = co_await snapshot_or_error(context, out);
  if (!seen)
    co_return;
  const model_name wanted(rest);
  const auto found = std::find_if(seen->models.begin(), seen->models.end(), [&](const auto& view) {
    const auto& aliases = view.spec.aliases;
    return view.spec.name == wanted
           || std::find(aliases.begin(), aliases.end(), wanted) != aliases.end();
  });
  for (const auto& view : seen->models)
    for (const auto& one : adapters_of(view))
      if (one.name == wanted) {
        const auto body = adapter_entry(context, view, one);
        co_await respond_json(out, 200, body);
        co_return;
      }
  if (found == seen->models.end()) {
    const auto failure = unknown_model(*seen, rest);
    co_await respond_error(out, failure);
    co_return;
  }
  const auto body = model_entry(context, *found);
  co_await respond_json(out, 200, body);
}

task<void> show_health(gateway_context&, const http_request&, const std::string&, exchange& out) {
  const json body{{"status", "ok"}};
  co_await respond_json(out, 200, body);
}

task<void> show_readiness(gateway_context& context, const http_request&, const std::string&,
                          exchange& out) {
  std::string reason;
  if (context.stopping) {
    reason = "this gateway is stopping";
  } else {
    const auto seen = co_await take_snapshot(context, out);
    if (!seen)
      reason = seen.failure().message;
    else if (std::none_of(seen->devices.begin(), seen->devices.end(),
                          [](const auto& device) { return device.alive; }))
      reason = "no device is alive";
  }
  json body{{"status", reason.empty() ? "ready" : "not_ready"}};
  if (!reason.empty())
    body["reason"] = reason;
  co_await respond_json(out, reason.empty() ? 200 : 503, body);
}

task<void> show_metrics(gateway_context& context, const http_request&, const std::string&,
                        exchange& out) {
  const auto seen = co_await take_snapshot(context, out);
  const auto others
      = context.config.figures ? context.config.figures() : std::vector<process_figure>{};
  const auto answer = make_response(
      200, context.figures.render(seen ? &*seen : nullptr, context.config.decisions.get(), others),
      "text/plain; version=0.0.4; charset=utf-8");
  co_await out.respond(answer);
}

task<void> show_cluster(gateway_context& context, const http_request&, const std::string&,
                        exchange& out) {
  const auto seen = co_await snapshot_or_error(context, out);
  if (!seen)
    co_return;
  const auto body = cluster_json(*seen);
  co_await respond_json(out, 200, body);
}

task<void> show_list(gateway_context& context, const http_request& request, const std::string&,
                     exchange& out) {
  const auto seen = co_await snapshot_or_error(context, out);
  if (!seen)
    co_return;
  const auto name = std::string_view(request.path).substr(request.path.rfind('/') + 1);
  auto body = list_json(*seen, name);
  if (name == "nodes" && context.config.held_off)
    show_held_off(body["nodes"], context.config.held_off());
  co_await respond_json(out, 200, body);
}

task<void> show_explanation(gateway_context& context, const http_request&, const std::string& rest,
                            exchange& out) {
  const auto start = [&](auto reply) { context.port.explain(rest, std::move(reply)); };
  const auto explained = co_await explained_by(context, out, start);
  if (explained) {
    const auto body = to_json(*explained);
    co_await respond_json(out, 200, body);
    co_return;
  }
  auto failure = from_admin(explained.failure());
  // The only thing that a caller can get wrong here is the id.
  if (failure.status == 400)
    failure.status = 404;
  co_await respond_error(out, failure);
}

task<void> post_explanation(gateway_context& context, const http_request& request,
                            const std::string&, exchange& out) {
  auto meta = meta_of(context, request);
  if (const auto* failure = std::get_if<api_error>(&meta)) {
    co_await respond_error(out, *failure);
    co_return;
  }
  const auto start
      = [&](auto reply) { context.port.explain(std::get<request_meta>(meta), std::move(reply)); };
  const auto explained = co_await explained_by(context, out, start);
  if (explained) {
    const auto body = to_json(*explained);
    co_await respond_json(out, 200, body);
    co_return;
  }
  auto failure = from_admin(explained.failure());
  failure.param = header_at_fault(failure.code);
  if (explained.failure().code == "model_not_found")
    failure.status = 404;
  co_await respond_error(out, failure);
}

namespace {

/// All of the past that was asked for, then what comes, until one side has enough.
task<void> tell_events(gateway_context& context, const std::shared_ptr<event_box>& box,
                       const std::vector<told_event>& past, exchange& out) {
  bool gone = false;
  out.on_gone([&gone, box](gone_reason) {
    gone = true;
    box->push(nullptr);
  });
  std::string text = ": connected\n\n";
  for (const auto& each : past)
    text += context.events->render(each);
  bool open = co_await out.write(text);
  bool told = false; // Of what it missed: that there was something, once.
  while (open && !gone) {
    const auto until = std::chrono::steady_clock::now()
                       + std::chrono::microseconds(context.config.limits.event_ping);
    text.clear();
    const auto arrived = co_await box->take(until);
    for (const auto& event : arrived)
      if (event)
        text += *event;
    if (box->overflowed() && !std::exchange(told, true))
      text += render_aside({core::note::severity::warning, "events",
                            "this stream was read too slowly: some are missing"});
    if (text.empty() && std::chrono::steady_clock::now() >= until)
      text = ": ping\n\n";
    open = co_await out.write(text);
  }
  out.on_gone(nullptr);
}

} // namespace

task<void> stream_events(gateway_context& context, const http_request& request, const std::string&,
                         exchange& out) {
  auto wanted = parse_event_query(request.query, request.header("last-event-id").value_or(""));
  if (!wanted) {
    const api_error bad{
        .status = 400, .code = "invalid_query", .message = wanted.failure().message};
    co_await respond_error(out, bad);
    co_return;
  }
  wanted->follow = wanted->follow && request.method != "HEAD";
  const auto box = std::make_shared<event_box>(out.executor(), limits::event_backlog_max, nullptr);
  const auto past = context.events->add(box, *wanted);
  if (!past) {
    const api_error full{.status = 429,
                         .code = "too_many_event_streams",
                         .message = "as many event streams are open as may be",
                         .retry_after_us = limits::second_us};
    co_await respond_error(out, full);
    co_return;
  }
  out.begin_stream({.content_type = "text/event-stream"});
  if (wanted->follow) {
    co_await tell_events(context, box, *past, out);
    context.events->remove(box);
  } else {
    std::string text;
    for (const auto& each : *past)
      text += context.events->render(each);
    co_await out.write(text);
  }
  box->close();
  co_await out.end_stream();
}

} // namespace consort::gateway
