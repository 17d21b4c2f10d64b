// SPDX-License-Identifier: Apache-2.0
#include "links/address.hpp"

#include <boost/asio/ip/address.hpp>

#include <charconv>

namespace consort::links {

namespace {

error malformed(std::string_view text) {
  return {recovery::refuse, "bad_address", "`" + std::string(text) + "` is no HOST:PORT"};
}

} // namespace

result<host_port> parse_address(std::string_view text) {
  const auto colon = text.rfind(':');
  if (colon == std::string_view::npos || colon == 0)
    return malformed(text);
  auto host = text.substr(0, colon);
  const auto digits = text.substr(colon + 1);
  const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (bracketed)
    host = host.substr(1, host.size() - 2);
  else if (host.find_first_of("[]:") != std::string_view::npos)
    return malformed(text);
  host_port out{std::string(host), 0};
  const auto* const end = digits.data() + digits.size();
  const auto [stop, status] = std::from_chars(digits.data(), end, out.port);
  if (status != std::errc{} || stop != end || out.port == 0)
    return malformed(text);
  return out;
}

std::string format_address(const host_port& address) {
  const bool v6 = address.host.find(':') != std::string::npos;
  return (v6 ? "[" + address.host + "]" : address.host) + ":" + std::to_string(address.port);
}

bool stays_on_loopback(const std::string& host) {
  if (host == "localhost")
    return true;
  boost::system::error_code failed;
  const auto address = boost::asio::ip::make_address(host, failed);
  return !failed && address.is_loopback();
}

} // namespace consort::links
