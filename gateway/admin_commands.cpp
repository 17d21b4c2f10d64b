// SPDX-License-Identifier: Apache-2.0
// What an operator asks for: checked here, decided by the scheduler.
#include "gateway/admin.hpp"
#include "gateway/admin_json.hpp"
#include "gateway/errors.hpp"
#include "gateway/json_text.hpp"
#include "gateway/log.hpp"
#include "gateway/openai_request.hpp"
#include "scheduler/compile_plan.hpp"
#include "scheduler/limits.hpp"
#include "scheduler/nearest_name.hpp"
#include "scheduler/units.hpp"

#include <boost/asio/post.hpp>

#include <algorithm>

namespace consort::gateway {

namespace {

/// Reads a flat object of strings. Returns: what is wrong with it.
std::optional<api_error> read_strings(const std::string& body,
                                      std::vector<std::pair<std::string, std::string*>> fields) {
  json from;
  if (auto failure = parse_json(body, from))
    return failure;
  if (!from.is_object())
    return bad_request("invalid_type", "the body must be a JSON object");
  for (const auto& [key, value] : from.items()) {
    const auto field = std::find_if(fields.begin(), fields.end(),
                                    [&](const auto& known) { return known.first == key; });
    if (field == fields.end())
      return bad_request("unknown_field", "`" + key + "` is not a known field", key);
    if (!value.is_string())
      return bad_request("invalid_type", "`" + key + "` must be a string", key);
    if (has_control(value.get_ref<const std::string&>()))
      return bad_request("invalid_value", "`" + key + "` must have no control characters", key);
    *field->second = value.get<std::string>();
  }
  return std::nullopt;
}

api_error missing_field(const std::string& field) {
  return bad_request("missing_field", "`" + field + "` is required", field);
}

/// It is in effect either way; `kept` only where it is known.
json taken_json(const admin_taken& said) {
  json body{{"accepted", true}};
  if (said.kept)
    body["kept"] = *said.kept;
  if (said.kept && !*said.kept)
    body["kept_error"] = said.kept_error;
  return body;
}

/// Passes it on. Returns: what the scheduler said of it; nothing once it has answered why not.
task<std::optional<json>> pass_on(gateway_context& context, exchange& out,
                                  const admin_request& wanted) {
  const auto start = [&](auto reply) { context.port.admin(wanted, std::move(reply)); };
  const auto reply = co_await await_answer<result<admin_taken>>(out, port_deadline(context), start);
  const auto said = reply.value_or(scheduler_silent());
  if (!said) {
    const auto failure = from_admin(said.failure());
    co_await respond_error(out, failure);
    co_return std::nullopt;
  }
  if (said->kept == false)
    log().error("in effect, but not kept over a restart: {}", said->kept_error);
  co_return taken_json(*said);
}

/// Passes it on and answers with what the scheduler said of it.
task<void> ask(gateway_context& context, exchange& out, const admin_request& wanted) {
  const auto body = co_await pass_on(context, out, wanted);
  if (body)
    co_await respond_json(out, 202, *body);
}

/// Off this thread: a file of many gigabytes is read whole.
task<result<model_spec>> describe(gateway_context& context, exchange& out,
                                  const model_spec& declared) {
  if (!context.config.describe)
    co_return error{recovery::refuse, "no_models_here",
                    "this gateway adds no models: ask the scheduler's own"};
  if (context.describing.exchange(true))
    co_return error{recovery::retry_later, "describing",
                    "the files of another model are being read; try again when that is done"};
  const auto start = [&](auto reply) {
    boost::asio::post(context.files, [&context, declared, reply] {
      auto described = context.config.describe(declared);
      context.describing = false;
      reply(std::move(described));
    });
  };
  const auto until = std::chrono::steady_clock::now()
                     + std::chrono::microseconds(context.config.limits.describe_time);
  const auto answer = co_await await_answer<result<model_spec>>(out, until, start);
  co_return answer.value_or(error{recovery::retry_later, "describing",
                                  "its files are still being read; add it again later"});
}

/// Whose a name is, and what it is there.
struct name_owner {
  const model_spec* model = nullptr; ///< Of the snapshot; null = the name is free.
  const char* part = nullptr;        ///< `an alias`, `an adapter`; null = it is the model's own.
};

/// Among models other than `but`.
name_owner owner_of(const core::snapshot& seen, const model_name& name, const model_name& but) {
  for (const auto& model : seen.models) {
    const auto& spec = model.spec;
    if (spec.name == but)
      continue;
    if (spec.name == name)
      return {&spec, nullptr};
    if (std::find(spec.aliases.begin(), spec.aliases.end(), name) != spec.aliases.end())
      return {&spec, "an alias"};
    for (const auto& variant : spec.variants)
      for (const auto& adapter : variant.adapters)
        if (adapter.name == name)
          return {&spec, "an adapter"};
  }
  return {};
}

/// Models, aliases and adapters have one space of names: a request must mean one of them. What the
/// scheduler would leave out of a declaration is said to who declares it.
std::optional<api_error> name_conflict(const core::snapshot& seen, const model_spec& wanted) {
  std::vector<std::pair<const char*, model_name>> names{{"name", wanted.name}};
  for (const auto& alias : wanted.aliases)
    names.emplace_back("aliases", alias);
  if (!wanted.variants.empty())
    for (const auto& adapter : wanted.variants.front().adapters)
      names.emplace_back("adapters", adapter.name);
  for (auto one = names.begin(); one != names.end(); ++one) {
    const auto& [field, name] = *one;
    const auto owner = owner_of(seen, name, wanted.name);
    std::string why;
    if (std::any_of(names.begin(), one, [&](const auto& other) { return other.second == name; }))
      why = "is named twice";
    else if (owner.part != nullptr)
      why = std::string("is ") + owner.part + " of `" + owner.model->name.value + "` already";
    else if (owner.model != nullptr)
      why = "is a model already";
    if (!why.empty())
      return bad_request("name_taken", "`" + std::string(field) + "`: `" + name.value + "` " + why,
                         field);
  }
  return std::nullopt;
}

/// As a configuration file's.
std::optional<api_error> impossible_bounds(const model_spec& wanted) {
  const auto devices_max = core::limits::devices_per_instance_max;
  if (wanted.replicas_max != 0 && wanted.replicas_min > wanted.replicas_max)
    return bad_request("invalid_value", "`replicas_min` must not be above `replicas_max`",
                       "replicas_min");
  if (wanted.devices_per_instance == 0 || wanted.devices_per_instance > devices_max)
    return bad_request("invalid_value",
                       "`devices_per_instance` must be between 1 and "
                           + std::to_string(devices_max),
                       "devices_per_instance");
  return std::nullopt;
}

/// Which policies there are only the scheduler knows: it is asked what it would do with a request
/// by that one.
task<std::optional<api_error>> unknown_policy(gateway_context& context, exchange& out,
                                              const model_spec& wanted) {
  if (wanted.policy.empty())
    co_return std::nullopt;
  request_meta meta;
  meta.id = {gateway_id{1}, 1};
  meta.model = wanted.name;
  meta.policy = wanted.policy;
  const auto start = [&](auto reply) { context.port.explain(meta, std::move(reply)); };
  const auto told
      = co_await await_answer<result<core::explanation>>(out, port_deadline(context), start);
  if (!told)
    co_return from_admin(scheduler_silent());
  if (*told || told->failure().code != "policy_not_found")
    co_return std::nullopt;
  auto failure = from_admin(told->failure());
  failure.param = "policy";
  co_return failure;
}

/// Parts are taken out by declaring their model without them; who names one does not mean the whole
/// model, and all else that it serves.
std::optional<api_error> only_a_part(const core::snapshot& seen, const model_name& name) {
  const auto owner = owner_of(seen, name, {});
  if (owner.part == nullptr)
    return std::nullopt;
  const auto& whole = owner.model->name.value;
  return bad_request("part_of_model", "`" + name.value + "` is " + owner.part + " of `" + whole
                                          + "`, and nothing was removed: declare that model again "
                                            "without it (`consort model add "
                                          + whole
                                          + " ...`), or remove all of it (`consort model rm "
                                          + whole + "`)");
}

/// The sources of the model that a declaration takes the place of; nothing when the name is free.
std::optional<json> replaced_sources(const core::snapshot& seen, const model_name& name) {
  const auto known = owner_of(seen, name, {});
  if (known.model == nullptr)
    return std::nullopt;
  auto sources = json::array();
  for (const auto& variant : known.model->variants)
    sources.push_back(variant.source);
  return sources;
}

/// What is wrong with the file is no fault of the request's form.
api_error from_description(const error& failure) {
  auto out = from_admin(failure);
  for (const auto* code : {"bad_model", "model_changed", "source_unsupported", "no_models_here",
                           "weights_missing", "weights_ambiguous", "weights_denied",
                           "weights_refused", "weights_undigested", "bad_url", "bad_adapter"})
    if (failure.code == code)
      out.status = 422;
  return out;
}

/// Reads what to build for what, and what that comes to. Returns: nothing once it has answered why
/// not.
task<std::optional<std::vector<core::planned_build>>> plan_builds(gateway_context& context,
                                                                  const http_request& request,
                                                                  exchange& out,
                                                                  core::compile_requested& wanted) {
  auto failure
      = read_strings(request.body, {{"model", &wanted.model.value}, {"for", &wanted.selector}});
  if (!failure && wanted.model.empty())
    failure = missing_field("model");
  if (!failure && wanted.selector.empty())
    failure = missing_field("for");
  if (!failure) {
    const auto seen = co_await take_snapshot(context, out);
    auto plans = seen ? core::plan_compile(*seen, wanted.model, wanted.selector)
                      : result<std::vector<core::planned_build>>(seen.failure());
    if (plans)
      co_return *std::move(plans);
    failure = from_admin(plans.failure());
    if (plans.failure().code == "model_unknown")
      failure->status = 404;
    if (plans.failure().code == "nothing_selected")
      failure->status = 422;
  }
  co_await respond_error(out, *failure);
  co_return std::nullopt;
}

/// A step for people and programs, of the decision that it is.
json step_json(const core::decision_view& step) {
  return {{"action", step.outcome}, {"where", step.winner.value}, {"detail", step.reason}};
}

enum class drain_order : std::uint8_t { drain, undrain, cordon, uncordon };

/// Only a drain has a deadline.
std::optional<api_error> read_drain(const std::string& body, drain_order order,
                                    core::drain_changed& wanted) {
  wanted.draining = order == drain_order::drain || order == drain_order::cordon;
  if (order != drain_order::uncordon) // Which lifts both.
    wanted.kind = order == drain_order::cordon ? core::hold_kind::cordon : core::hold_kind::drain;
  std::string deadline;
  std::vector<std::pair<std::string, std::string*>> fields{{"target", &wanted.target},
                                                           {"reason", &wanted.reason}};
  if (order == drain_order::drain)
    fields.emplace_back("deadline", &deadline);
  if (auto failure = read_strings(body, fields))
    return failure;
  if (wanted.target.empty())
    return missing_field("target");
  if (deadline.empty())
    return std::nullopt;
  const auto after = parse_duration(deadline);
  if (!after || *after < 0)
    return bad_request("invalid_value", "`deadline` must be a duration such as 2m", "deadline");
  wanted.move_after_us = std::max<duration_us>(*after, 1); // At once is not never.
  return std::nullopt;
}

/// A typing error would be told as done. Only who holds is asked: what was kept of a target that is
/// not here may be lifted all the same.
std::optional<api_error> unknown_target(const core::snapshot& seen, const std::string& wanted) {
  std::vector<std::string> known;
  for (const auto& node : seen.nodes)
    known.push_back(node.node.value);
  for (const auto& device : seen.devices)
    known.push_back(device.spec.id.value);
  if (std::find(known.begin(), known.end(), wanted) != known.end())
    return std::nullopt;
  return api_error{.status = 404,
                   .code = "unknown_target",
                   .message = "no such node or device: `"
                              + cut_text(wanted, limits::model_name_bytes_max) + "`"
                              + did_you_mean(wanted, known),
                   .param = "target"};
}

task<void> change_drain(gateway_context& context, const http_request& request, exchange& out,
                        drain_order order) {
  core::drain_changed wanted;
  auto failure = read_drain(request.body, order, wanted);
  if (!failure && wanted.draining) {
    const auto seen = co_await take_snapshot(context, out);
    failure = seen ? unknown_target(*seen, wanted.target) : from_admin(seen.failure());
  }
  if (failure) {
    co_await respond_error(out, *failure);
    co_return;
  }
  log().info("{} {}: {}", request.path, wanted.target, wanted.reason);
  const admin_request asked = std::move(wanted);
  co_await ask(context, out, asked);
}

} // namespace

task<void> post_drain(gateway_context& context, const http_request& request, const std::string&,
                      exchange& out) {
  co_await change_drain(context, request, out, drain_order::drain);
}

task<void> post_undrain(gateway_context& context, const http_request& request, const std::string&,
                        exchange& out) {
  co_await change_drain(context, request, out, drain_order::undrain);
}

task<void> post_cordon(gateway_context& context, const http_request& request, const std::string&,
                       exchange& out) {
  co_await change_drain(context, request, out, drain_order::cordon);
}

task<void> post_uncordon(gateway_context& context, const http_request& request, const std::string&,
                         exchange& out) {
  co_await change_drain(context, request, out, drain_order::uncordon);
}

task<void> post_reload(gateway_context& context, const http_request& request, const std::string&,
                       exchange& out) {
  node_id node;
  std::string timeout;
  auto failure = read_strings(request.body, {{"node", &node.value}, {"timeout", &timeout}});
  const auto span
      = timeout.empty() ? std::optional(limits::reload_time_us) : parse_duration(timeout);
  if (!failure && (!span || *span <= 0 || *span > limits::reload_time_us_max))
    failure
        = bad_request("invalid_value", "`timeout` must be a duration of at most 10m", "timeout");
  if (failure) {
    co_await respond_error(out, *failure);
    co_return;
  }
  log().info("reload of plugins: {}", node.empty() ? "every node" : node.value);
  const auto start
      = [&](auto reply) { context.port.reload_plugins(node, *span, std::move(reply)); };
  const auto until = port_deadline(context) + std::chrono::microseconds(*span);
  auto answer = co_await await_answer<result<reload_reports>>(out, until, start);
  const auto told = answer ? std::move(*answer) : result<reload_reports>(scheduler_silent());
  if (!told) {
    const auto refused = from_admin(told.failure());
    co_await respond_error(out, refused);
    co_return;
  }
  json body{{"nodes", json::array()}};
  for (const auto& one : *told)
    body["nodes"].push_back(to_json(one));
  co_await respond_json(out, 200, body);
}

task<void> post_plan(gateway_context& context, const http_request& request, const std::string&,
                     exchange& out) {
  core::plan_wish wish;
  auto failure = read_strings(
      request.body,
      {{"model", &wish.model.value}, {"for", &wish.selector}, {"drain", &wish.drain}});
  if (!failure && wish.model.empty() && wish.drain.empty())
    failure = missing_field("model");
  if (!failure && !wish.drain.empty() && !(wish.model.empty() && wish.selector.empty()))
    failure = bad_request("invalid_value", "say one of the two: `model`, with `for`, or `drain`",
                          "drain");
  if (failure) {
    co_await respond_error(out, *failure);
    co_return;
  }
  const auto start = [&](auto reply) { context.port.plan(wish, std::move(reply)); };
  auto answer
      = co_await await_answer<result<core::explanation>>(out, port_deadline(context), start);
  const auto planned = answer ? std::move(*answer) : result<core::explanation>(scheduler_silent());
  if (!planned) {
    const auto refused = from_admin(planned.failure());
    co_await respond_error(out, refused);
    co_return;
  }
  json body{{"steps", json::array()}};
  for (const auto& step : planned->decisions)
    body["steps"].push_back(step_json(step));
  co_await respond_json(out, 200, body);
}

task<void> post_model(gateway_context& context, const http_request& request, const std::string&,
                      exchange& out) {
  json from;
  if (const auto failure = parse_json(request.body, from)) {
    co_await respond_error(out, *failure);
    co_return;
  }
  auto spec = model_spec_from_json(from);
  if (!spec) {
    const auto failure = from_admin(spec.failure());
    co_await respond_error(out, failure);
    co_return;
  }
  if (const auto failure = impossible_bounds(*spec)) {
    co_await respond_error(out, *failure);
    co_return;
  }
  if (const auto failure = co_await unknown_policy(context, out, *spec)) {
    co_await respond_error(out, *failure);
    co_return;
  }
  const auto described = co_await describe(context, out, *spec);
  if (!described) {
    log().warn("model {} refused: {}", spec->name.value, described.failure().message);
    const auto failure = from_description(described.failure());
    co_await respond_error(out, failure);
    co_return;
  }
  const auto seen = co_await take_snapshot(context, out);
  const auto taken = seen ? name_conflict(*seen, *described) : from_admin(seen.failure());
  if (taken) {
    log().warn("model {} refused: {}", described->name.value, taken->message);
    co_await respond_error(out, *taken);
    co_return;
  }
  log().info("model {} declared", described->name.value);
  const auto replaced = replaced_sources(*seen, described->name);
  const admin_request wanted = core::model_declared{*described};
  auto body = co_await pass_on(context, out, wanted);
  if (!body)
    co_return;
  if (replaced)
    (*body)["replaced"] = *replaced;
  co_await respond_json(out, 202, *body);
}

task<void> delete_model(gateway_context& context, const http_request&, const std::string& rest,
                        exchange& out) {
  const auto seen = co_await take_snapshot(context, out);
  const auto refused = seen ? only_a_part(*seen, model_name(rest)) : from_admin(seen.failure());
  if (refused) {
    log().warn("model {} not removed: {}", rest, refused->message);
    co_await respond_error(out, *refused);
    co_return;
  }
  log().info("model {} removed", rest);
  const admin_request wanted = core::model_removed{model_name(rest)};
  co_await ask(context, out, wanted);
}

task<void> post_compile(gateway_context& context, const http_request& request, const std::string&,
                        exchange& out) {
  core::compile_requested wanted;
  const auto plans = co_await plan_builds(context, request, out, wanted);
  if (!plans)
    co_return;
  const bool any = std::any_of(plans->begin(), plans->end(), [](const auto& one) {
    return one.profile != build_profile{}; // Who has the compiler may be away now.
  });
  if (!any) {
    const api_error nothing{.status = 422,
                            .code = "nothing_to_build",
                            .message = "nothing can be built for " + plans->front().device.value
                                       + ": " + plans->front().detail};
    co_await respond_error(out, nothing);
    co_return;
  }
  const admin_request asked = std::move(wanted);
  co_await ask(context, out, asked);
}

task<void> post_compile_plan(gateway_context& context, const http_request& request,
                             const std::string&, exchange& out) {
  core::compile_requested wanted;
  const auto plans = co_await plan_builds(context, request, out, wanted);
  if (!plans)
    co_return;
  auto list = json::array();
  for (const auto& one : *plans)
    list.push_back({{"device", one.device.value},
                    {"state", one.state},
                    {"profile", one.profile.name},
                    {"compiler", one.profile.compiler},
                    {"compiler_version", one.profile.compiler_version},
                    {"target", one.profile.target},
                    {"node", one.where.value},
                    {"detail", one.detail}});
  const json body{{"builds", std::move(list)}};
  co_await respond_json(out, 200, body);
}

} // namespace consort::gateway
