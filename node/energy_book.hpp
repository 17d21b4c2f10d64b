// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Which attempts draw from which meters of this node, and what each drew over all of its meters.
/// Owned by the attempt service, behind its lock; single-threaded, reads no clock. A meter is the
/// device whose counter tells: a partition's is its parent's, since power is the board's; a
/// device's whose stages others work on is theirs. What such devices count themselves is nobody's.

#include "scheduler/energy_split.hpp"
#include "scheduler/resources.hpp"

#include <vector>

namespace consort::node {

class energy_book {
public:
  /// An attempt that draws from `meters`, each once; with none, nobody will know what it drew.
  void begin(const attempt_id& attempt, const std::vector<device_id>& meters, time_us now);
  /// Returns: the sum over its meters, millijoules; nothing when one of them does not know.
  std::optional<std::uint64_t> end(const attempt_id& attempt, time_us now);
  /// One meter's counter. `idle_mw` of its spec sheet, 0 = silent. Returns: what is charged of it
  /// and what is not.
  const core::energy_split& read(const device_id& meter, std::uint64_t idle_mw, time_us now,
                                 std::uint64_t energy_mj);

  /// Nobody read what the meter counts until now (core::energy_split::skip).
  void skip(const device_id& meter, time_us now);
  /// Another counter begins at this meter: what was charged of the one before is no part of it.
  /// Whoever runs there ends unknown.
  void forget(const device_id& meter);

private:
  std::map<device_id, core::energy_split> splits_;
  std::map<attempt_id, std::vector<device_id>> running_;
};

/// Whether attempts draw from a counter of its own.
[[nodiscard]] bool is_meter(const device_spec& device);
/// The meters of an instance on that grant, in order of id. Empty when one of its devices is not
/// among `here`: another node's meters are not seen.
[[nodiscard]] std::vector<device_id> meters_of(const allocation& grant,
                                               const std::vector<device_spec>& here);

} // namespace consort::node
