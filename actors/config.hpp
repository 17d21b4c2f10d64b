// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Every CAF option that we set, in one place.

#include <caf/all.hpp>

#include <cstddef>
#include <vector>

namespace consort::actors {

/// Configuration of one actor system. `workers` shared threads; engines need the other cores. The
/// sharing policy costs nothing while idle, where CAF's default keeps about 1 % of a core busy.
class system_config : public caf::actor_system_config {
public:
  explicit system_config(std::size_t workers = 2);
};

/// Stops `local` actors and waits for every actor of the system to end. After limits::shutdown_us
/// it gives up waiting, so that a stuck vendor call cannot hold the process. Returns: whether all
/// ended.
bool shut_down(caf::actor_system& system, const std::vector<caf::actor>& local);

} // namespace consort::actors
