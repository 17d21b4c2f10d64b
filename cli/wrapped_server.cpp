// SPDX-License-Identifier: Apache-2.0
#include "cli/wrapped_server.hpp"

#include "cli/api.hpp"
#include "cli/shell_word.hpp"
#include "cli/table.hpp"
#include "cli/transport.hpp"
#include "scheduler/served_name.hpp"

#include <algorithm>
#include <optional>
#include <set>

namespace consort::cli {

namespace {

constexpr auto look_time = std::chrono::seconds(3);

/// A name that the source `server:NAME` and a format can have: `*` would stand for others.
bool can_be_declared(const std::string& name) {
  return !name.empty() && name.size() <= served_name_bytes_max
         && std::none_of(name.begin(), name.end(),
                         [](char c) { return (c >= 0 && c < ' ') || c == 0x7f || c == '*'; });
}

int status_of(const std::string& url, const std::string& path) {
  const auto answer = http_client(url, "").call({"GET", path, "", {}}, look_time);
  return answer ? answer->status : 0;
}

/// What `GET path` lists, as OpenAI's protocol has it. Errors: those of the transport.
result<std::vector<std::string>> models_at(const std::string& url, const std::string& path) {
  const auto answer = http_client(url, "").call({"GET", path, "", {}}, look_time);
  if (!answer)
    return answer.failure();
  std::vector<std::string> models;
  std::string refused;
  const auto body = json::parse(answer->body, nullptr, false);
  if (answer->status != 200 || !body.is_object() || !body.contains("data")
      || !body["data"].is_array())
    return models;
  for (const auto& one : body["data"])
    if (one.is_object() && one.contains("id") && one["id"].is_string()) {
      auto id = one["id"].get<std::string>();
      if (!can_be_declared(id))
        refused = std::move(id);
      else if (models.size() < wrapped_models_max)
        models.push_back(std::move(id));
    }
  // It serves, and waiting makes its names no better.
  if (models.empty() && !refused.empty())
    return error{recovery::refuse, bad_model_name,
                 url + " serves no model that can be declared: of `"
                     + printable(refused.substr(0, served_name_bytes_max))
                     + "`, as of any, at most " + std::to_string(served_name_bytes_max)
                     + " bytes without control characters and `*` are taken; give it another name "
                       "there"};
  return models;
}

/// The model of a server that speaks TGI's protocol; empty when it does not.
std::string model_by_tgi(const std::string& url) {
  const auto answer = http_client(url, "").call({"GET", "/info", "", {}}, look_time);
  if (!answer || answer->status != 200)
    return {};
  const auto body = json::parse(answer->body, nullptr, false);
  if (!body.is_object() || !body.contains("model_id") || !body["model_id"].is_string())
    return {};
  auto name = body["model_id"].get<std::string>();
  return can_be_declared(name) ? name : std::string();
}

void cut_end(std::string& text, std::string_view end) {
  while (text.ends_with('/'))
    text.pop_back();
  if (text.ends_with(end))
    text.resize(text.size() - end.size());
}

/// Where a path of the address begins; its end when there is none.
std::size_t path_begins(const std::string& url) {
  const auto scheme = url.find("://");
  return std::min(url.find('/', scheme == std::string::npos ? 0 : scheme + 3), url.size());
}

std::string model_list(const wrapped_server& server) {
  return (server.base.empty() ? "/v1" : server.base) + "/models";
}

void find_ready(wrapped_server& server) {
  for (const auto& path : {std::string("/health"), std::string("/healthz"), model_list(server)})
    if (status_of(server.url, path) == 200) {
      server.ready = path;
      return;
    }
}

/// As OpenAI's protocol has it: below /v1, else below the path that was given. Returns: whether
/// anything is listed there.
result<bool> speaks_openai(wrapped_server& server) {
  auto listed = models_at(server.url, "/v1/models");
  if (!listed)
    return listed.failure();
  if (const auto path = path_begins(server.url); listed->empty() && path < server.url.size()) {
    listed = models_at(server.url, "/models");
    if (listed && !listed->empty()) {
      server.base = server.url.substr(path);
      server.url.resize(path);
    }
  }
  if (!listed && listed.failure().code == bad_model_name)
    return listed.failure();
  if (!listed || listed->empty())
    return false;
  server.models = *std::move(listed);
  return true;
}

} // namespace

result<wrapped_server> look_at_server(const std::string& given) {
  // What is before an @ is a secret: it is neither shown nor written into a file.
  if (given.substr(0, path_begins(given)).find('@') != std::string::npos)
    return usage_error("the address must not hold a user's name or password, which are not sent: "
                       "put a key into an environment variable, and name that as `key_env` of "
                       "`runtime` in the plugin.json");
  wrapped_server out;
  out.url = given;
  cut_end(out.url, "/models");
  cut_end(out.url, "/v1");
  if (const auto target = parse_url(out.url); !target)
    return given.find('@') == std::string::npos
               ? target.failure()
               : usage_error("--from-url wants http://HOST:PORT, with nothing secret in it");
  const auto openai = speaks_openai(out);
  if (!openai && openai.failure().code == "unreachable")
    return error{recovery::retry_later, "unreachable",
                 "nothing answers at " + out.url + ": is the model server running there?"};
  if (!openai)
    return openai.failure();
  if (!*openai) {
    const auto model = model_by_tgi(out.url);
    if (model.empty())
      return error{recovery::refuse, "failed",
                   out.url
                       + " lists no models at /v1/models, nor at /models, and no model_id at "
                         "/info: it speaks neither OpenAI's protocol nor TGI's"};
    out.protocol = "tgi";
    out.models = {model};
  }
  find_ready(out);
  if (out.ready.empty()) // It said so a moment ago.
    out.ready = out.protocol == "tgi" ? "/info" : model_list(out);
  return out;
}

std::string declaring_commands(const wrapped_server& server) {
  std::string out;
  std::set<std::string> taken;
  for (const auto& model : server.models) {
    const auto derived = derived_name(model);
    auto name = derived;
    // A second declaration of a name would take the place of the first.
    for (int more = 2; !taken.insert(name).second; ++more)
      name = derived + "-" + std::to_string(more);
    out += "  consort model add " + shell_word(name) + " " + shell_word("server:" + model) + "\n";
  }
  return out;
}

} // namespace consort::cli
