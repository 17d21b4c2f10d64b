// SPDX-License-Identifier: Apache-2.0
#include "messages/wire_io.hpp"

namespace consort::messages {

result<kj::Array<capnp::word>> aligned(frame_kind kind, std::span<const char> bytes) {
  if (bytes.size() > payload_bytes_max(kind))
    return error{recovery::refuse, "frame_too_large",
                 std::string(name_of(kind)) + " of " + std::to_string(bytes.size())
                     + " bytes; the limit is " + std::to_string(payload_bytes_max(kind))};
  if (bytes.empty() || bytes.size() % sizeof(capnp::word) != 0)
    return error{recovery::refuse, "bad_frame",
                 std::string(name_of(kind)) + ": " + std::to_string(bytes.size())
                     + " bytes are no whole number of words"};
  auto words = kj::heapArray<capnp::word>(bytes.size() / sizeof(capnp::word));
  std::memcpy(words.begin(), bytes.data(), bytes.size());
  return words;
}

error malformed(frame_kind kind, const kj::Exception& thrown) {
  const auto described = thrown.getDescription();
  return error{recovery::refuse, "bad_frame",
               std::string(name_of(kind)) + ": malformed: "
                   + repaired(std::string_view(described.begin(), described.size()), 256)};
}

} // namespace consort::messages
