// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Between the structs of the C ABI and our own values. Pure; thread-safe. Pointers from the vendor
/// are followed as its contract says, its numbers and words are not believed.

#include "messages/host_messages.hpp"
#include "node/plugin_abi.h"

#include <string_view>

namespace consort::node {

/// Copies a vendor's event. Fields that the sender's version does not have read as zero. Returns:
/// `runtime_contract` when the event is none of the ABI's.
[[nodiscard]] result<messages::host_event> copy_vendor_event(const consort_event* event);

/// Turns a status into what a caller may do: refused -> refuse; busy -> retry later, and both are
/// no fault of the device; all else -> retry elsewhere, its fault. `code` is replaced when it is no
/// lower-case word; where there is no message, one names a status that the ABI does not know.
[[nodiscard]] attempt_aborted attempt_failure(std::uint32_t status, std::string_view code,
                                              std::string_view message);

/// The same for a load: refused and bad model -> refuse; busy -> retry later; else retry elsewhere.
[[nodiscard]] error load_failure(std::uint32_t status, std::string_view message);

} // namespace consort::node
