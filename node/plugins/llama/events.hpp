// SPDX-License-Identifier: Apache-2.0
#pragma once
/// How events of the C ABI are made. Private to the CPU engine's library.

#include "node/plugin_abi.h"

#include <cstdint>
#include <string_view>

namespace consort::llama {

[[nodiscard]] inline consort_event event_of(std::uint64_t request, consort_event_kind kind) {
  consort_event event{};
  event.size = sizeof event;
  event.request = request;
  event.kind = kind;
  return event;
}

/// `text` must outlive the event.
inline void set_text(consort_event& event, std::string_view text) {
  event.text = text.data();
  event.text_bytes = text.size();
}

} // namespace consort::llama
