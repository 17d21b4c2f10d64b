// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Peers that are known by name and misbehave: they are held off for a while, however often and
/// from wherever they connect, since a new link would give them new buckets. Each offence beyond
/// what is forgiven doubles the next hold. Thread-safe; shared by all connections of one listener.

#include "links/identity.hpp"
#include "links/throttle.hpp"
#include "messages/envelope.hpp"

#include <map>
#include <mutex>
#include <optional>
#include <vector>

namespace consort::links {

/// Whether a link that ended like this was ended by what its peer did and no peer of ours does.
[[nodiscard]] bool is_offence(const std::string& code);

/// A name that is held off, and for how long yet.
struct held_peer {
  peer_role role = peer_role::node;
  std::string name;
  duration_us left_us = 0;
};

class holds {
public:
  explicit holds(const limits::limit_set& limits) : limits_(limits) {}

  /// Returns: `held_off` while it is.
  [[nodiscard]] std::optional<error> held(const peer_identity& who, time_us now);
  /// It wants to join. Returns: `held_off`, `joins_too_often`; both retry later.
  [[nodiscard]] std::optional<error> judge_join(const peer_identity& who, time_us now);
  /// It did what is forgiven a few times.
  void slipped(const peer_identity& who, time_us now);
  /// It did what is not.
  void offended(const peer_identity& who, time_us now);

  [[nodiscard]] std::size_t names() const;
  /// Those that are held off now, by role and name.
  [[nodiscard]] std::vector<held_peer> held_now(time_us now) const;

private:
  struct entry {
    explicit entry(const limits::limit_set& limits)
        : joins(limits.joins_rate, limits.joins_at_once),
          slips(limits.offences_rate, limits.offences_at_once) {}
    token_bucket joins;
    token_bucket slips;
    time_us held_until = 0;
    unsigned times = 0; ///< Held, without a peaceful time between.
  };
  entry* find(const peer_identity& who, time_us now);
  void forget_calm(time_us now);
  void hold(entry& one, time_us now);
  [[nodiscard]] std::optional<error> judge(const entry& one, const peer_identity& who,
                                           time_us now) const;

  const limits::limit_set limits_;
  mutable std::mutex mutex_;
  std::map<std::pair<peer_role, std::string>, entry> entries_;
};

} // namespace consort::links
