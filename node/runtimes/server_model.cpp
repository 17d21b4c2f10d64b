// SPDX-License-Identifier: Apache-2.0
// What a server link does about the model that its server serves: what it is called there, and
// how long a request may be.
#include "node/model_files.hpp"
#include "node/placeholders.hpp"
#include "node/runtimes/key_mask.hpp"
#include "node/runtimes/server_errors.hpp"
#include "node/runtimes/server_link.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <set>

namespace consort::node {

namespace {

/// A whole number behind a pointer; 0 when there is none.
std::uint32_t whole_behind(const nlohmann::json& body, const std::string& pointer) {
  const nlohmann::json::json_pointer at(pointer);
  if (at.empty() || !body.is_structured() || !body.contains(at.parent_pointer())
      || !body.at(at.parent_pointer()).is_object())
    return 0;
  return whole_at(body.at(at.parent_pointer()), at.back().c_str());
}

} // namespace

bool server_link::tells(const char* placeholder) const {
  const auto has
      = [&](const std::string& text) { return text.find(placeholder) != std::string::npos; };
  return std::any_of(spec_->command.begin(), spec_->command.end(), has)
         || std::any_of(spec_->env.begin(), spec_->env.end(),
                        [&](const auto& one) { return has(one.second); });
}

/// What the server calls the model: as the plugin says; else NAME of `server:NAME`, unless it was
/// told our own name for it at its start.
std::string server_link::name_there() const {
  if (!spec_->model.empty())
    return replace_placeholders(spec_->model, values());
  const auto there = name_at_server(wanted_.variant.source);
  return there && !tells("{name}") ? *there : wanted_.model.value;
}

/// Of a path of the protocol, or of the server's own. Returns: nothing where it does not answer.
links::task<std::string> server_link::fetch(const std::string& path, std::size_t bytes_max) {
  asking_ = std::make_unique<server_http>(strand_, at_);
  const std::string there = asking_->api(path), nothing;
  const auto status = co_await asking_->ask(there, nothing, limits::server_answer_us);
  std::string text;
  if (status && *status == 200)
    text = co_await asking_->read_text(bytes_max, limits::server_answer_us);
  asking_.reset();
  co_return text;
}

/// The least that is known of each counts.
void server_link::note_context(std::uint32_t tokens, std::uint32_t prompt_tokens) {
  const auto note = [](std::uint32_t& known, std::uint32_t told) {
    if (told > 0)
      known = known > 0 ? std::min(known, told) : told;
  };
  note(capabilities_.context_tokens, tokens);
  note(capabilities_.prompt_tokens, prompt_tokens);
}

/// A server that does not say how long a request may be may have any context.
links::task<void> server_link::learn_context() {
  const auto& rule = spec_->context;
  if (rule.path.empty())
    co_return;
  const auto text = co_await fetch(rule.path, limits::server_metrics_bytes_max);
  const auto body = read_server_json(text);
  note_context(whole_behind(body, rule.at), whole_behind(body, rule.prompt_at));
}

/// Checks the name against the server's list when it has one.
links::task<result<done>> server_link::settle_name() {
  model_ = name_there();
  const std::string path = "/v1/models";
  const auto text = co_await fetch(path, limits::server_refusal_bytes_max);
  const auto body = read_server_json(text);
  if (!body.is_object() || !body.contains("data") || !body["data"].is_array())
    co_return done{};
  std::string listed, only;
  std::set<std::string> known_there;
  std::map<std::string, std::pair<std::uint32_t, std::uint32_t>> contexts; // And of prompts.
  for (const auto& one : body["data"]) {
    if (!one.is_object() || !one.contains("id") || !one["id"].is_string())
      continue;
    only = one["id"].get<std::string>();
    known_there.insert(only);
    // As vLLM and SGLang have it, or furiosa-llm.
    auto& [context, prompt] = contexts[only];
    for (const auto* name : {"max_model_len", "max_context_len"})
      context = std::max(context, whole_at(one, name));
    prompt = std::max(prompt, whole_at(one, "max_prompt_len"));
    listed += (listed.empty() ? "" : ", ") + only;
  }
  // A server of our own serves what it was given, whatever it calls it.
  if (!known_there.contains(model_) && body["data"].size() == 1 && !listed.empty() && process_
      && spec_->model.empty())
    model_ = only;
  if (const auto told = contexts.find(model_); told != contexts.end())
    note_context(told->second.first, told->second.second);
  auto missing = known_there.contains(model_) ? std::string() : model_;
  for (const auto& [adapter, name] : adapters_)
    if (missing.empty() && !known_there.contains(name) && !known_there.contains(adapter))
      missing = name;
  if (missing.empty())
    co_return done{};
  listed = without_key(std::move(listed), at_.key);
  listed = server_message(std::string_view(listed)); // Printable, and not too long.
  co_return error{recovery::retry_elsewhere, "server_model",
                  wanted_.device.id.value + ": the model server serves "
                      + (listed.empty() ? "nothing" : listed) + ", not " + missing};
}

} // namespace consort::node
