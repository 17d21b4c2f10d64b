// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Drains and cordons: what operators stopped. Both keep new work away; a drain also empties its
/// target of what is loaded there, a cordon leaves that as it is. See hold in core.hpp.

#include "scheduler/state.hpp"

namespace consort::core {

inline constexpr const char* drained_code = "drained"; ///< Of attempts that a drain ended.
/// Drained: what still runs there at the deadline is moved elsewhere.
void check_drained_node(pass& p, index node);
void check_drained_device(pass& p, index device);
/// Unloads what is ready, idle and has a share of a device that is drained, or whose node is; never
/// for a cordon, nor where the node only stops. Returns: whether it did.
bool empty_drained(pass& p, index instance);
/// Whether it will be once it is idle.
[[nodiscard]] bool on_drained(const core_state& s, const instance_row& one);
/// A node or device is seen for the first time: what an earlier life was told of it holds.
void claim_hold(pass& p, const std::string& id, const std::string& identity);
/// The device row is about to stand for that: a hold stays with the hardware that it is about.
void rehold(pass& p, index device, const device_spec& now);
[[nodiscard]] hold_map holds_of(const core_state& s, time_us now);

} // namespace consort::core
