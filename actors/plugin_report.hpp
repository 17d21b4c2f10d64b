// SPDX-License-Identifier: Apache-2.0
#pragma once
/// What a node tells of its plugins when it is asked to list them: a pure function of the tables
/// that its inventory keeps, so that nothing is probed for it. Bounded by rows and bytes
/// (messages/limits.hpp, limits::plugin_list_bytes_max); what finds no room is counted.

#include "messages/envelope.hpp"
#include "node/inventory.hpp"

#include <vector>

namespace consort::actors {

/// Plugins in the order given; of the claims only those that somebody lost, since an only claim is
/// its plugin's device.
[[nodiscard]] messages::plugins_report
report_plugins(node_id node, const std::vector<node::plugin_status>& plugins,
               const std::vector<node::device_claim>& claims);

} // namespace consort::actors
