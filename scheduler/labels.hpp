// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Labels of a request's data: each says which devices may see it. `local-only` keeps it on devices
/// of the cluster itself, so that no REMOTE gets it; any other label admits only devices that carry
/// the tag `data:LABEL`. All labels of a request hold together, and no policy weighs against them.
/// Pure functions; a request's set is bounded by limits::labels_max.

#include "scheduler/resources.hpp"

#include <string_view>

namespace consort::core {

inline constexpr std::string_view local_only_label = "local-only";

/// 1 to limits::label_bytes_max of lower-case letters, digits, `-`, `_`, `.`; begins with a letter.
[[nodiscard]] bool label_well_formed(std::string_view label);

/// Whether data with these labels may go to the device.
[[nodiscard]] bool labels_admit(const std::vector<std::string>& labels, const device_spec& device);

/// Which of them keeps the data from the device, to be put behind its name; empty when none does.
[[nodiscard]] std::string label_refusal(const std::vector<std::string>& labels,
                                        const device_spec& device);

/// In order, each once.
[[nodiscard]] std::vector<std::string> ordered_labels(std::vector<std::string> labels);

/// ` [a, b]` for people; empty when there are none.
[[nodiscard]] std::string labels_text(const std::vector<std::string>& labels);

} // namespace consort::core
