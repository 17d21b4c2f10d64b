// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Whose handshake begins next. Each costs us a signature, whether its peer goes on or not, so they
/// are bounded twice: of one address so many at a time, and of strangers so many a second that come
/// to nothing. An address is known, and not of the second bound, from a good handshake until one
/// that fails.
///
/// Among strangers those go first who have not been served yet, the newest of them before the
/// others: in a crowd that is too large, who waits longest has the least time left. Then the one
/// that was served longest ago. Within an address: first come, first served.
///
/// Pure: time is a parameter, on an axis that never goes back. Not thread-safe; a turnstile owns
/// it. Remembers at most limits::addresses_max addresses without anybody here, known ones longest.

#include "links/throttle.hpp"

#include <list>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <vector>

namespace consort::links {

class turn_order {
public:
  using id = std::uint64_t;

  explicit turn_order(const limits::limit_set& limits)
      : of_address_max_(limits.address_handshakes),
        strangers_(limits.strangers_rate, limits.strangers_at_once) {}

  /// One of that address wants a turn. Requires: ids grow.
  void enter(id one, const std::string& key);
  /// It is done, whether it was called or not; `well`: its peer is who it should be. Unknown ids
  /// are ignored.
  void leave(id one, bool well);
  /// Those whose turn it is from now on, each named once.
  [[nodiscard]] std::vector<id> call(time_us now);
  /// In how much time there is somebody to call even if nobody leaves. Returns: nullopt when nobody
  /// waits for that.
  [[nodiscard]] std::optional<duration_us> next(time_us now);

  [[nodiscard]] std::size_t addresses() const { return visitors_.size(); }

private:
  struct visitor;
  /// Stranger, when last served, and the complement of the oldest id that waits; then any order.
  using rank = std::tuple<bool, time_us, id, visitor*>;
  /// What is known of one address.
  struct visitor {
    std::list<id> waiting;
    std::size_t inside = 0;
    bool known = false;
    std::optional<time_us> served_at; ///< As a stranger.
    std::optional<rank> listed;       ///< Its place in ready_.
  };
  using visitors = std::map<std::string, visitor>;
  /// One that is here.
  struct guest {
    visitors::iterator of;
    bool inside = false;
    bool charged = false; ///< A token of strangers_ went for it.
  };

  void list(visitor& one);
  void forget_idle();

  const std::size_t of_address_max_;
  token_bucket strangers_; ///< What fails takes one; what goes well gives it back.
  visitors visitors_;
  std::map<id, guest> guests_;
  std::set<rank> ready_; ///< Addresses with somebody who waits for no other of the address.
};

} // namespace consort::links
