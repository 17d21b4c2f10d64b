// SPDX-License-Identifier: Apache-2.0
#pragma once
/// `HOST:PORT` as peers tell it to each other, and the one rule about what may be reached without
/// certificates. Pure functions.

#include "scheduler/result.hpp"

#include <cstdint>
#include <string>
#include <string_view>

namespace consort::links {

struct host_port {
  std::string host; ///< A name or an address; IPv6 without its brackets.
  std::uint16_t port = 0;
  friend bool operator==(const host_port&, const host_port&) = default;
};

/// `host:port` or `[v6]:port`. Returns: `bad_address` (refuse) for anything else, port 0 included.
[[nodiscard]] result<host_port> parse_address(std::string_view text);
/// The reverse: IPv6 in brackets.
[[nodiscard]] std::string format_address(const host_port& address);
/// An address of this machine that nobody else can reach, or `localhost`.
[[nodiscard]] bool stays_on_loopback(const std::string& host);

} // namespace consort::links
