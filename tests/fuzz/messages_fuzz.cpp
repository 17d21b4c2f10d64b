// SPDX-License-Identifier: Apache-2.0
/// No bytes break a decoder, and what it accepts is in range: it encodes, and the result decodes to
/// the same bytes. Every decoder sees every input.

#include "tests/support/message_catalog.hpp"

#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace consort;
  using messages::frame_kind;
  const std::span<const char> bytes(reinterpret_cast<const char*>(data), size);
  for (const auto kind :
       {frame_kind::hello, frame_kind::hello_answer, frame_kind::event, frame_kind::command,
        frame_kind::query, frame_kind::query_answer, frame_kind::heartbeat,
        frame_kind::attempt_open, frame_kind::attempt_event, frame_kind::host_command,
        frame_kind::host_report}) {
    const auto once = samples::recode(kind, bytes);
    if (!once && once.failure().action != recovery::refuse)
      std::abort();
    if (!once)
      continue;
    const auto twice = samples::recode(kind, *once);
    if (!twice || *twice != *once)
      std::abort();
  }
  return 0;
}
