// SPDX-License-Identifier: Apache-2.0
#include "links/identity.hpp"

#include "links/limits.hpp"

#include <algorithm>
#include <array>

namespace consort::links {

namespace {

constexpr std::string_view scheme = "consort://";
constexpr std::array<std::string_view, 4> roles = {"node", "gateway", "scheduler", "admin"};

bool name_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.'
         || c == '_' || c == '-';
}

error bad_identity(std::string_view uri) {
  constexpr std::size_t shown_bytes = 200;
  std::string shown(uri.substr(0, shown_bytes));
  std::replace_if(
      shown.begin(), shown.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
  return {recovery::refuse, "bad_identity",
          "`" + shown + "` is not of the form consort://CLUSTER/ROLE/NAME"};
}

} // namespace

std::string_view name_of(peer_role role) {
  return roles.at(static_cast<std::size_t>(role));
}

std::optional<peer_role> parse_role(std::string_view word) {
  const auto* const found = std::find(roles.begin(), roles.end(), word);
  if (found == roles.end())
    return std::nullopt;
  return static_cast<peer_role>(found - roles.begin());
}

bool valid_name(std::string_view name) {
  return !name.empty() && name.size() <= limits::name_bytes_max
         && std::all_of(name.begin(), name.end(), name_character);
}

std::string format_uri(const peer_identity& identity) {
  return std::string(scheme) + identity.cluster + "/" + std::string(name_of(identity.role)) + "/"
         + identity.name;
}

result<peer_identity> parse_uri(std::string_view uri) {
  if (!uri.starts_with(scheme))
    return bad_identity(uri);
  const auto path = uri.substr(scheme.size());
  const auto first = path.find('/');
  const auto second = first == path.npos ? path.npos : path.find('/', first + 1);
  if (second == path.npos)
    return bad_identity(uri);
  const auto role = parse_role(path.substr(first + 1, second - first - 1));
  peer_identity parsed;
  parsed.cluster = std::string(path.substr(0, first));
  parsed.name = std::string(path.substr(second + 1));
  if (!role || !valid_name(parsed.cluster) || !valid_name(parsed.name))
    return bad_identity(uri);
  parsed.role = *role;
  return parsed;
}

} // namespace consort::links
