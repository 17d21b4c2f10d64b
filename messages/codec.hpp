// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Between the values of scheduler/ and the bytes of the wire (messages/*.capnp). Pure functions;
/// thread-safe. Both directions enforce messages/limits.hpp, so what one build encodes it also
/// decodes. Decoding accepts any bytes at any alignment and never throws, crashes or allocates more
/// than a small multiple of them; what it returns is in range, and fields added by newer builds are
/// skipped.
///
/// Errors have action `refuse`; code `bad_frame` (malformed, out of range, unknown kind),
/// `frame_version` (another protocol version) or `frame_too_large`; the message names the kind and
/// the field. Sentences for people (`reason`, `text`, error messages) are never a reason to fail an
/// encoder: it cuts them to limits::text_bytes_max and replaces bytes that are no UTF-8.

#include "messages/attempt_service.hpp"
#include "messages/envelope.hpp"
#include "messages/frame.hpp"
#include "messages/host_messages.hpp"
#include "scheduler/command.hpp"
#include "scheduler/event.hpp"

#include <span>
#include <vector>

namespace consort::messages {

/// A payload, without the frame header.
using encoded = result<std::vector<char>>;

// --- control: node or gateway <-> scheduler ---

[[nodiscard]] encoded encode(const envelope& from, const hello& body);
[[nodiscard]] encoded encode(const envelope& from, const hello_answer& body);
[[nodiscard]] encoded encode(const envelope& from, const heartbeat& body);
[[nodiscard]] encoded encode(const envelope& from, const core::event& body);
[[nodiscard]] encoded encode(const envelope& from, const core::command& body);
[[nodiscard]] encoded encode(const envelope& from, const query& body);
[[nodiscard]] encoded encode(const envelope& from, const query_answer& body);

[[nodiscard]] result<decoded<hello>> decode_hello(std::span<const char> bytes);
[[nodiscard]] result<decoded<hello_answer>> decode_hello_answer(std::span<const char> bytes);
[[nodiscard]] result<decoded<heartbeat>> decode_heartbeat(std::span<const char> bytes);
[[nodiscard]] result<decoded<core::event>> decode_event(std::span<const char> bytes);
[[nodiscard]] result<decoded<core::command>> decode_command(std::span<const char> bytes);
[[nodiscard]] result<decoded<query>> decode_query(std::span<const char> bytes);
[[nodiscard]] result<decoded<query_answer>> decode_query_answer(std::span<const char> bytes);

// --- data port: gateway <-> node ---

/// What opens an attempt.
struct attempt_open {
  ticket permission;
  attempt_body body;
  friend bool operator==(const attempt_open&, const attempt_open&) = default;
};

[[nodiscard]] encoded encode(const attempt_open& body);
[[nodiscard]] encoded encode(const attempt_event& body);

[[nodiscard]] result<attempt_open> decode_attempt_open(std::span<const char> bytes);
[[nodiscard]] result<attempt_event> decode_attempt_event(std::span<const char> bytes);

// --- host socket: agent <-> host process ---

[[nodiscard]] encoded encode(const host_command& body);
[[nodiscard]] encoded encode(const host_report& body);

[[nodiscard]] result<host_command> decode_host_command(std::span<const char> bytes);
[[nodiscard]] result<host_report> decode_host_report(std::span<const char> bytes);

} // namespace consort::messages
