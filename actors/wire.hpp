// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Between CAF frames and the codec, and the checks that a link makes before it believes a message.
/// Pure but for the log line of a message that cannot be encoded.

#include "actors/caf_compat.hpp"
#include "messages/codec.hpp"

#include <spdlog/spdlog.h>

namespace consort::actors {

template <class Body>
inline constexpr messages::frame_kind kind_of = messages::frame_kind::event;
template <>
inline constexpr messages::frame_kind kind_of<messages::hello> = messages::frame_kind::hello;
template <>
inline constexpr messages::frame_kind
    kind_of<messages::hello_answer> = messages::frame_kind::hello_answer;
template <>
inline constexpr messages::frame_kind kind_of<core::command> = messages::frame_kind::command;
template <>
inline constexpr messages::frame_kind kind_of<messages::query> = messages::frame_kind::query;
template <>
inline constexpr messages::frame_kind
    kind_of<messages::query_answer> = messages::frame_kind::query_answer;

/// A message ready for CAF. `Body` is one of the codec's control messages.
template <class Body>
result<frame> to_frame(const messages::envelope& from, const Body& body) {
  auto bytes = messages::encode(from, body);
  if (!bytes)
    return bytes.failure();
  return frame{static_cast<std::uint16_t>(kind_of<Body>), std::move(*bytes)};
}

/// Posts `encoded`, or logs why there is nothing to post.
template <class Self>
void post_frame(Self* self, const caf::actor& receiver, result<frame> encoded) {
  if (encoded)
    post(self, receiver, std::move(*encoded));
  else
    spdlog::error("{}: cannot encode a message: {}", self->name(), encoded.failure().message);
}

/// Why a hello is refused: another cluster or a wrong join token (compared in constant time).
[[nodiscard]] std::optional<error> check_hello(const messages::hello& hello,
                                               const std::string& cluster,
                                               const std::string& join_token);

/// Whether a greeted peer sends this under its own name and life: nodes speak of themselves,
/// gateways of requests that they made.
[[nodiscard]] bool speaks_for_itself(const messages::envelope& greeted,
                                     const messages::envelope& from, const core::event& event);

} // namespace consort::actors
