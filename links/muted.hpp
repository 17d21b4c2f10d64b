// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Addresses that are not heard for a while: a filter at the listening socket makes the kernel drop
/// what they send to it, so that a flood costs this process nothing and others do not queue behind
/// it. Connections that stand already are not touched. Where the kernel takes no filter, nothing
/// happens, and its owner refuses each connection as it did before.
///
/// Owned by whoever owns the listener; used on its strand. Holds at most limits::muted_max
/// addresses; like admission, it takes an IPv6 peer by its /64.

#include "links/limits.hpp"

#include <boost/asio/ip/address.hpp>
#include <boost/asio/steady_timer.hpp>

#include <linux/filter.h>

#include <memory>
#include <vector>

namespace consort::links {

/// Classic BPF over TCP segments that come to a listener: those of `muted` are dropped.
[[nodiscard]] std::vector<sock_filter>
muting_filter(const std::vector<boost::asio::ip::address>& muted);

class muted_addresses {
public:
  muted_addresses(boost::asio::any_io_executor strand, duration_us span);
  ~muted_addresses();
  muted_addresses(const muted_addresses&) = delete;
  muted_addresses& operator=(const muted_addresses&) = delete;

  /// The socket to filter. It stays open until stop().
  void watch(int listener);
  /// From now on, for the span; again, for longer.
  void mute(const boost::asio::ip::address& address);
  /// Lets go of the socket.
  void stop();

  /// Thread-safe.
  [[nodiscard]] std::size_t size() const;

private:
  struct state; ///< Its timer may outlive this for a moment.
  const std::shared_ptr<state> state_;
};

} // namespace consort::links
