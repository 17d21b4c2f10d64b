// SPDX-License-Identifier: Apache-2.0
#pragma once
/// One attempt to make a link: resolve, connect, TLS, who is there; each under a deadline. Used on
/// one strand, as one coroutine. Private to links/.

#include "links/connector.hpp"
#include "links/link_core.hpp"
#include "links/lookup.hpp"
#include "links/task.hpp"

#include <vector>

namespace consort::links {

/// Whether there is something to dial. Returns: `bad_address`, `address_unprotected`.
[[nodiscard]] std::optional<error> check_target(const connector_options& options);

class dialler : public std::enable_shared_from_this<dialler> {
public:
  /// `options` outlives it.
  dialler(boost::asio::any_io_executor strand, const connector_options& options);

  /// Returns: a link that nobody has started; or `no_such_host`, `cannot_connect`, those of
  /// describe_handshake() and credentials::identify(), `wrong_role`.
  task<result<std::shared_ptr<link_core>>> dial();
  /// Ends what is under way.
  void cut();

private:
  using endpoint = channel::tcp::endpoint;

  task<result<std::vector<endpoint>>> resolve();
  task<result<std::shared_ptr<link_core>>> dial_endpoint(const endpoint& where);
  task<result<peer_identity>> shake_hands(const std::string& address);
  void limit(duration_us span);
  void end_step();

  boost::asio::any_io_executor strand_;
  const connector_options& options_;
  name_lookup names_;
  std::optional<channel> stream_;
  time_limit limit_;
  bool cut_ = false;
};

} // namespace consort::links
