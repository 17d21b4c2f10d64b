// SPDX-License-Identifier: Apache-2.0
#include "node/weights/hub.hpp"

#include "node/file_digest.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstdlib>
#include <fstream>

namespace consort::node {

namespace {

using nlohmann::json;

std::string environment_word(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

bool truthy(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text == "1" || text == "true" || text == "yes" || text == "on";
}

/// Only what may stand in a header.
std::string clean_token(std::string text) {
  const auto end = text.find_first_of(" \t\r\n");
  text.resize(std::min(end, text.size()));
  const bool sound
      = text.size() <= limits::hub_token_bytes_max
        && std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < '\x7f'; });
  return sound ? text : std::string();
}

std::string token_in(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text(limits::hub_token_bytes_max + 2, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(file.gcount()));
  return clean_token(std::move(text));
}

bool on_this_machine(const std::string& host) {
  return host == "localhost" || host == "::1" || host.starts_with("127.");
}

std::uint64_t number_in(const std::string& text) {
  std::uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

std::string unquoted(std::string text) {
  if (text.starts_with("W/"))
    text.erase(0, 2);
  std::erase(text, '"');
  return text;
}

error odd_answer(const web_head& head, const std::string& what) {
  return {recovery::retry_later, "weights_refused",
          head.url.authority() + " answered about " + what + " with something else ("
              + (head.header("content-type").empty() ? "no type" : head.header("content-type"))
              + ")"};
}

/// The commit that a revision stands for, and the files in it.
struct repository_listing {
  std::string commit;
  std::vector<std::string> files;
};

result<repository_listing> read_listing(const weight_source& source, const hub_settings& hub,
                                        const web_means& means) {
  auto ask = request_for(source, hub);
  if (!ask)
    return ask.failure();
  auto url = parse_url(hub.endpoint + "/api/models/" + source.repository + "/revision/"
                       + source.revision);
  if (!url)
    return url.failure();
  ask->url = *std::move(url);
  const auto answer = web_read(*ask, means);
  if (!answer)
    return answer.failure();
  if (answer->head.status != 200)
    return judge_status(answer->head, source, hub);
  const auto document = json::parse(answer->body, nullptr, false);
  repository_listing out;
  if (!document.is_object() || !document.contains("sha") || !document["sha"].is_string())
    return odd_answer(answer->head, source.repository);
  out.commit = document["sha"].get<std::string>();
  if (!is_commit(out.commit))
    return odd_answer(answer->head, source.repository);
  if (document.contains("siblings") && document["siblings"].is_array())
    for (const auto& one : document["siblings"])
      if (one.is_object() && one.contains("rfilename") && one["rfilename"].is_string())
        out.files.push_back(one["rfilename"].get<std::string>());
  return out;
}

} // namespace

hub_settings hub_from_environment() {
  hub_settings out;
  if (auto endpoint = environment_word("HF_ENDPOINT"); !endpoint.empty())
    out.endpoint = std::move(endpoint);
  while (out.endpoint.ends_with('/'))
    out.endpoint.pop_back();
  auto home = environment_word("HF_HOME");
  if (home.empty()) {
    auto base = environment_word("XDG_CACHE_HOME");
    if (base.empty() && !environment_word("HOME").empty())
      base = environment_word("HOME") + "/.cache";
    home = base.empty() ? "" : base + "/huggingface";
  }
  out.cache = environment_word("HF_HUB_CACHE");
  if (out.cache.empty() && !home.empty())
    out.cache = home + "/hub";
  out.token = clean_token(environment_word("HF_TOKEN"));
  if (out.token.empty()) {
    const auto path = environment_word("HF_TOKEN_PATH");
    out.token = token_in(path.empty() ? home + "/token" : path);
  }
  out.offline = truthy(environment_word("HF_HUB_OFFLINE"));
  out.authorities = environment_word("SSL_CERT_FILE");
  return out;
}

result<web_request> request_for(const weight_source& source, const hub_settings& hub) {
  web_request out;
  const bool from_hub = source.what == weight_source::kind::hub;
  auto url = parse_url(from_hub ? hub.endpoint + "/" + source.repository + "/resolve/"
                                      + source.revision + "/" + source.file
                                : source.url);
  if (!url)
    return url.failure();
  out.url = *std::move(url);
  if (from_hub && (out.url.tls || on_this_machine(out.url.host)))
    out.token = hub.token;
  return out;
}

error judge_status(const web_head& head, const weight_source& source, const hub_settings& hub) {
  const bool of_hub = source.what == weight_source::kind::hub;
  const auto what = of_hub ? source.text() : source.url;
  const auto from = head.url.authority();
  const auto status = std::to_string(head.status);
  switch (head.status) {
  case 401:
  case 403:
    return {recovery::retry_elsewhere, "weights_denied",
            from + " does not let this node read " + what + " (" + status + "): "
                + (!of_hub             ? "only what it gives to anybody can be fetched"
                   : hub.token.empty() ? "set HF_TOKEN, and accept its licence there if it has one"
                                       : "its token has no access; accept the licence there, or "
                                         "give another HF_TOKEN")};
  case 404:
  case 410: return {recovery::refuse, "weights_missing", from + " has no " + what};
  case 429: return {recovery::retry_later, "weights_busy", from + " wants fewer requests"};
  default: break;
  }
  if (head.status >= 500)
    return {recovery::retry_later, "weights_busy",
            from + " answered about " + what + " with status " + status};
  return {recovery::refuse, "weights_refused",
          from + " answered about " + what + " with status " + status};
}

result<std::string> only_weights(const std::vector<std::string>& names, const std::string& where) {
  std::vector<std::string> fitting;
  for (const auto& name : names)
    if (name.ends_with(".gguf"))
      fitting.push_back(name);
  if (fitting.size() == 1)
    return fitting.front();
  if (fitting.empty())
    return error{recovery::refuse, "weights_missing", where + " has no .gguf file"};
  constexpr std::size_t shown = 20;
  std::string list;
  for (std::size_t at = 0; at < std::min(fitting.size(), shown); ++at)
    list += (at > 0 ? ", " : "") + fitting[at];
  return error{recovery::refuse, "weights_ambiguous",
               where + " has " + std::to_string(fitting.size()) + " files; name one, as in " + where
                   + "/" + fitting.front() + ": " + list};
}

result<hub_file> find_hub_file(const weight_source& source, const hub_settings& hub,
                               const web_means& means) {
  const auto listing = read_listing(source, hub, means);
  if (!listing)
    return listing.failure();
  hub_file out{source, {}, 0};
  if (source.file.empty()) {
    auto only = only_weights(listing->files, "hf:" + source.repository);
    if (!only)
      return only.failure();
    out.source = *parse_source("hf:" + source.repository + "@" + source.revision);
    auto named = parse_source(out.source.text() + "/" + *only);
    if (!named)
      return named.failure();
    out.source = *std::move(named);
  }
  out.source.revision = listing->commit;
  auto ask = request_for(out.source, hub);
  if (!ask)
    return ask.failure();
  ask->head = true;
  ask->foreign = false;
  const auto answer = web_exchange(*ask, means, [](const auto&, auto) { return std::nullopt; });
  if (!answer)
    return answer.failure();
  if (answer->status >= 400)
    return judge_status(*answer, out.source, hub);
  const bool linked = !answer->header("x-linked-etag").empty();
  out.content = digest(unquoted(answer->header(linked ? "x-linked-etag" : "etag")));
  out.size_bytes = number_in(answer->header(linked ? "x-linked-size" : "content-length"));
  if (!is_digest(out.content.value))
    return error{recovery::refuse, "weights_undigested",
                 answer->url.authority() + " names no SHA-256 of " + out.source.text()
                     + ": only files in its large file storage can be checked"};
  return out;
}

} // namespace consort::node
