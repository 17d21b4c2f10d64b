// SPDX-License-Identifier: Apache-2.0
#pragma once
/// The bounds that one data port can be given: those of node/limits.hpp, and what it shares with
/// every listener of links/. Each has a test that reaches it.

#include "links/limits.hpp"
#include "node/limits.hpp"

namespace consort::node::limits {

inline constexpr std::size_t data_address_connections_max
    = 1'024; ///< Of one address; beyond, one of its own that does not work gives way.
inline constexpr std::size_t data_address_unfinished_max
    = 256; ///< Of one address, before the handshake is done; the oldest gives way.

/// Requires: all positive.
struct data_port_limits : data_port_set {
  std::size_t address_connections = data_address_connections_max;
  std::size_t address_unfinished = data_address_unfinished_max;
  std::size_t linger_bytes = data_linger_bytes_max; ///< Read after a refusal.
  duration_us linger = data_linger_us;
  links::limits::limit_set peers = {}; ///< Failures and handshakes of an address, holds of a name.
};

} // namespace consort::node::limits
