// SPDX-License-Identifier: Apache-2.0
#pragma once
/// The frame around every message on a byte stream: a header of fixed size, then the payload, which
/// is one Cap'n Proto message. The kind stands outside the payload so that a reader can refuse a
/// frame by its header, before it buffers or parses anything. CAF links carry {kind, payload}
/// instead, since CAF frames by itself.
///
/// Header, 12 bytes, little-endian: magic u32 `CSRT`, kind u16, protocol version u16, payload bytes
/// u32.

#include "messages/limits.hpp"
#include "scheduler/result.hpp"

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace consort::messages {

/// What a payload is. Numbers are part of the wire: never reused, only added.
enum class frame_kind : std::uint16_t {
  hello = 1,
  hello_answer = 2,
  event = 3,
  command = 4,
  query = 5,
  query_answer = 6,
  heartbeat = 7,
  attempt_open = 16,
  attempt_event = 17,
  host_command = 32,
  host_report = 33,
};

inline constexpr std::size_t frame_header_bytes = 12;
inline constexpr std::uint32_t frame_magic = 0x54525343; ///< `CSRT` as it lies in memory.

/// A kind that this build knows.
[[nodiscard]] bool known(frame_kind kind);
/// `hello`, `event`, ...; `unknown kind` for others.
[[nodiscard]] std::string_view name_of(frame_kind kind);
/// Largest payload of a kind: frames that carry a client's body are larger than control frames.
[[nodiscard]] std::size_t payload_bytes_max(frame_kind kind);

struct frame {
  frame_kind kind = frame_kind::event;
  std::vector<char> payload;
  friend bool operator==(const frame&, const frame&) = default;
};

/// Header and payload in one buffer. Returns: `frame_too_large` (refuse) over the kind's limit.
[[nodiscard]] result<std::vector<char>> write_frame(frame_kind kind, std::span<const char> payload);
/// The same at the end of a buffer; on an error the buffer is as it was.
[[nodiscard]] result<done> append_frame(std::vector<char>& out, frame_kind kind,
                                        std::span<const char> payload);

/// Takes a byte stream apart, in whatever pieces it comes. Not thread-safe. A refusal is final: the
/// stream has lost its frame boundaries, so its owner closes it. Holds at most one payload and the
/// bytes fed but not yet taken.
class frame_reader {
public:
  /// Asked about every header that is in order, before its payload is buffered; an error refuses
  /// it.
  using header_check
      = std::function<std::optional<error>(frame_kind kind, std::size_t payload_bytes)>;

  frame_reader() = default;
  explicit frame_reader(header_check check) : check_(std::move(check)) {}

  /// Appends bytes of the stream. Requires: next() was called until it had nothing more, or else
  /// what waits keeps growing.
  void feed(std::span<const char> bytes);

  /// Returns: the next whole frame; nothing when more bytes are needed; or `bad_frame`,
  /// `frame_version`, `frame_too_large` (refuse), as soon as the header is there.
  [[nodiscard]] result<std::optional<frame>> next();

  /// Bytes that wait for the rest of their frame.
  [[nodiscard]] std::size_t buffered() const { return buffer_.size() - taken_; }

private:
  header_check check_;
  std::vector<char> buffer_;
  std::size_t taken_ = 0;
  std::optional<error> refused_;
};

} // namespace consort::messages
