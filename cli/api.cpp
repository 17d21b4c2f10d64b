// SPDX-License-Identifier: Apache-2.0
#include "cli/api.hpp"

#include "cli/limits.hpp"
#include "cli/table.hpp"
#include "scheduler/units.hpp"

#include <cstdio>
#include <ostream>

namespace consort::cli {

namespace {

result<json> read_answer(const result<http_answer>& answer, const std::string& url) {
  if (!answer)
    return answer.failure();
  // Whatever the cluster says beyond success is its refusal, in its own words.
  if (answer->status < 200 || answer->status > 299)
    return refusal(answer->status, answer->body);
  if (answer->body.empty())
    return json(nullptr);
  auto parsed = json::parse(answer->body, nullptr, false);
  if (parsed.is_discarded())
    return error{recovery::refuse, "failed", url + " did not answer JSON: is it a consort server?"};
  return parsed;
}

/// The value at a JSON pointer, or null.
const json& at(const json& from, const std::string& pointer) {
  static const json nothing;
  const json::json_pointer path(pointer);
  return from.contains(path) ? from.at(path) : nothing;
}

std::string fixed(double number, const char* unit) {
  char text[48];
  std::snprintf(text, sizeof text, "%.1f%s", number, unit);
  return text;
}

} // namespace

result<http_client> connect_client(const context& env) {
  const auto url = server_url(env);
  if (!url)
    return url.failure();
  return http_client(*url, env.options.api_key);
}

bool answers(const std::string& url) {
  http_client client(url, "");
  const auto answer = client.call({"GET", "/healthz", "", {}}, limits::probe_timeout);
  return answer && answer->status == 200;
}

result<json> fetch(const context& env, const std::string& path) {
  return send(env, "GET", path, nullptr);
}

result<json> send(const context& env, const std::string& method, const std::string& path,
                  const json& body, std::chrono::milliseconds timeout) {
  auto client = connect_client(env);
  if (!client)
    return client.failure();
  http_request request{method, path, body.is_null() ? "" : body.dump(), {}};
  return read_answer(client->call(request, timeout), client->base_url());
}

exit_code tell_kept(const context& env, const json& answer) {
  if (!answer.is_object() || answer.value("/kept"_json_pointer, json(true)) != json(false))
    return exit_code::done;
  env.err << "consort: in effect now, but not kept over a restart of the scheduler: "
          << printable(text_at(answer, "/kept_error")) << "; say it again when that is mended\n";
  return exit_code::failed;
}

error refusal(int status, const std::string& body) {
  const auto parsed = json::parse(body, nullptr, false);
  auto message = parsed.is_discarded() ? std::string{} : text_at(parsed, "/error/message");
  if (message.empty())
    message = "the server answered with status " + std::to_string(status);
  return {recovery::refuse, "refused_by_cluster",
          message + " (HTTP " + std::to_string(status) + ")"};
}

std::string escaped(const std::string& segment) {
  std::string made;
  for (const char letter : segment) {
    const auto byte = static_cast<unsigned char>(letter);
    if (std::isalnum(byte) || std::string_view("-._~").find(letter) != std::string_view::npos) {
      made += letter;
      continue;
    }
    char text[8];
    std::snprintf(text, sizeof text, "%%%02X", byte);
    made += text;
  }
  return made;
}

std::string text_at(const json& from, const std::string& pointer) {
  const auto& found = at(from, pointer);
  return found.is_string() ? found.get<std::string>() : std::string{};
}

std::string count_at(const json& from, const std::string& pointer) {
  const auto& found = at(from, pointer);
  return found.is_number() ? found.dump() : std::string{};
}

std::string duration_at(const json& from, const std::string& pointer) {
  const auto& found = at(from, pointer);
  return found.is_number() ? format_duration(found.get<duration_us>()) : std::string{};
}

std::string size_at(const json& from, const std::string& pointer) {
  const auto& found = at(from, pointer);
  return found.is_number() ? format_size(found.get<std::uint64_t>()) : std::string{};
}

std::string percent_at(const json& from, const std::string& pointer) {
  const auto& found = at(from, pointer);
  return found.is_number() ? fixed(found.get<double>() / 10, "%") : std::string{};
}

std::string watts_at(const json& from, const std::string& pointer) {
  const auto& found = at(from, pointer);
  return found.is_number() ? fixed(found.get<double>() / 1000, "W") : std::string{};
}

bool true_at(const json& from, const std::string& pointer) {
  const auto& found = at(from, pointer);
  return found.is_boolean() && found.get<bool>();
}

std::string list_at(const json& from, const std::string& pointer) {
  std::string made;
  for (const auto& item : at(from, pointer))
    if (item.is_string())
      made += (made.empty() ? "" : ",") + item.get<std::string>();
  return made;
}

} // namespace consort::cli
