// SPDX-License-Identifier: Apache-2.0
#include "messages/frame.hpp"

#include "messages/envelope.hpp"

#include <algorithm>

namespace consort::messages {

namespace {

/// Little-endian, whatever the machine.
template <class Number>
void put(std::vector<char>& out, Number value) {
  for (std::size_t byte = 0; byte < sizeof(Number); ++byte)
    out.push_back(static_cast<char>((value >> (8 * byte)) & 0xFFU));
}

template <class Number>
Number get(const char* from) {
  Number value = 0;
  for (std::size_t byte = 0; byte < sizeof(Number); ++byte)
    value = static_cast<Number>(
        value | static_cast<Number>(Number{static_cast<unsigned char>(from[byte])} << (8 * byte)));
  return value;
}

struct header {
  std::uint32_t magic;
  frame_kind kind;
  std::uint16_t version;
  std::uint32_t payload_bytes;
};

header parse_header(const char* from) {
  return {get<std::uint32_t>(from), static_cast<frame_kind>(get<std::uint16_t>(from + 4)),
          get<std::uint16_t>(from + 6), get<std::uint32_t>(from + 8)};
}

error refusal(std::string code, std::string message) {
  return error{recovery::refuse, std::move(code), std::move(message)};
}

std::optional<error> judge(const header& head) {
  if (head.magic != frame_magic)
    return refusal("bad_frame", "the stream does not begin with a frame");
  if (head.version != protocol_version)
    return refusal("frame_version", "the frame is of protocol version "
                                        + std::to_string(head.version) + ", this build speaks "
                                        + std::to_string(protocol_version));
  if (!known(head.kind))
    return refusal("bad_frame", "the frame is of an unknown kind "
                                    + std::to_string(static_cast<unsigned>(head.kind)));
  if (head.payload_bytes > payload_bytes_max(head.kind))
    return refusal("frame_too_large",
                   std::string(name_of(head.kind)) + " of " + std::to_string(head.payload_bytes)
                       + " bytes; the limit is " + std::to_string(payload_bytes_max(head.kind)));
  return std::nullopt;
}

} // namespace

std::string_view name_of(frame_kind kind) {
  switch (kind) {
  case frame_kind::hello: return "hello";
  case frame_kind::hello_answer: return "hello_answer";
  case frame_kind::event: return "event";
  case frame_kind::command: return "command";
  case frame_kind::query: return "query";
  case frame_kind::query_answer: return "query_answer";
  case frame_kind::heartbeat: return "heartbeat";
  case frame_kind::attempt_open: return "attempt_open";
  case frame_kind::attempt_event: return "attempt_event";
  case frame_kind::host_command: return "host_command";
  case frame_kind::host_report: return "host_report";
  }
  return "unknown kind";
}

bool known(frame_kind kind) {
  return name_of(kind) != "unknown kind";
}

std::size_t payload_bytes_max(frame_kind kind) {
  const bool carries_body = kind == frame_kind::attempt_open || kind == frame_kind::host_command;
  return carries_body ? limits::body_frame_bytes_max : limits::frame_bytes_max;
}

result<done> append_frame(std::vector<char>& out, frame_kind kind, std::span<const char> payload) {
  if (!known(kind))
    return refusal("bad_frame", "no such kind of frame");
  if (payload.size() > payload_bytes_max(kind))
    return refusal("frame_too_large", std::string(name_of(kind)) + " of "
                                          + std::to_string(payload.size()) + " bytes; the limit is "
                                          + std::to_string(payload_bytes_max(kind)));
  put(out, frame_magic);
  put(out, static_cast<std::uint16_t>(kind));
  put(out, protocol_version);
  put(out, static_cast<std::uint32_t>(payload.size()));
  out.insert(out.end(), payload.begin(), payload.end());
  return done{};
}

result<std::vector<char>> write_frame(frame_kind kind, std::span<const char> payload) {
  std::vector<char> out;
  out.reserve(frame_header_bytes + std::min(payload.size(), payload_bytes_max(kind)));
  if (const auto written = append_frame(out, kind, payload); !written)
    return written.failure();
  return out;
}

void frame_reader::feed(std::span<const char> bytes) {
  if (refused_)
    return;
  // Taken frames leave the front only now, once per piece read and not once per frame.
  buffer_.erase(buffer_.begin(), buffer_.begin() + static_cast<std::ptrdiff_t>(taken_));
  taken_ = 0;
  buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
}

result<std::optional<frame>> frame_reader::next() {
  if (refused_)
    return *refused_;
  if (buffered() < frame_header_bytes)
    return std::optional<frame>();
  const header head = parse_header(buffer_.data() + taken_);
  refused_ = judge(head);
  if (!refused_ && check_)
    refused_ = check_(head.kind, head.payload_bytes);
  if (refused_) {
    buffer_ = {};
    taken_ = 0;
    return *refused_;
  }
  if (buffered() < frame_header_bytes + head.payload_bytes)
    return std::optional<frame>();
  const auto payload = buffer_.begin() + static_cast<std::ptrdiff_t>(taken_ + frame_header_bytes);
  taken_ += frame_header_bytes + head.payload_bytes;
  return std::optional<frame>(
      frame{head.kind, {payload, payload + static_cast<std::ptrdiff_t>(head.payload_bytes)}});
}

} // namespace consort::messages
