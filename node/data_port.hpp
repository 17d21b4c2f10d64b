// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Where a node is reached for its work: an HTTP/1.1 server over mutual TLS, or plain on loopback.
/// Gateways open attempts (POST /v1/attempts), other nodes fetch artifacts (GET
/// /v1/artifacts/SHA256); docs/PROTOCOL.md describes both. One attempt per exchange; closing the
/// connection cancels it. A peer that reads slowly slows its own stream only.
///
/// Owned by the process that runs the node. Thread-safe; runs on the io_context's threads and, for
/// what blocks on the disk, on two of its own.

#include "links/credentials.hpp"
#include "messages/attempt_service.hpp"
#include "node/artifact_store.hpp"
#include "node/data_port_limits.hpp"

#include <boost/asio/io_context.hpp>

#include <map>

namespace consort::node {

struct data_port_options {
  std::string host = "127.0.0.1"; ///< An address of this machine, or `localhost`.
  std::uint16_t port = 0;         ///< 0 = any that is free.
  std::string advertise;          ///< `HOST` or `HOST:PORT` that others dial; empty = as bound.
  std::shared_ptr<const links::credentials> credentials; ///< Null = no TLS; loopback only.
  limits::data_port_limits limits = {};
};

/// Since the start, but for those that say how many there are now.
struct data_port_counters {
  std::uint64_t accepted = 0; ///< TCP connections.
  std::uint64_t attempts = 0; ///< Opened, refused tickets included.
  std::uint64_t frames = 0;   ///< Attempt events handed to sockets.
  /// Attempts ended by us because the peer read too slowly, and by peers that closed.
  std::uint64_t overflowed = 0;
  std::uint64_t abandoned = 0;
  std::uint64_t artifact_bytes = 0; ///< Sent.
  /// Requests and connections turned away, by code: `wrong_role`, `bad_frame`, `not_found`,
  /// `tls_failed`, `too_many_connections` ...
  std::map<std::string, std::uint64_t> refused;
  std::size_t connections = 0;
  std::size_t attempts_open = 0;
};

struct data_port_shared;

class data_port {
public:
  /// Binds and listens. `io` must outlive it; the service and the store are used until stop()
  /// returns, streams of the service are destroyed on the io_context, perhaps later. Returns:
  /// `bad_address`, `address_unprotected` (beyond loopback without credentials), `port_in_use`,
  /// `cannot_listen`, `advertise_missing` (bound to every address, and none named to others).
  [[nodiscard]] static result<std::unique_ptr<data_port>> start(boost::asio::io_context& io,
                                                                data_port_options options,
                                                                attempt_service& attempts,
                                                                artifact_store& artifacts);
  ~data_port();
  data_port(const data_port&) = delete;
  data_port& operator=(const data_port&) = delete;

  /// Refuses from now on and cuts every connection, which cancels its attempt. Waits for what reads
  /// the disk, not for the io_context. May be called again.
  void stop();

  /// Cuts connections of those certificates at once.
  void drop(const std::vector<std::string>& serials);

  [[nodiscard]] data_port_counters counters() const;
  /// `host:port` that others dial.
  [[nodiscard]] std::string address() const;
  /// As bound.
  [[nodiscard]] std::uint16_t port() const;

private:
  struct shell;
  explicit data_port(std::shared_ptr<shell> started);
  std::shared_ptr<shell> shell_;
};

} // namespace consort::node
