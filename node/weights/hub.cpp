// SPDX-License-Identifier: Apache-2.0
#include "node/weights/hub.hpp"

#include "node/file_digest.hpp"
#include "node/runtimes/wait_times.hpp"
#include "node/weights/adapter_folder.hpp"
#include "scheduler/units.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <map>
#include <optional>

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
                                        const web_means& means, duration_us* left_alone_us) {
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
    return judge_status(answer->head, source, hub, left_alone_us);
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

namespace {

error meaning_of(const web_head& head, const weight_source& source, const hub_settings& hub) {
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
  case 429: return {recovery::retry_later, "weights_busy", from + " wants fewer requests (429)"};
  default: break;
  }
  if (head.status >= 500)
    return {recovery::retry_later, "weights_busy",
            from + " answered about " + what + " with status " + status};
  return {recovery::refuse, "weights_refused",
          from + " answered about " + what + " with status " + status};
}

} // namespace

error judge_status(const web_head& head, const weight_source& source, const hub_settings& hub,
                   duration_us* left_alone_us) {
  auto problem = meaning_of(head, source, hub);
  if (problem.code != "weights_busy")
    return problem;
  const auto asked
      = std::min(parse_wait(head.header("retry-after"), std::time(nullptr)).value_or(0),
                 limits::weights_retry_after_us_max);
  if (asked > 0)
    problem.message += ", and asks to be left alone for " + format_duration(asked);
  if (left_alone_us != nullptr)
    *left_alone_us = asked;
  return problem;
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

namespace {

/// Of a file that is named: its digest is empty where the hub knows none.
result<hub_file> head_of_file(const weight_source& source, const hub_settings& hub,
                              const web_means& means, duration_us* left_alone_us) {
  auto ask = request_for(source, hub);
  if (!ask)
    return ask.failure();
  ask->head = true;
  ask->foreign = false;
  const auto answer = web_exchange(*ask, means, [](const auto&, auto) { return std::nullopt; });
  if (!answer)
    return answer.failure();
  if (answer->status >= 400)
    return judge_status(*answer, source, hub, left_alone_us);
  const bool linked = !answer->header("x-linked-etag").empty();
  hub_file out{source, digest(unquoted(answer->header(linked ? "x-linked-etag" : "etag"))),
               number_in(answer->header(linked ? "x-linked-size" : "content-length"))};
  if (!is_digest(out.content.value))
    out.content = {};
  return out;
}

error undigested(const weight_source& source, const hub_settings& hub) {
  return {recovery::refuse, "weights_undigested",
          hub.endpoint + " names no SHA-256 of " + source.text()
              + ": only files in its large file storage can be checked"};
}

error too_large(const weight_source& source) {
  return {recovery::refuse, "weights_refused",
          source.text() + ": larger than the " + std::to_string(limits::folder_text_bytes_max)
              + " bytes that are read of such a file"};
}

result<hub_file> find_in(const repository_listing& listing, const weight_source& source,
                         const hub_settings& hub, const web_means& means,
                         duration_us* left_alone_us) {
  auto named = source;
  if (source.file.empty()) {
    auto only = only_weights(listing.files, "hf:" + source.repository);
    if (!only)
      return only.failure();
    auto whole = parse_source(source.text() + "/" + *only); // As it would be if people wrote it.
    if (!whole)
      return whole.failure();
    named = *std::move(whole);
  }
  named.revision = listing.commit;
  auto found = head_of_file(named, hub, means, left_alone_us);
  return found && found->content.empty() ? result<hub_file>(undigested(named, hub))
                                         : std::move(found);
}

/// The settings of the folder that is meant; nothing where a file is.
result<std::optional<std::string>> settings_meant(const repository_listing& listing,
                                                  const weight_source& source) {
  const auto there = [&](const std::string& name) {
    return std::find(listing.files.begin(), listing.files.end(), name) != listing.files.end();
  };
  const std::string settings(adapter_settings_file);
  if (names_adapter_folder(source.file))
    return std::optional(source.file);
  if (!source.file.empty())
    return there(source.file + "/" + settings) ? std::optional(source.file + "/" + settings)
                                               : std::nullopt;
  if (!there(settings))
    return std::optional<std::string>();
  const auto where = "hf:" + source.repository;
  for (const auto& name : listing.files)
    if (name.ends_with(".gguf"))
      return error{recovery::refuse, "weights_ambiguous",
                   where + " has an adapter as a folder and as a file; name one, as in " + where
                       + "/" + settings + " or " + where + "/" + name};
  return std::optional(settings);
}

/// What only the file itself says is read; weights never are.
result<hub_adapter::part> describe_part(const weight_source& source, const std::string& name,
                                        const hub_settings& hub, const web_means& means,
                                        duration_us* left_alone_us) {
  auto head = head_of_file(source, hub, means, left_alone_us);
  if (!head)
    return head.failure();
  hub_adapter::part out{name, head->content, head->size_bytes, {}};
  if (!name.ends_with(".json"))
    return out.content.empty() ? result<hub_adapter::part>(undigested(source, hub))
                               : std::move(out);
  if (out.size_bytes > limits::folder_text_bytes_max)
    return too_large(source);
  const auto ask = request_for(source, hub);
  if (!ask)
    return ask.failure();
  auto answer = web_read(*ask, means);
  if (!answer)
    return answer.failure();
  if (answer->head.status != 200)
    return judge_status(answer->head, source, hub, left_alone_us);
  if (answer->body.size() > limits::folder_text_bytes_max)
    return too_large(source);
  const auto content = hash_text(answer->body);
  if (!out.content.empty() && content != out.content)
    return error{recovery::retry_later, "weights_corrupt",
                 source.text() + ": what came is not what the hub says it is"};
  return hub_adapter::part{name, content, answer->body.size(), std::move(answer->body)};
}

} // namespace

result<hub_file> find_hub_file(const weight_source& source, const hub_settings& hub,
                               const web_means& means) {
  const auto listing = read_listing(source, hub, means, nullptr);
  return listing ? find_in(*listing, source, hub, means, nullptr) : listing.failure();
}

result<hub_adapter> find_hub_adapter(const weight_source& source, const hub_settings& hub,
                                     const web_means& means, duration_us* left_alone_us) {
  const auto listing = read_listing(source, hub, means, left_alone_us);
  if (!listing)
    return listing.failure();
  const auto settings = settings_meant(*listing, source);
  if (!settings)
    return settings.failure();
  if (!*settings) {
    auto file = find_in(*listing, source, hub, means, left_alone_us);
    return file ? hub_adapter{file->source, file->content, 0, {}}
                : result<hub_adapter>(file.failure());
  }
  const auto folder = adapter_folder_of(**settings);
  const auto names = adapter_files(listing->files, folder, "hf:" + source.repository);
  if (!names)
    return names.failure();
  hub_adapter out{source, {}, 0, {}};
  out.source.revision = listing->commit;
  std::map<std::string, digest> contents;
  for (const auto& name : *names) {
    out.source.file = folder + name;
    auto part = describe_part(out.source, name, hub, means, left_alone_us);
    if (!part)
      return part.failure();
    if (name == adapter_settings_file)
      out.rank = adapter_rank(part->text);
    contents.emplace(name, part->content);
    out.parts.push_back(*std::move(part));
  }
  out.source.file = **settings;
  out.content = folder_digest(contents);
  return out;
}

} // namespace consort::node
