// SPDX-License-Identifier: Apache-2.0
// What a server link does about the model that its server serves: what it is called there.
#include "node/model_files.hpp"
#include "node/placeholders.hpp"
#include "node/runtimes/server_errors.hpp"
#include "node/runtimes/server_link.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <set>

namespace consort::node {

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

/// Checks the name against the server's list when it has one.
links::task<result<done>> server_link::settle_name() {
  model_ = name_there();
  asking_ = std::make_unique<server_http>(strand_, at_);
  const std::string path = asking_->api("/v1/models"), nothing;
  const auto status = co_await asking_->ask(path, nothing, limits::server_answer_us);
  std::string text;
  if (status && *status == 200)
    text = co_await asking_->read_text(limits::server_refusal_bytes_max, limits::server_answer_us);
  asking_.reset();
  const auto body = read_server_json(text);
  if (!body.is_object() || !body.contains("data") || !body["data"].is_array())
    co_return done{};
  std::string listed, only;
  std::set<std::string> known_there;
  for (const auto& one : body["data"]) {
    if (!one.is_object() || !one.contains("id") || !one["id"].is_string())
      continue;
    only = one["id"].get<std::string>();
    known_there.insert(only);
    listed += (listed.empty() ? "" : ", ") + only;
  }
  // A server of our own serves what it was given, whatever it calls it.
  if (!known_there.contains(model_) && body["data"].size() == 1 && !listed.empty() && process_
      && spec_->model.empty())
    model_ = only;
  auto missing = known_there.contains(model_) ? std::string() : model_;
  for (const auto& [adapter, name] : adapters_)
    if (missing.empty() && !known_there.contains(name) && !known_there.contains(adapter))
      missing = name;
  if (missing.empty())
    co_return done{};
  listed = server_message(std::string_view(listed)); // Printable, and not too long.
  co_return error{recovery::retry_elsewhere, "server_model",
                  wanted_.device.id.value + ": the model server serves "
                      + (listed.empty() ? "nothing" : listed) + ", not " + missing};
}

} // namespace consort::node
