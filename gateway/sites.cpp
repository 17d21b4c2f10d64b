// SPDX-License-Identifier: Apache-2.0
#include "gateway/sites.hpp"

#include <boost/asio/ip/address.hpp>
#include <boost/beast/core/string.hpp>

#include <algorithm>
#include <array>

namespace consort::gateway {

namespace {

/// RFC 6761, 6762, 8375 and what ICANN set apart: nobody can register a name there.
constexpr std::array<std::string_view, 4> private_domains{".localhost", ".local", ".internal",
                                                          ".home.arpa"};

/// Without port, brackets and the dot that may end a name.
std::string_view name_in(std::string_view host) {
  if (host.starts_with('[')) {
    const auto end = host.find(']');
    return end == std::string_view::npos ? host : host.substr(1, end - 1);
  }
  host = host.substr(0, host.find(':'));
  if (host.ends_with('.'))
    host.remove_suffix(1);
  return host;
}

bool ends_with(std::string_view name, std::string_view domain) {
  return name.size() > domain.size()
         && boost::beast::iequals(name.substr(name.size() - domain.size()), domain);
}

} // namespace

bool public_name(std::string_view host) {
  const auto name = name_in(host);
  boost::system::error_code failed;
  (void)boost::asio::ip::make_address(std::string(name), failed);
  return failed && name.find('.') != std::string_view::npos
         && std::none_of(private_domains.begin(), private_domains.end(),
                         [&](const auto domain) { return ends_with(name, domain); });
}

bool of_another_site(const http_request& request, const std::vector<std::string>& names) {
  const auto origin = request.header("origin");
  if (!origin)
    return false;
  constexpr std::string_view mark = "://";
  const auto at = origin->find(mark);
  const auto host = request.header("host").value_or(std::string_view{});
  if (at == std::string_view::npos || origin->substr(at + mark.size()) != host)
    return true;
  return public_name(host) && std::none_of(names.begin(), names.end(), [&](const auto& name) {
           return boost::beast::iequals(name, name_in(host));
         });
}

} // namespace consort::gateway
