// SPDX-License-Identifier: Apache-2.0
#pragma once
/// The dialling end of one link: keeps a link to one address up for ever, under deadlines and with
/// the waits of backoff.hpp. Says nothing by itself: its user says hello on every new link; the
/// connector only listens in for the answer.

#include "links/backoff.hpp"
#include "links/credentials.hpp"
#include "links/link.hpp"

#include <boost/asio/io_context.hpp>

namespace consort::links {

struct connector_options {
  std::string host;
  std::uint16_t port = 0;
  std::shared_ptr<const links::credentials> credentials; ///< Null = no TLS; loopback only.
  peer_role expected = peer_role::scheduler;             ///< Whom the certificate must name.
  backoff_settings backoff = {};
  std::uint64_t seed = 0; ///< Of the waits; different in every process.
  limits::limit_set limits = {};
};

class connector {
public:
  /// A new link that nobody has started. Called one at a time, on a thread of the io_context.
  using up_handler = std::function<void(const std::shared_ptr<link>&)>;
  /// Dialling failed, or the link ended: why. Another try follows by itself. Like up_handler; a
  /// link's own on_closed comes before it.
  using down_handler = std::function<void(const error& why)>;

  /// Dials at once, on `io`, which must outlive what was started on it. Returns: `bad_address`,
  /// `address_unprotected` (beyond loopback without credentials).
  [[nodiscard]] static result<std::unique_ptr<connector>> start(boost::asio::io_context& io,
                                                                connector_options options,
                                                                up_handler on_up,
                                                                down_handler on_down);
  ~connector();

  /// Ends the link and dials no more. When it returns, no handler is running or will run.
  /// Thread-safe; may be called again.
  void stop();

  /// Gives up the present wait and dials now. Thread-safe.
  void dial_now();

  [[nodiscard]] dial_state state() const;

private:
  struct shell;
  explicit connector(std::shared_ptr<shell> started);
  std::shared_ptr<shell> shell_;
};

} // namespace consort::links
