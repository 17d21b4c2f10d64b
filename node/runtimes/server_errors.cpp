// SPDX-License-Identifier: Apache-2.0
#include "node/runtimes/server_errors.hpp"

#include "messages/server_status.hpp"
#include "node/limits.hpp"
#include "node/runtimes/host_log.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>

namespace consort::node {

namespace {

using nlohmann::json;

std::string text_at(const json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

/// FastAPI's list: where, and what is wrong there.
std::string detail_list(const json& list) {
  std::string out;
  for (const auto& item : list) {
    if (!item.is_object())
      continue;
    const auto where = item.find("loc");
    out += out.empty() ? "" : "; ";
    if (where != item.end() && where->is_array() && !where->empty() && where->back().is_string())
      out += where->back().get<std::string>() + ": ";
    out += text_at(item, "msg");
  }
  return out;
}

/// At most so many bytes, on one line, and nothing that a terminal would obey.
std::string printable(std::string text) {
  const bool good = is_utf8(text);
  auto end = std::min(text.size(), limits::server_message_bytes_max);
  // Never in the middle of a character.
  while (good && end < text.size() && end > 0
         && (static_cast<unsigned char>(text[end]) & 0xc0U) == 0x80U)
    --end;
  text.resize(end);
  std::replace_if(
      text.begin(), text.end(),
      [&](char byte) {
        const auto code = static_cast<unsigned char>(byte);
        return code < 0x20 || code == 0x7f || (code >= 0x80 && !good);
      },
      ' ');
  return text;
}

} // namespace

json read_server_json(std::string_view text) {
  bool too_deep = false;
  const auto document = json::parse(
      text,
      [&](int depth, json::parse_event_t, json&) {
        too_deep = too_deep || depth > static_cast<int>(limits::json_depth_max);
        return !too_deep;
      },
      false);
  return too_deep ? json(json::value_t::discarded) : document;
}

std::uint32_t whole_at(const json& object, const char* name) {
  const auto found = object.find(name);
  if (found == object.end() || !found->is_number_unsigned())
    return 0;
  constexpr std::uint64_t most = 1U << 30U;
  return static_cast<std::uint32_t>(std::min(found->get<std::uint64_t>(), most));
}

std::string message_in(const json& body) {
  if (!body.is_object())
    return {};
  if (const auto said = body.find("error"); said != body.end()) {
    if (said->is_string())
      return printable(said->get<std::string>());
    if (said->is_object())
      return printable(text_at(*said, "message"));
  }
  if (const auto detail = body.find("detail"); detail != body.end())
    return printable(detail->is_string()  ? detail->get<std::string>()
                     : detail->is_array() ? detail_list(*detail)
                                          : detail->dump(-1, ' ', true));
  return printable(text_at(body, "message"));
}

std::string server_message(std::string_view body) {
  const auto document = read_server_json(body);
  auto found = message_in(document);
  return found.empty() ? printable(std::string(body.substr(0, limits::server_message_bytes_max)))
                       : found;
}

std::string redirect_words(unsigned status, std::string_view location, const std::string& plugin) {
  if (status / 100 != 3 || location.empty())
    return {};
  const auto scheme = location.find("//");
  const bool elsewhere
      = scheme != std::string_view::npos && location.find_first_of("/?#") == scheme;
  const auto host = location.find_first_of("/?#", elsewhere ? scheme + 2 : 0);
  // A name and password before the host are secrets, too.
  const auto named = location.substr(0, host).find('@') == std::string_view::npos;
  const auto where = !elsewhere ? "another path of its own"
                     : named    ? printable(std::string(location.substr(0, host)))
                                : "an address with a name or password in it";
  return ", a redirect to " + where + ", which is not followed: put the address behind it into "
         + "`url` of plugin " + plugin;
}

std::string answer_words(const result<unsigned>& status, bool started) {
  if (status)
    return "the last time it answered " + std::to_string(*status);
  const bool deaf = started && status.failure().code == "server_unreachable";
  return status.failure().message
         + (deaf ? " (nothing listens on the port that its command has as {port})" : "");
}

bool refuses_field(std::string_view body, std::string_view field) {
  const auto root = read_server_json(body);
  const auto named = [&](const json& text) {
    return text.is_string()
           && std::string_view(text.get_ref<const std::string&>()).starts_with(field);
  };
  // A validator's list of what is wrong and where, in whatever it is wrapped; or OpenAI's `param`.
  const auto lists = {json::json_pointer("/detail"), json::json_pointer("/message/detail"),
                      json::json_pointer("/error/message/detail")};
  for (const auto& at : lists)
    if (root.is_object() && root.contains(at) && root[at].is_array())
      for (const auto& one : root[at])
        if (one.is_object() && one.contains("loc") && one["loc"].is_array()
            && std::any_of(one["loc"].begin(), one["loc"].end(), named))
          return true;
  const json::json_pointer param("/error/param");
  return root.is_object() && root.contains(param) && named(root[param]);
}

namespace {

/// No money is left there: waiting does not help.
bool says_no_money(std::string_view body) {
  constexpr std::array<std::string_view, 3> codes{
      "insufficient_quota", "billing_hard_limit_reached", "billing_not_active"};
  return std::any_of(codes.begin(), codes.end(), [&](std::string_view code) {
    return body.find(code) != std::string_view::npos;
  });
}

/// The model is there, and answers other requests than this: OpenAI says so with 404, as of a model
/// that is missing, and in words alone ("This is a chat model and not supported in the
/// v1/completions endpoint", "This model is only supported in v1/responses").
bool says_other_route(std::string_view said) {
  return said.find("supported in v1/") != std::string_view::npos
         || said.find("supported in the v1/") != std::string_view::npos;
}

/// The status that means what was said.
unsigned meant_by(unsigned status, std::string_view body, std::string_view said) {
  if (status == 429 && says_no_money(body))
    return no_money_status;
  return status == 404 && says_other_route(said) ? 400 : status;
}

} // namespace

attempt_aborted judge_refusal(unsigned status, std::string_view body) {
  const auto said = server_message(body);
  return judge_server_status(status, said, meant_by(status, body, said));
}

} // namespace consort::node
