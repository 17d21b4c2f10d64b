// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Devices that cannot be in use together: partitions that overlap, and a device with its parts.
/// Whatever holds one of them, idle or not, keeps the others out, so who waits for one has it
/// unloaded or is told of it. Pure functions of the core's state. Single-threaded, as the core.

#include "scheduler/modules.hpp"

#include <string>
#include <vector>

namespace consort::core {

/// Whether one of them keeps the other out while it is in use.
[[nodiscard]] bool exclude_each_other(const device_spec& one, const device_spec& other);
/// Whether some other device of its node and it exclude each other.
[[nodiscard]] bool overlaps(const core_state& s, index device);
/// Those in use that keep the device out, by id.
[[nodiscard]] std::vector<index> holders_of_units(const core_state& s, index device);
/// Of the first of the prospects that is kept out so: by which devices, and what is on them; or, of
/// an instance over several devices, which of those it needs take no work. To be put behind other
/// words. Empty when none is.
[[nodiscard]] std::string kept_out_words(const core_state& s, index model,
                                         const std::vector<prospect>& among);

} // namespace consort::core
