// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Who a process is to others: the one URI in its certificate, `consort://CLUSTER/ROLE/NAME`. Pure
/// values and functions.

#include "scheduler/result.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace consort::links {

/// What a certificate permits. A scheduler is also what its own gateway and node may be.
enum class peer_role : std::uint8_t { node, gateway, scheduler, admin };

/// `node`, `gateway`, `scheduler`, `admin`.
[[nodiscard]] std::string_view name_of(peer_role role);
/// The reverse; nullopt for other words.
[[nodiscard]] std::optional<peer_role> parse_role(std::string_view word);

/// Of a certificate, or of a hello where there are no certificates (then `serial` is empty and
/// `not_after` 0).
struct peer_identity {
  std::string cluster;
  peer_role role = peer_role::node;
  std::string name;
  std::string serial;         ///< Lower-case hex without leading zeros.
  std::int64_t not_after = 0; ///< Seconds of Unix time.
  friend bool operator==(const peer_identity&, const peer_identity&) = default;
};

/// Cluster or peer name that fits a URI: 1 to limits::name_bytes_max of `A-Z a-z 0-9 . _ -`.
[[nodiscard]] bool valid_name(std::string_view name);

/// The URI; serial and end are not part of it.
[[nodiscard]] std::string format_uri(const peer_identity& identity);
/// The reverse. Returns: `bad_identity` (refuse) for anything that format_uri() does not make.
[[nodiscard]] result<peer_identity> parse_uri(std::string_view uri);

} // namespace consort::links
