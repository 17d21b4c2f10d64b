// SPDX-License-Identifier: Apache-2.0
#include "node/weights/web_client.hpp"

#include <algorithm>
#include <cctype>

namespace consort::node {

namespace {

error bad_url(std::string_view text, const std::string& why) {
  return {recovery::refuse, "bad_url", without_password(text).substr(0, 256) + ": " + why};
}

/// What could end a request line or a header early, or is no address at all.
bool odd_letter(char c) {
  return c <= ' ' || c == '\x7f' || c == '"' || c == '\\' || c == '<' || c == '>';
}

bool host_letter(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '.' || c == '_'
         || c == ':';
}

/// HOST, HOST:PORT or [HOST]:PORT. Returns: why it is none.
std::string split_authority(std::string_view authority, web_url& into) {
  const auto bracket = authority.starts_with('[') ? authority.find(']') : 0;
  if (bracket == std::string_view::npos)
    return "its host has no closing bracket";
  const auto colon = authority.find(':', bracket);
  into.host = authority.substr(0, colon);
  if (into.host.starts_with('['))
    into.host = into.host.substr(1, into.host.size() - 2);
  if (colon != std::string_view::npos)
    into.port = authority.substr(colon + 1);
  const bool digits = !into.port.empty() && into.port.size() <= 5
                      && std::all_of(into.port.begin(), into.port.end(),
                                     [](char c) { return c >= '0' && c <= '9'; });
  if (into.host.empty() || !std::all_of(into.host.begin(), into.host.end(), host_letter))
    return "it names no host";
  return digits ? "" : "its port is no number";
}

} // namespace

std::string web_url::authority() const {
  const auto name = host.find(':') == std::string::npos ? host : "[" + host + "]";
  return port == (tls ? "443" : "80") ? name : name + ":" + port;
}

std::string web_url::text() const {
  return (tls ? "https://" : "http://") + authority() + target;
}

std::string without_password(std::string_view text) {
  const auto mark = text.find("://");
  const auto last = text.rfind('@');
  if (mark == std::string_view::npos || last == std::string_view::npos || last < mark)
    return std::string(text);
  const auto begin = mark + 3;
  const auto authority = text.substr(begin, text.find_first_of("/?#", begin) - begin);
  web_url plain;
  plain.port = "80";
  // A path may hold an @, and so may a password hold a slash: then this is no host and port.
  if (authority.find('@') == std::string_view::npos && split_authority(authority, plain).empty())
    return std::string(text);
  return std::string(text.substr(0, begin)) + "***" + std::string(text.substr(last));
}

result<web_url> parse_url(std::string_view text) {
  web_url out;
  const auto whole = text;
  if (text.size() > limits::web_url_bytes_max)
    return bad_url(text, "too long for an address");
  if (std::any_of(text.begin(), text.end(), odd_letter))
    return bad_url(text, "has letters that an address may not have");
  if (text.starts_with("https://"))
    out.tls = true;
  else if (!text.starts_with("http://"))
    return bad_url(text, "expected https:// or http://");
  text.remove_prefix(out.tls ? 8 : 7);
  text = text.substr(0, text.find('#'));
  const auto path = text.find_first_of("/?");
  const auto authority = text.substr(0, path);
  if (authority.find('@') != std::string_view::npos)
    return bad_url("an address", "must not hold a password: give a token instead");
  out.port = out.tls ? "443" : "80";
  if (const auto why = split_authority(authority, out); !why.empty())
    return bad_url(whole, why);
  if (path != std::string_view::npos)
    out.target = text[path] == '?' ? "/" + std::string(text.substr(path)) : text.substr(path);
  return out;
}

result<web_url> resolve_url(const web_url& from, std::string_view location) {
  if (location.starts_with("https://") || location.starts_with("http://"))
    return parse_url(location);
  auto base = from;
  base.target.clear();
  if (location.starts_with("//"))
    return parse_url((from.tls ? "https:" : "http:") + std::string(location));
  if (location.starts_with('/'))
    return parse_url(base.text() + std::string(location));
  const auto folder = from.target.substr(0, from.target.find('?'));
  return parse_url(base.text() + folder.substr(0, folder.rfind('/') + 1) + std::string(location));
}

const std::string& web_head::header(const std::string& name) const {
  static const std::string none;
  const auto found = headers.find(name);
  return found == headers.end() ? none : found->second;
}

} // namespace consort::node
