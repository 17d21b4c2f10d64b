// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Frames that peers send, right and wrong, for tests of links.

#include "messages/codec.hpp"

#include <cstring>

namespace consort::links::testing_support {

using messages::frame_kind;

inline constexpr const char* cluster = "lab";
inline constexpr const char* token = "join-token";

inline messages::envelope sender(messages::sender_kind kind, std::string name) {
  return {messages::protocol_version, kind, std::move(name), incarnation{77}, 1};
}

/// A hello as a frame; every part can be wrong.
inline messages::frame hello_frame(messages::sender_kind kind = messages::sender_kind::node,
                                   const std::string& name = "edge-1",
                                   const std::string& of_cluster = cluster,
                                   const std::string& with_token = token) {
  const messages::hello body{of_cluster, with_token, "consort test"};
  return {frame_kind::hello, *messages::encode(sender(kind, name), body)};
}

inline messages::frame event_frame(std::uint64_t sequence = 1) {
  auto from = sender(messages::sender_kind::node, "edge-1");
  from.sequence = sequence;
  return {frame_kind::event, *messages::encode(from, core::event(core::tick{}))};
}

inline messages::frame answer_frame(std::optional<error> refusal = std::nullopt) {
  const messages::hello_answer body{std::move(refusal), 1, {}};
  return {frame_kind::hello_answer,
          *messages::encode(sender(messages::sender_kind::scheduler, cluster), body)};
}

inline std::vector<char> bytes_of(const messages::frame& frame) {
  return *messages::write_frame(frame.kind, frame.payload);
}

/// A header alone, whatever it claims.
inline std::vector<char> header_bytes(std::uint16_t kind, std::uint16_t version,
                                      std::uint32_t payload_bytes) {
  std::vector<char> out(messages::frame_header_bytes);
  const auto put = [&](std::size_t at, auto value) {
    for (std::size_t byte = 0; byte < sizeof value; ++byte)
      out[at + byte] = static_cast<char>((value >> (8 * byte)) & 0xFFU);
  };
  put(0, messages::frame_magic);
  put(4, kind);
  put(6, version);
  put(8, payload_bytes);
  return out;
}

inline std::vector<char> text_bytes(std::string_view text) {
  return {text.begin(), text.end()};
}

} // namespace consort::links::testing_support
