// SPDX-License-Identifier: Apache-2.0
#include "actors/config.hpp"

#include "actors/caf_compat.hpp"
#include "actors/limits.hpp"
#include "actors/type_ids.hpp"

#include <chrono>
#include <thread>

namespace consort::actors {

system_config::system_config(std::size_t workers) {
  add_message_types<caf::id_block::consort>();
  set("scheduler.policy", caf::atom("sharing"));
  set("scheduler.max-threads", workers);
  set("logger.verbosity", caf::atom("quiet"));
}

bool shut_down(caf::actor_system& system, const std::vector<caf::actor>& local) {
  for (const auto& actor : local)
    stop(actor);
  constexpr auto poll = std::chrono::milliseconds(2);
  const auto deadline
      = std::chrono::steady_clock::now() + std::chrono::microseconds(limits::shutdown_us);
  while (system.registry().running() > 0) {
    if (std::chrono::steady_clock::now() >= deadline) {
      system.await_actors_before_shutdown(false);
      return false;
    }
    std::this_thread::sleep_for(poll);
  }
  return true;
}

} // namespace consort::actors
