// SPDX-License-Identifier: Apache-2.0
#include "cli/wrapped_server.hpp"

#include "cli/api.hpp"
#include "cli/shell_word.hpp"
#include "cli/table.hpp"
#include "node/runtimes/key_mask.hpp"
#include "node/runtimes/server_http.hpp"
#include "scheduler/served_name.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/this_coro.hpp>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <optional>
#include <set>

namespace consort::cli {

namespace {

constexpr std::size_t key_env_bytes_max = 128;
constexpr std::size_t location_bytes_max = 200; ///< Of a redirect's, for people.
constexpr duration_us look_us = 3'000'000;      ///< For each step of a look, once it is connected.

/// A name that the source `server:NAME` and a format can have: `*` would stand for others.
bool can_be_declared(const std::string& name) {
  return !name.empty() && name.size() <= served_name_bytes_max
         && std::none_of(name.begin(), name.end(),
                         [](char c) { return (c >= 0 && c < ' ') || c == 0x7f || c == '*'; });
}

/// What one look found.
struct page {
  unsigned status = 0;
  std::string body;
  std::string location; ///< Where it sends whoever asks; empty = nowhere.
};

links::task<void> fetch(const node::server_address& at, const std::string& path,
                        result<page>& into) {
  node::server_http http(co_await boost::asio::this_coro::executor, at);
  const std::string nothing;
  const auto status = co_await http.ask(path, nothing, look_us);
  if (status) {
    // On its own: GCC 12 destroys what is awaited inside an aggregate twice.
    auto text = co_await http.read_text(wrapped_list_bytes_max, look_us);
    page got{*status, std::move(text), {}};
    got.location
        = printable(node::without_key(http.location(), at.key).substr(0, location_bytes_max));
    into = std::move(got);
  } else {
    into = error{status.failure().action,
                 status.failure().code == "server_unreachable" ? "unreachable" : "failed",
                 status.failure().message};
  }
  http.cut();
}

/// The key that a server is sent; empty = none.
std::string key_for(const wrapped_server& server) {
  const char* key = std::getenv(server.key_env.c_str());
  return key == nullptr ? std::string() : std::string(key);
}

/// GET. Errors: `unreachable`, `failed`.
result<page> look(const wrapped_server& server, const std::string& path) {
  auto at = node::parse_server_url(server.url);
  if (!at)
    return usage_error(at.failure().message);
  at->key = key_for(server);
  boost::asio::io_context io;
  result<page> got(error{recovery::bug, "failed", "nobody looked"});
  boost::asio::co_spawn(io, fetch(*at, path, got), boost::asio::detached);
  io.run();
  return got;
}

unsigned status_of(const wrapped_server& server, const std::string& path) {
  const auto answer = look(server, path);
  return answer ? answer->status : 0;
}

error wants_key(const wrapped_server& server, unsigned status) {
  const auto said = server.url + " says " + std::to_string(status) + ": ";
  return {recovery::refuse, "key_wanted",
          said
              + (server.key_env.empty()
                     ? "it wants an API key: put that into an environment variable and name the "
                       "variable, --key-env NAME"
                     : "it does not take the key that is in " + server.key_env)};
}

struct model_names {
  std::vector<std::string> all;
  bool more = false;
  std::string none; ///< Why there are none, where that is known.
};

/// Why an answer that lists no model does not; empty when nobody knows.
std::string why_none(const wrapped_server& server, const std::string& path, const page& answer) {
  if (answer.status / 100 == 3 && !answer.location.empty())
    return server.url + path + " redirects (" + std::to_string(answer.status) + ") to "
           + answer.location + ": name the address behind that";
  const auto body = json::parse(answer.body, nullptr, false);
  if (answer.status == 200 && body.is_object() && body.contains("data") && body["data"].is_array()
      && body["data"].empty())
    return server.url + path
           + " lists no models: it has nothing loaded yet; load a model there, then try again";
  return {};
}

/// What `GET path` lists, as OpenAI's protocol has it. Errors: those of a look, `key_wanted`,
/// `bad_model_name`.
result<model_names> models_at(const wrapped_server& server, const std::string& path) {
  const auto answer = look(server, path);
  if (!answer)
    return answer.failure();
  if (answer->status == 401 || answer->status == 403)
    return wants_key(server, answer->status);
  model_names models;
  models.none = why_none(server, path, *answer);
  std::string refused;
  const auto body = json::parse(answer->body, nullptr, false);
  if (answer->status != 200 || !body.is_object() || !body.contains("data")
      || !body["data"].is_array())
    return models;
  for (const auto& one : body["data"])
    if (one.is_object() && one.contains("id") && one["id"].is_string()) {
      auto id = node::without_key(one["id"].get<std::string>(), key_for(server));
      if (!can_be_declared(id))
        refused = std::move(id);
      else if (models.all.size() < wrapped_models_max)
        models.all.push_back(std::move(id));
      else
        models.more = true;
    }
  // It serves, and waiting makes its names no better.
  if (models.all.empty() && !refused.empty())
    return error{recovery::refuse, bad_model_name,
                 server.url + " serves no model that can be declared: of `"
                     + printable(refused.substr(0, served_name_bytes_max))
                     + "`, as of any, at most " + std::to_string(served_name_bytes_max)
                     + " bytes without control characters and `*` are taken; give it another name "
                       "there"};
  return models;
}

/// The model of a server that speaks TGI's protocol; empty when it does not.
std::string model_by_tgi(const wrapped_server& server) {
  const auto answer = look(server, "/info");
  if (!answer || answer->status != 200)
    return {};
  const auto body = json::parse(answer->body, nullptr, false);
  if (!body.is_object() || !body.contains("model_id") || !body["model_id"].is_string())
    return {};
  auto name = node::without_key(body["model_id"].get<std::string>(), key_for(server));
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

/// A provider is asked what costs nothing; what else it has is nobody's promise.
void find_ready(wrapped_server& server) {
  const bool provider = !server.key_env.empty() && server.protocol == "openai";
  for (const auto& path : {std::string("/health"), std::string("/healthz"), model_list(server)})
    if (!provider && status_of(server, path) == 200) {
      server.ready = path;
      return;
    }
}

} // namespace

bool is_final(const error& failure) {
  return failure.code == bad_model_name || failure.code == "key_wanted";
}

namespace {

/// As OpenAI's protocol has it: below /v1, else below the path that was given. Returns: whether
/// anything is listed there; `none`: why nothing is, where that is known.
result<bool> speaks_openai(wrapped_server& server, std::string& none) {
  auto listed = models_at(server, "/v1/models");
  const bool reached = listed || listed.failure().code == "key_wanted";
  const auto path = path_begins(server.url);
  // With another base, what is below /v1 may be another thing, and want a key.
  if (reached && (!listed || listed->all.empty()) && path < server.url.size()) {
    auto below = models_at(server, "/models");
    if (below && !below->all.empty()) {
      server.base = server.url.substr(path);
      server.url.resize(path);
      listed = std::move(below);
    } else if (listed && below && listed->none.empty()) {
      listed->none = below->none;
    } else if (listed && !below && is_final(below.failure())) {
      listed = below.failure();
    }
  }
  if (!listed)
    return listed.failure();
  none = listed->none;
  server.models = listed->all;
  server.more = listed->more;
  return !server.models.empty();
}

/// What names a variable is no key: that would be written into a file.
result<done> check_key(const std::string& key_env) {
  const auto fits = [](unsigned char c) { return std::isalnum(c) != 0 || c == '_'; };
  if (key_env.size() > key_env_bytes_max || !std::all_of(key_env.begin(), key_env.end(), fits)
      || std::isdigit(static_cast<unsigned char>(key_env.front())) != 0)
    return usage_error("--key-env wants the name of an environment variable that holds the key, "
                       "such as PROVIDER_API_KEY, and not the key");
  const char* key = std::getenv(key_env.c_str());
  if (key == nullptr || *key == '\0')
    return usage_error("the environment variable " + key_env + " is not set");
  const std::string_view held = key;
  if (std::any_of(held.begin(), held.end(), [](char c) { return c <= ' ' || c >= 0x7f; }))
    return usage_error(key_env + " holds what no API key holds: blanks, or other than ASCII");
  return done{};
}

} // namespace

result<wrapped_server> look_at_server(const std::string& given, const std::string& key_env) {
  // What is before an @ is a secret: it is neither shown nor written into a file.
  if (given.substr(0, path_begins(given)).find('@') != std::string::npos)
    return usage_error("the address must not hold a user's name or password, which are not sent: "
                       "put a key into an environment variable, and name that with --key-env "
                       "(`key_env` of `runtime` in the plugin.json)");
  if (const auto fits = key_env.empty() ? result<done>(done{}) : check_key(key_env); !fits)
    return fits.failure();
  wrapped_server out;
  out.url = given;
  out.key_env = key_env;
  for (const auto* route : {"/models", "/chat/completions", "/completions", "/embeddings"})
    cut_end(out.url, route);
  cut_end(out.url, "/v1");
  if (const auto target = node::parse_server_url(out.url); !target)
    return usage_error(given.find('@') == std::string::npos
                           ? target.failure().message
                           : "--from-url wants http://HOST:PORT, with nothing secret in it");
  std::string none;
  const auto openai = speaks_openai(out, none);
  if (!openai && openai.failure().code == "unreachable")
    return error{recovery::retry_later, "unreachable",
                 out.url.starts_with("https:")
                     ? out.url + " cannot be reached: " + openai.failure().message
                     : "nothing answers at " + out.url + ": is the model server running there?"};
  if (!openai)
    return openai.failure();
  if (!*openai) {
    const auto model = model_by_tgi(out);
    if (model.empty())
      return error{recovery::refuse, "failed",
                   !none.empty()
                       ? none
                       : out.url
                             + " lists no models at /v1/models, nor at /models, and no model_id at "
                               "/info: it speaks neither OpenAI's protocol nor TGI's"};
    out.protocol = "tgi";
    out.models = {model};
  }
  find_ready(out);
  if (out.ready.empty()) // It said so a moment ago.
    out.ready = out.protocol == "tgi" ? "/info" : model_list(out);
  if (key_env.empty())
    if (auto metrics = look(out, "/metrics"); metrics && metrics->status == 200)
      out.gauges = std::move(metrics->body);
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
