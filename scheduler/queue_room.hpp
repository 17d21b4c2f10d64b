// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Whether one more request may wait, when it would begin, and when to come back where it may not.
/// The queue has core_config::queue_max places, of which the last are kept for tenants that hold
/// few (limits::queue_reserve_share); all live requests together limits::requests_max. Looks only.

#include "scheduler/modules.hpp"

namespace consort::core {

/// Of its tenant's; a row without a tenant is of one that has nothing waiting.
[[nodiscard]] bool queue_has_room(const core_state& s, const request_row& r);
/// 429. Requires: there is no room.
[[nodiscard]] ending queue_full_ending(const core_state& s, const request_row& r);
[[nodiscard]] error requests_full();

/// How a request that is not run would end at once for want of room; nullopt = it would not.
/// `blocked`: it could not begin now. Who finds others waiting for its model waits in any case.
[[nodiscard]] std::optional<ending> ends_for_room(const core_state& s, const request_row& r,
                                                  bool blocked);

/// When those who wait for the model now will have begun, as an honest Retry-After; nullopt =
/// nobody knows.
[[nodiscard]] std::optional<duration_us> drained_in(const model_state& model, time_us now);
/// When a request at that place of its queue may be expected to start; 0 = nobody knows.
[[nodiscard]] time_us expected_start(const core_state& s, const request_row& r,
                                     std::uint32_t position, time_us now);

} // namespace consort::core
