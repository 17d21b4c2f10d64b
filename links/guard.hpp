// SPDX-License-Identifier: Apache-2.0
#pragma once
/// The listening end of links and the only way in: accepts, finishes TLS and hello under deadlines,
/// and hands over a link when everything is in order. What is not is closed, counted by reason and
/// logged once per address and minute; where the peer can read it, it is told why.
///
/// A silent or half-spoken connection costs a socket and a timer until its deadline; when there are
/// too many of them the oldest gives way, so that peers with something to say always get through.

#include "links/credentials.hpp"
#include "links/holds.hpp"
#include "links/link.hpp"
#include "messages/envelope.hpp"

#include <boost/asio/io_context.hpp>

#include <map>

namespace consort::links {

struct guard_options {
  std::string host = "127.0.0.1";                        ///< An address of this machine.
  std::uint16_t port = 0;                                ///< 0 = any that is free.
  std::shared_ptr<const links::credentials> credentials; ///< Null = no TLS; loopback only.
  std::string cluster;
  std::string join_token;
  incarnation life; ///< Of this process; goes into refusals.
  limits::limit_set limits = {};
};

/// Since the start, but for the three that say how many there are now.
struct guard_counters {
  std::uint64_t accepted = 0; ///< TCP connections.
  std::uint64_t greeted = 0;  ///< Links handed over.
  /// By reason, links that ended for an offence included: `handshake_timeout`, `hello_timeout`,
  /// `tls_failed`, `bad_frame`, `frame_version`, `frame_too_large`, `not_hello`, `wrong_cluster`,
  /// `wrong_token`, `wrong_role`, `wrong_name`, `certificate_revoked`, `displaced`,
  /// `too_many_connections`, `too_many_failures`, `held_off`, `peer_too_fast`, ...
  std::map<std::string, std::uint64_t> refused;
  std::size_t unfinished = 0;
  std::size_t links = 0;
  std::size_t muted = 0; ///< Addresses that the kernel drops for a while.
};

class guard {
public:
  /// Gets a link that nobody has started yet, and its hello, which was checked. Answering it is the
  /// callee's. Called one at a time, on a thread of the io_context.
  using peer_handler = std::function<void(const std::shared_ptr<link>&, messages::frame hello)>;

  /// Binds and listens. `io` must run, and outlive what was started on it. Returns: `bad_address`,
  /// `address_unprotected` (beyond loopback without credentials), `port_in_use`, `cannot_listen`.
  [[nodiscard]] static result<std::unique_ptr<guard>>
  start(boost::asio::io_context& io, guard_options options, peer_handler on_peer);
  ~guard();

  /// Refuses from now on and closes every link. When it returns, on_peer is not running and will
  /// not run again; links close on the io_context. Thread-safe; may be called again.
  void stop();

  /// Closes links of those certificates at once. Thread-safe.
  void drop(const std::vector<std::string>& serials);

  [[nodiscard]] guard_counters counters() const;
  /// Names that are held off now. Thread-safe.
  [[nodiscard]] std::vector<held_peer> held_off() const;
  /// `host:port` as bound.
  [[nodiscard]] std::string address() const;
  [[nodiscard]] std::uint16_t port() const;

private:
  struct shell;
  explicit guard(std::shared_ptr<shell> started);
  std::shared_ptr<shell> shell_;
};

} // namespace consort::links
