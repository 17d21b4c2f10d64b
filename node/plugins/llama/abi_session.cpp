// SPDX-License-Identifier: Apache-2.0
#include "node/plugins/llama/abi_session.hpp"

#include "node/plugins/llama/json_fields.hpp"

#include <algorithm>
#include <cstring>

namespace consort::llama {
namespace {

int status_of(const error& why) {
  if (why.code == "bad_model")
    return CONSORT_BAD_MODEL;
  switch (why.action) {
  case recovery::refuse: return CONSORT_REFUSED;
  case recovery::retry_later: return CONSORT_BUSY;
  default: return CONSORT_FAILED;
  }
}

/// One line, terminated, cut at a character.
void put_message(std::string text, char* out, std::size_t capacity) {
  if (out == nullptr || capacity == 0)
    return;
  std::replace(text.begin(), text.end(), '\n', ' ');
  std::size_t bytes = std::min(text.size(), capacity - 1);
  while (bytes > 0 && bytes < text.size()
         && (static_cast<unsigned char>(text[bytes]) & 0xC0U) == 0x80U)
    --bytes;
  std::memcpy(out, text.data(), bytes);
  out[bytes] = '\0';
}

/// `[{"name", "path"}]`.
void read_adapters(json_fields& fields, engine_options& into) {
  const auto text_at = [](const nlohmann::json& one, const char* name) {
    return one.is_object() && one.contains(name) && one[name].is_string()
               ? one[name].get<std::string>()
               : std::string();
  };
  const auto* adapters = fields.find("adapters");
  if (adapters == nullptr || !adapters->is_array())
    return;
  for (const auto& one : *adapters) {
    into.adapters.push_back({text_at(one, "name"), text_at(one, "path")});
    if (into.adapters.back().name.empty() || into.adapters.back().path.empty())
      fields.fail(invalid("'adapters' holds something without 'name' and 'path'"));
  }
}

} // namespace

int report_failure(const error& why, char* out, std::size_t capacity) {
  put_message(why.message, out, capacity);
  return status_of(why);
}

result<open_config> read_config(const char* text) {
  const std::string_view given = text == nullptr ? std::string_view("{}") : text;
  if (given.size() > limits::config_bytes_max)
    return invalid("the configuration is larger than " + std::to_string(limits::config_bytes_max)
                   + " bytes");
  auto parsed = parse_object(given, "the configuration");
  if (!parsed)
    return parsed.failure();
  json_fields fields(*parsed);
  open_config config;
  const auto count = [&](const char* name, std::uint32_t otherwise, std::uint32_t most) {
    return static_cast<std::uint32_t>(fields.integer(name, otherwise, 0, most));
  };
  config.engine.model_path = fields.string("model", "");
  config.engine.context_tokens = count("context", 0, limits::context_tokens_max);
  config.engine.sequences = count("sequences", limits::sequences_default, limits::sequences_max);
  config.engine.threads = count("threads", 1, limits::threads_max);
  config.engine.backend_dir = fields.string("backend_dir", "");
  read_adapters(fields, config.engine);
  if (config.engine.sequences == 0)
    config.engine.sequences = limits::sequences_default;
  if (const nlohmann::json* device = fields.find("device"))
    config.device = device->is_string() ? device->get<std::string>() : device->dump();
  if (!fields.fault() && config.engine.model_path.empty())
    fields.fail(invalid("'model' is missing: the path of the model to load"));
  if (fields.fault())
    return *fields.fault();
  config.json = std::move(*parsed);
  return config;
}

namespace {

void close_session(consort_session* session) {
  delete session;
}

int submit_request(consort_session* session, const consort_request* request, char* message,
                   std::size_t message_bytes) {
  if (session == nullptr || request == nullptr || request->json == nullptr)
    return report_failure(invalid("no session, request or body"), message, message_bytes);
  if (request->size < sizeof(consort_request))
    return report_failure(invalid("the request comes from an older ABI"), message, message_bytes);
  if (session->engine == nullptr)
    return report_failure(invalid("this rank takes no requests: its leader does"), message,
                          message_bytes);
  const auto submitted = session->engine->submit(*request);
  return submitted ? CONSORT_OK : report_failure(submitted.failure(), message, message_bytes);
}

void cancel_request(consort_session* session, std::uint64_t request) {
  if (session->engine != nullptr)
    session->engine->cancel(request);
}

std::size_t write_stats(consort_session* session, char* json, std::size_t json_bytes) {
  const std::string text = session->engine == nullptr ? "{}" : stats_json(*session->engine);
  if (json != nullptr && json_bytes > text.size())
    std::memcpy(json, text.c_str(), text.size() + 1);
  return text.size() + 1;
}

} // namespace

int open_session(const char* config_json, const consort_sink* sink, consort_session** out,
                 char* message, std::size_t message_bytes, opener make) {
  if (out == nullptr || sink == nullptr || sink->emit == nullptr)
    return report_failure(invalid("no sink or no place for the session"), message, message_bytes);
  *out = nullptr;
  auto config = read_config(config_json);
  if (!config)
    return report_failure(config.failure(), message, message_bytes);
  auto opened = make(*config, *sink);
  if (!opened)
    return report_failure(opened.failure(), message, message_bytes);
  *out = opened->release();
  return CONSORT_OK;
}

consort_runtime_table make_table(const char* name, const char* version,
                                 decltype(consort_runtime_table::open) open) {
  consort_runtime_table table{};
  table.size = sizeof table;
  table.abi = CONSORT_ABI;
  table.name = name;
  table.version = version;
  table.open = open;
  table.close = close_session;
  table.submit = submit_request;
  table.cancel = cancel_request;
  table.stats = write_stats;
  return table;
}

std::string stats_json(const session& engine) {
  const engine_counters& now = engine.counters();
  return nlohmann::json{
      {"sequences_max", engine.sequences()},
      {"kv_tokens_max", std::uint64_t{engine.sequences()} * engine.context_tokens()},
      {"context_max", engine.context_tokens()},
      {"sequences_running", now.sequences_running.load()},
      {"requests_waiting", now.requests_waiting.load()},
      {"kv_tokens_used", now.kv_tokens_used.load()},
      {"tokens_generated_total", now.tokens_generated_total.load()},
      {"prompt_tokens_total", now.prompt_tokens_total.load()},
      {"steps_total", now.steps_total.load()},
      {"cancelled_total", now.cancelled_total.load()}}
      .dump();
}

} // namespace consort::llama
