// SPDX-License-Identifier: Apache-2.0
#pragma once
/// What to tell people on other hosts about an address of this one.

#include <string>

namespace consort::cli {

/// Where others reach what is bound to `HOST:PORT`: there, unless it is bound to every address of
/// this machine; then at the first that is no loopback, IPv4 before IPv6. `THIS_HOST` stands where
/// there is none.
[[nodiscard]] std::string reachable_address(const std::string& bound);

/// Whether `HOST:PORT` can be reached from this machine only.
[[nodiscard]] bool only_here(const std::string& address);

/// The command, fit for pasting into a shell, that adds a node to the scheduler at that address.
/// `secured`: by certificates, which name the cluster; else `cluster` does, empty = the default.
[[nodiscard]] std::string join_command(const std::string& address, const std::string& token,
                                       bool secured, const std::string& cluster);

/// Type of the device that a model server at that host is: `remote` unless the host is this
/// machine, so that nothing labelled local-only goes there.
[[nodiscard]] std::string type_of_server(const std::string& host);

} // namespace consort::cli
