// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Opens the listening socket, or says why not in words that help: who has the port, or that the
/// address needs protection first.

#include "gateway/server.hpp"

#include <boost/asio/ip/tcp.hpp>

namespace consort::gateway {

/// Binds and listens. Returns: an error of code `bad_address`, `address_unprotected`, `port_in_use`
/// or `cannot_listen`.
[[nodiscard]] result<boost::asio::ip::tcp::acceptor>
listen_on(boost::asio::any_io_executor executor, const server_config& config);

/// Which process listens on that TCP port of this host, as `name (pid n)`; empty when it cannot be
/// told (another user's process, or no /proc).
[[nodiscard]] std::string who_listens_on(std::uint16_t port);

} // namespace consort::gateway
