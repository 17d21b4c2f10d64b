// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Takes the chunks of an HTTP/1.1 body apart (RFC 9112, 7.1), in whatever pieces they come,
/// without copying or gathering: content is handed on as it lies in the caller's buffer. Not
/// thread-safe.

#include "scheduler/result.hpp"

#include <cstdint>
#include <optional>
#include <span>

namespace consort::gateway {

class chunked_body {
public:
  /// A piece of the stream without its framing.
  struct portion {
    std::size_t taken = 0; ///< Bytes of the input that are done with.
    std::span<const char> content;
  };

  /// Takes at most one piece of content off the front of `bytes`; call again with the rest while
  /// something was taken. Returns: `bad_chunk` (refuse) for what is no chunk, of a size line over
  /// limits::chunk_line_bytes_max, or of trailers; final.
  [[nodiscard]] result<portion> take(std::span<const char> bytes);

  /// Whether the last chunk was taken; nothing is taken afterwards.
  [[nodiscard]] bool ended() const { return state_ == state::ended; }

private:
  enum class state : std::uint8_t {
    size,
    extension,
    size_end,
    content,
    content_cr,
    content_lf,
    last_cr,
    last_lf,
    ended
  };

  [[nodiscard]] std::optional<error> step(char c);
  [[nodiscard]] std::optional<error> size_step(char c);

  state state_ = state::size;
  std::uint64_t left_ = 0;     ///< Of the chunk's content; its size so far while that is read.
  std::size_t line_bytes_ = 0; ///< Of the size line so far.
  std::size_t digits_ = 0;
};

} // namespace consort::gateway
