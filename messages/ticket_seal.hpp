// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Tickets cannot be forged: the scheduler seals each with HMAC-SHA256 over all its fields but the
/// MAC itself, under a key that nodes get in the answer to their hello. Pure; thread-safe. Does not
/// judge expiry or fences; the node does.

#include "scheduler/requests.hpp"

#include <string>
#include <string_view>

namespace consort::messages {

/// Returns: the MAC, 64 lower-case hex digits, over every field but `mac`. Empty when OpenSSL fails
/// (no such digest), which no verification accepts.
[[nodiscard]] std::string seal(const ticket& permission, std::string_view key);

/// Whether `permission.mac` is its seal under `key`. Takes the same time for every wrong MAC.
[[nodiscard]] bool ticket_sealed(const ticket& permission, std::string_view key);

} // namespace consort::messages
