// SPDX-License-Identifier: Apache-2.0
// `runtime` of plugin.json: a library behind the C ABI, or a model server.
#include "node/placeholders.hpp"
#include "node/plugin_json_parts.hpp"
#include "node/runtimes/server_http.hpp"
#include "node/server_spec.hpp"
#include "scheduler/token_prices.hpp"

#include <algorithm>

namespace consort::node {

namespace {

void read_library(json_section& section, runtime_rule& rule) {
  section.require("library", "the shared object's file name");
  rule.library = section.text("library");
  rule.stepwise = section.word("level", {"generate", "step"}, 0) == 1;
  if (const auto* config = section.find("config")) {
    if (config->is_object())
      rule.config_json = config->dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    else
      section.fail("config", "expected an object");
  }
  rule.threads = static_cast<std::uint32_t>(section.whole("threads", 0, 0, limits::threads_max));
}

void read_start_failures(json_file& file, json_section& section, server_spec& server) {
  const auto* list = section.find("failures");
  if (list == nullptr)
    return;
  if (!list->is_array() || list->size() > limits::runtime_failures_max)
    return section.fail("failures", "expected a list of at most "
                                        + std::to_string(limits::runtime_failures_max) + " rules");
  for (std::size_t at = 0; at < list->size(); ++at) {
    json_section inner(file, section.at("failures") + "/" + std::to_string(at), (*list)[at]);
    start_failure_rule one;
    read_failure(inner, one, {"rebuild", "elsewhere", "refuse", "later"});
    server.failures.push_back(std::move(one));
  }
}

std::string read_url(json_section& section, const std::string& name) {
  auto url = section.text(name);
  if (!url.empty())
    if (const auto address = parse_server_url(url); !address)
      section.fail(name, address.failure().message);
  return url;
}

std::string read_path(json_section& section, const std::string& name, std::string fallback) {
  auto path = section.text(name, std::move(fallback));
  const bool plain = path.starts_with('/') && std::all_of(path.begin(), path.end(), [](char c) {
                       return c > ' ' && c < 0x7f;
                     });
  if (!plain && !path.empty())
    section.fail(name, "expected a path such as /health");
  return path;
}

/// A path, or a path with how often and how patiently it is asked.
void read_ready(json_file& file, json_section& section, server_spec& server) {
  const auto* value = section.find("ready");
  if (value == nullptr || !value->is_object()) {
    server.ready = read_path(section, "ready", "/health");
    return;
  }
  json_section inner(file, section.at("ready"), *value);
  server.ready = read_path(inner, "path", "/health");
  server.alive = read_path(inner, "then", {});
  server.ready_every_us
      = inner.duration("every", limits::server_look_us, limits::server_answer_us_max);
  server.ready_timeout_us
      = inner.duration("timeout", limits::server_answer_us, limits::server_answer_us_max);
  inner.finish();
}

bool is_pointer(const std::string& text) {
  try {
    [[maybe_unused]] const nlohmann::json::json_pointer place(text);
    return true;
  } catch (const nlohmann::json::exception&) {
    return false;
  }
}

/// A name, `{"at", "label", "unit"}`, or a list of those.
std::vector<metric_source> read_sources(json_file& file, json_section& section,
                                        const std::string& name, bool by_pointer) {
  std::vector<metric_source> sources;
  const auto* value = section.find(name);
  if (value == nullptr)
    return sources;
  const auto one = [&](const std::string& pointer, const nlohmann::json& item) {
    metric_source source;
    if (item.is_string()) {
      source.at = item.get<std::string>();
    } else {
      json_section inner(file, pointer, item);
      inner.require("at", "the metric's name");
      source.at = inner.text("at");
      source.label = inner.text("label");
      source.divide = inner.word("unit", {"ratio", "%"}, 0) == 0 ? 1 : 100;
      inner.finish();
    }
    if (by_pointer && !is_pointer(source.at))
      file.fail(pointer, "expected a JSON pointer such as /numActiveRequests");
    sources.push_back(std::move(source));
  };
  const auto pointer = section.at(name);
  if (!value->is_array())
    one(pointer, *value);
  else if (value->empty() || value->size() > limits::server_figures_max)
    file.fail(pointer, "expected one to " + std::to_string(limits::server_figures_max) + " names");
  else
    for (std::size_t i = 0; i < value->size(); ++i)
      one(pointer + "/" + std::to_string(i), (*value)[i]);
  return sources;
}

void read_metrics(json_file& file, json_section& section, metrics_rule& rule) {
  const auto* object = section.find("metrics");
  if (object == nullptr)
    return;
  json_section inner(file, section.at("metrics"), *object);
  rule.path = read_path(inner, "path", "/metrics");
  rule.json = inner.word("format", {"prometheus", "json"}, 0) == 1;
  rule.every_us = inner.duration("every", limits::server_gauges_us, limits::server_silence_us_max);
  for (const auto* name : {"running", "waiting", "kv_used", "kv_tokens", "kv_blocks",
                           "kv_block_tokens", "kv_used_blocks"})
    if (auto sources = read_sources(file, inner, name, rule.json); !sources.empty())
      rule.figures[name] = std::move(sources);
  inner.finish();
}

void read_context(json_file& file, json_section& section, server_spec& server) {
  const auto* object = section.find("context");
  if (server.protocol == server_protocol::tgi)
    server.context = {"/info", "/max_total_tokens", "/max_input_tokens"};
  if (object == nullptr)
    return;
  json_section inner(file, section.at("context"), *object);
  inner.require("path", "where the server says it");
  inner.require("at", "where it stands in the answer");
  server.context.path = read_path(inner, "path", {});
  server.context.at = inner.text("at");
  server.context.prompt_at = inner.text("prompt_at");
  const auto bad = [](const std::string& at) { return !at.starts_with('/') || !is_pointer(at); };
  if (bad(server.context.at))
    inner.fail("at", "expected a JSON pointer such as /max_total_tokens");
  if (inner.has("prompt_at") && bad(server.context.prompt_at))
    inner.fail("prompt_at", "expected a JSON pointer such as /max_input_tokens");
  inner.finish();
}

void read_rates(json_file& file, json_section& section, server_spec& server) {
  if (const auto* object = section.find("rates")) {
    json_section inner(file, section.at("rates"), *object);
    server.rates.requests_per_min = inner.whole("requests_per_min", 0, 1, limits::rate_per_min_max);
    server.rates.tokens_per_min = inner.whole("tokens_per_min", 0, 1, limits::rate_per_min_max);
    inner.finish();
  }
  const auto* prices = section.find("prices");
  if (prices == nullptr)
    return;
  json_section models(file, section.at("prices"), *prices);
  if (!prices->is_object() || prices->size() > limits::server_prices_max)
    return section.fail("prices", "expected an object of at most "
                                      + std::to_string(limits::server_prices_max) + " models");
  for (const auto& [model, price] : prices->items()) {
    json_section inner(file, models.at(model), price);
    if (const auto wrong = objection_to_price_of(model))
      models.fail(model, *wrong);
    auto& one = server.prices[model];
    one.prompt_micros_per_mtok = inner.scaled("prompt", 0, 1e6);
    one.completion_micros_per_mtok = inner.scaled("completion", 0, 1e6);
    one.cached_micros_per_mtok = inner.scaled("cached", one.prompt_micros_per_mtok, 1e6);
    inner.finish();
  }
}

void read_container(json_file& file, json_section& section, server_spec& server) {
  const auto* object = section.find("container");
  if (object == nullptr)
    return;
  json_section inner(file, section.at("container"), *object);
  inner.require("image", "the image's name");
  container_rule rule;
  rule.engine = inner.word("engine", {"docker", "podman"}, 0) == 0 ? "docker" : "podman";
  rule.image = inner.text("image");
  if (!rule.image.empty() && !is_plain_word(rule.image))
    inner.fail("image", "expected a name such as registry/name:tag");
  rule.arguments = inner.texts("arguments");
  if (rule.arguments.size() > limits::container_arguments_max)
    inner.fail("arguments",
               "expected at most " + std::to_string(limits::container_arguments_max) + " of them");
  check_placeholders(inner, "arguments", rule.arguments, server_placeholders());
  rule.publish = inner.word("network", {"host", "publish"}, 0) == 1;
  rule.pull = inner.word("pull", {"missing", "never"}, 0) == 0;
  rule.pull_us_max = inner.duration("pull_timeout", limits::container_pull_us_default,
                                    limits::container_pull_us_max);
  inner.finish();
  server.container = std::move(rule);
}

std::vector<std::string> with(std::vector<std::string> names,
                              std::initializer_list<const char*> more) {
  names.insert(names.end(), more.begin(), more.end());
  return names;
}

void read_adapters(json_file& file, json_section& section, server_spec& server) {
  const auto* object = section.find("adapters");
  if (object == nullptr)
    return;
  json_section inner(file, section.at("adapters"), *object);
  server.adapters.arguments = inner.texts("arguments");
  server.adapters.each = inner.texts("each");
  server.adapters.model = inner.text("model", "{adapter}");
  check_placeholders(inner, "model", {server.adapters.model}, {"adapter", "name"});
  check_placeholders(inner, "arguments", server.adapters.arguments,
                     with(server_placeholders(), {"adapters", "adapter_rank"}));
  check_placeholders(inner, "each", server.adapters.each,
                     with(server_placeholders(), {"adapter", "adapter_path"}));
  if (server.adapters.each.empty())
    inner.fail("", "expected `each`: the words for one adapter");
  if (server.command.empty())
    section.fail("adapters", "only a server that `command` starts is told");
  inner.finish();
}

/// Whether `command` or `env` has this placeholder.
bool tells(const runtime_rule& rule, const char* placeholder) {
  const auto has = [&](const std::string& text) { return text.find(placeholder) != text.npos; };
  const auto& command = rule.server.command;
  return std::any_of(command.begin(), command.end(), has)
         || std::any_of(rule.env.begin(), rule.env.end(),
                        [&](const auto& one) { return has(one.second); });
}

/// A server that is not told its port listens where nobody looks, and never becomes ready.
void check_port(json_section& section, const runtime_rule& rule) {
  if (!rule.server.command.empty() && !tells(rule, "{port}"))
    section.fail("command", "expected `{port}` in it or in `env`: where the server must listen");
}

void read_cache(json_file& file, json_section& section, runtime_rule& rule) {
  const bool used = tells(rule, "{cache}");
  const auto* object = section.find("cache");
  if (used && object == nullptr)
    section.fail("", "`{cache}` needs `cache`");
  if (object == nullptr)
    return;
  json_section inner(file, section.at("cache"), *object);
  cache_rule cache;
  cache.version_command = inner.texts("version_command");
  check_placeholders(inner, "version_command", cache.version_command, {"plugin"});
  cache.bytes_max = inner.size("limit", limits::server_cache_bytes_default);
  inner.finish();
  if (!used)
    section.fail("cache", "expected `{cache}` in `command` or `env`: where the server keeps it");
  rule.server.cache_bytes_max = cache.bytes_max;
  rule.cache = std::move(cache);
}

/// Which of the protocol's routes it has.
void read_answers(json_section& section, server_spec& server) {
  if (!section.has("answers"))
    return;
  const auto names = section.texts("answers");
  const auto named
      = [&](const char* one) { return std::find(names.begin(), names.end(), one) != names.end(); };
  server.completions = named("completions");
  server.chats = named("chats");
  const auto known = static_cast<std::size_t>(server.completions) + (server.chats ? 1 : 0);
  if (known == 0 || known != names.size())
    section.fail("answers", "expected `completions`, `chats` or both, once each");
  else if (server.protocol != server_protocol::openai)
    section.fail("answers", "only of the protocol `openai`: the others have their own");
}

void read_server(json_file& file, json_section& section, runtime_rule& rule) {
  auto& server = rule.server;
  server.protocol
      = static_cast<server_protocol>(section.word("protocol", {"openai", "tgi", "mii"}, 0));
  server.command = section.texts("command");
  check_placeholders(section, "command", server.command, server_placeholders());
  server.url = read_url(section, "url");
  server.url_env = section.text("url_env");
  const bool attached = !server.url.empty() || !server.url_env.empty();
  if (server.command.empty() != attached)
    section.fail("", "expected either `command`, which starts a server, or `url` of one that runs");
  read_adapters(file, section, server);
  read_container(file, section, server);
  if (server.container && attached)
    section.fail("container", "there is no `command` to run in it");
  server.prefill_url = read_url(section, "prefill_url");
  server.prefill_url_env = section.text("prefill_url_env");
  server.encode_url = read_url(section, "encode_url");
  server.encode_url_env = section.text("encode_url_env");
  read_answers(section, server);
  server.base = read_path(section, "base", "/v1");
  read_ready(file, section, server);
  server.model = section.text("model");
  check_placeholders(section, "model", {server.model}, server_placeholders());
  server.key_env = section.text("key_env");
  server.key_optional = section.boolean("key_optional", false);
  read_metrics(file, section, server.metrics);
  read_context(file, section, server);
  read_rates(file, section, server);
  server.silence_us
      = section.duration("silence", limits::server_silence_us, limits::server_silence_us_max);
}

} // namespace

runtime_rule read_runtime(json_file& file, const std::string& pointer,
                          const nlohmann::json& object) {
  json_section section(file, pointer, object);
  runtime_rule rule;
  rule.present = true;
  section.require("interface", "c-abi or server");
  rule.interface = static_cast<runtime_interface>(
      section.word("interface", {"c-abi", "server"}, 0));
  if (rule.interface == runtime_interface::c_abi) {
    read_library(section, rule);
  } else {
    read_server(file, section, rule);
    read_start_failures(file, section, rule.server);
  }
  rule.start_timeout_us = section.duration("start_timeout", limits::runtime_start_us_default,
                                           limits::runtime_start_us_max);
  rule.memory_bytes = section.size("memory", 0);
  rule.env = section.text_map("env");
  if (rule.interface == runtime_interface::server) {
    for (const auto& [name, text] : rule.env)
      check_placeholders(section, "env", {text}, server_placeholders());
    check_port(section, rule);
    read_cache(file, section, rule);
  }
  section.finish();
  return rule;
}

} // namespace consort::node
