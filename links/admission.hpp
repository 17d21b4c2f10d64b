// SPDX-License-Identifier: Apache-2.0
#pragma once
/// The guard's book of connections: how many there are, of whom, and who has to go when there are
/// too many. Pure and not thread-safe; the listener's strand owns it. IPv6 peers count by their
/// /64, since one host has a whole one.
///
/// Connections that come to nothing are counted by address; one that has too many of them is not
/// heard for a while. Whoever gets in makes some of them good, so that a large site that comes back
/// all at once is not taken for an attacker.

#include "links/limits.hpp"
#include "links/throttle.hpp"

#include <boost/asio/ip/address.hpp>

#include <map>
#include <optional>
#include <set>
#include <string_view>
#include <vector>

namespace consort::links {

class admission {
public:
  using connection_id = std::uint64_t;

  explicit admission(const limits::limit_set& limits) : limits_(limits) {}

  struct verdict {
    std::string_view refused;             ///< Reason; empty = admitted.
    bool mute = false;                    ///< Better not to hear this address for a while.
    std::vector<connection_id> displaced; ///< Unfinished ones to close; already off the book.
  };

  /// A connection was accepted. Requires: ids grow.
  [[nodiscard]] verdict admit(connection_id id, const boost::asio::ip::address& address,
                              time_us now);
  /// Its peer is in good order. Returns: false when it was displaced meanwhile.
  [[nodiscard]] bool finish(connection_id id);
  /// It ended, in whatever state; unknown ids are ignored. `failures`: what it counts as if it came
  /// to nothing.
  void gone(connection_id id, time_us now, std::int64_t failures = 1);

  /// The unfinished one that has waited longest, taken off the book; for when descriptors run out.
  [[nodiscard]] std::optional<connection_id> displace_oldest(time_us now);

  /// What addresses count as one: the same text.
  [[nodiscard]] static std::string key_of(const boost::asio::ip::address& address);

  [[nodiscard]] std::size_t unfinished() const { return unfinished_.size(); }
  [[nodiscard]] std::size_t connections() const { return owners_.size(); }
  [[nodiscard]] std::size_t connections_of(const std::string& key) const;
  [[nodiscard]] std::size_t addresses() const { return addresses_.size(); }

private:
  /// What is known of one address.
  struct visitor {
    explicit visitor(const limits::limit_set& limits)
        : failures(limits.address_failures_rate, limits.address_failures_at_once) {}
    token_bucket failures;
    std::size_t connections = 0;
    std::set<connection_id> unfinished;
  };
  using visitors = std::map<std::string, visitor>;

  visitors::iterator visit(const boost::asio::ip::address& address, time_us now);
  void displace(connection_id id, time_us now, verdict& out);
  void forget_idle(time_us now);

  limits::limit_set limits_;
  visitors addresses_;
  std::map<connection_id, visitors::iterator> owners_;
  std::set<connection_id> unfinished_; ///< Ids grow, so the first is the oldest.
};

/// Decides which lines about an address are written: the first of every period, which then tells
/// how many were left out. Not thread-safe.
class quiet_log {
public:
  explicit quiet_log(duration_us every) : every_(every) {}

  /// Returns: how many lines were left out since the last; nullopt = leave this one out.
  [[nodiscard]] std::optional<std::uint64_t> may_log(const std::string& address, time_us now);
  [[nodiscard]] std::size_t addresses() const { return seen_.size(); }

private:
  struct entry {
    time_us logged_at = 0;
    std::uint64_t left_out = 0;
  };
  duration_us every_;
  std::map<std::string, entry> seen_;
};

} // namespace consort::links
