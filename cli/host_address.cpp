// SPDX-License-Identifier: Apache-2.0
#include "cli/host_address.hpp"

#include "cli/shell_word.hpp"
#include "links/address.hpp"

#include <boost/asio/ip/address.hpp>

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>

#include <algorithm>
#include <memory>

namespace consort::cli {

namespace ip = boost::asio::ip;

namespace {

ip::address address_of(const sockaddr& from) {
  if (from.sa_family == AF_INET)
    return ip::address_v4(ntohl(reinterpret_cast<const sockaddr_in&>(from).sin_addr.s_addr));
  ip::address_v6::bytes_type bytes;
  const auto& v6 = reinterpret_cast<const sockaddr_in6&>(from).sin6_addr;
  std::copy(std::begin(v6.s6_addr), std::end(v6.s6_addr), bytes.begin());
  return ip::address_v6(bytes);
}

/// The first address of an interface that is up; empty when there is none.
std::string own_address(int family) {
  ifaddrs* listed = nullptr;
  if (::getifaddrs(&listed) != 0)
    return {};
  const std::unique_ptr<ifaddrs, decltype(&::freeifaddrs)> all(listed, ::freeifaddrs);
  for (const auto* one = all.get(); one != nullptr; one = one->ifa_next) {
    if (one->ifa_addr == nullptr || one->ifa_addr->sa_family != family
        || (one->ifa_flags & IFF_UP) == 0)
      continue;
    const auto address = address_of(*one->ifa_addr);
    const bool local = address.is_v6() && address.to_v6().is_link_local();
    if (!address.is_loopback() && !local)
      return address.to_string();
  }
  return {};
}

} // namespace

std::string reachable_address(const std::string& bound) {
  auto parsed = links::parse_address(bound);
  if (!parsed)
    return bound;
  boost::system::error_code failed;
  const auto address = ip::make_address(parsed->host, failed);
  if (failed || !address.is_unspecified())
    return bound;
  parsed->host = own_address(AF_INET);
  if (parsed->host.empty())
    parsed->host = own_address(AF_INET6);
  if (parsed->host.empty())
    parsed->host = "THIS_HOST";
  return links::format_address(*parsed);
}

bool only_here(const std::string& address) {
  const auto parsed = links::parse_address(address);
  return parsed && links::stays_on_loopback(parsed->host);
}

std::string join_command(const std::string& address, const std::string& token, bool secured,
                         const std::string& cluster) {
  auto line = "consort node --join " + address + " --token " + token;
  if (!secured)
    return cluster.empty() ? line : line + " --cluster " + shell_word(cluster);
  line += " --cert NAME-FOLDER";
  if (!only_here(address))
    line += " --data-listen 0.0.0.0:4281 --advertise THAT_HOST";
  return line;
}

std::string type_of_server(const std::string& host) {
  return links::stays_on_loopback(host) ? "gpu" : "remote";
}

} // namespace consort::cli
