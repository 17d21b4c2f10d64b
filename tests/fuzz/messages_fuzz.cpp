// SPDX-License-Identifier: Apache-2.0
/// No bytes break a decoder, and what it accepts is in range: it encodes, and the result decodes to
/// the same bytes. Every decoder sees every input, once as it is and once with its segment table
/// made right, since few mutations would get past that table otherwise.

#include "tests/support/message_catalog.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>

namespace {

using namespace consort;
using messages::frame_kind;

void decode_as(frame_kind kind, std::span<const char> bytes) {
  const auto once = samples::recode(kind, bytes);
  if (!once && once.failure().action != recovery::refuse)
    std::abort();
  if (!once)
    return;
  const auto twice = samples::recode(kind, *once);
  if (!twice || *twice != *once)
    std::abort();
}

void decode_as_all(std::span<const char> bytes) {
  for (const auto kind :
       {frame_kind::hello, frame_kind::hello_answer, frame_kind::event, frame_kind::command,
        frame_kind::query, frame_kind::query_answer, frame_kind::heartbeat,
        frame_kind::attempt_open, frame_kind::attempt_event, frame_kind::host_command,
        frame_kind::host_report})
    decode_as(kind, bytes);
}

/// The same bytes as one segment of whole words.
std::vector<char> as_one_segment(std::span<const char> bytes) {
  std::vector<char> words((bytes.size() + 7) / 8 * 8);
  std::copy(bytes.begin(), bytes.end(), words.begin());
  if (words.size() < 8)
    return words;
  const std::uint32_t table[2] = {0, static_cast<std::uint32_t>(words.size() / 8 - 1)};
  std::memcpy(words.data(), table, sizeof table);
  return words;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::span<const char> bytes(reinterpret_cast<const char*>(data), size);
  decode_as_all(bytes);
  decode_as_all(as_one_segment(bytes));
  return 0;
}
