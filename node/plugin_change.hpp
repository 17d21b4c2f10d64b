// SPDX-License-Identifier: Apache-2.0
#pragma once
/// What a changed plugin.json means for what runs under the one before. Pure.

#include "scheduler/resources.hpp"

#include <string_view>

namespace consort::node {

/// Whether both files run models alike, so that what runs may go on: they differ at most in how
/// devices are found, read and described, and in what builds artifacts. A section that is not known
/// to be one of those counts as a difference.
[[nodiscard]] bool runs_alike(std::string_view before, std::string_view now);

/// Whether what runs on a device, which was found again under its identity, fits it as it is now.
[[nodiscard]] bool same_hardware(const device_spec& before, const device_spec& now);

} // namespace consort::node
