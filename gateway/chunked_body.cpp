// SPDX-License-Identifier: Apache-2.0
#include "gateway/chunked_body.hpp"

#include "gateway/limits.hpp"

#include <algorithm>

namespace consort::gateway {

namespace {

constexpr std::size_t size_digits_max = 15; ///< 2^60 bytes: a sum cannot overflow.

error malformed(const char* what) {
  return {recovery::refuse, "bad_chunk", std::string("not a chunked body: ") + what};
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9')
    return c - '0';
  if (c >= 'a' && c <= 'f')
    return c - 'a' + 10;
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

} // namespace

result<chunked_body::portion> chunked_body::take(std::span<const char> bytes) {
  portion out;
  while (out.taken < bytes.size() && state_ != state::ended) {
    if (state_ == state::content) {
      const auto size = std::min<std::uint64_t>(left_, bytes.size() - out.taken);
      out.content = bytes.subspan(out.taken, size);
      out.taken += size;
      left_ -= size;
      if (left_ == 0)
        state_ = state::content_cr;
      return out;
    }
    if (auto failed = step(bytes[out.taken]))
      return *failed;
    ++out.taken;
  }
  return out;
}

std::optional<error> chunked_body::step(char c) {
  const auto expect = [&](char wanted, state next) -> std::optional<error> {
    if (c != wanted)
      return malformed("a line end is missing");
    state_ = next;
    return std::nullopt;
  };
  switch (state_) {
  case state::size:
  case state::extension: return size_step(c);
  case state::size_end: {
    const bool last = left_ == 0;
    line_bytes_ = digits_ = 0;
    return expect('\n', last ? state::last_cr : state::content);
  }
  case state::content_cr: return expect('\r', state::content_lf);
  case state::content_lf: return expect('\n', state::size);
  case state::last_cr: return expect('\r', state::last_lf);
  case state::last_lf: return expect('\n', state::ended);
  case state::content:
  case state::ended: break;
  }
  return malformed("it goes on after its end");
}

std::optional<error> chunked_body::size_step(char c) {
  if (++line_bytes_ > limits::chunk_line_bytes_max)
    return malformed("a size line is too long");
  if (c == '\r' && digits_ > 0) {
    state_ = state::size_end;
    return std::nullopt;
  }
  if (c == '\n' || c == '\r')
    return malformed("a size line is broken");
  if (state_ == state::extension)
    return std::nullopt;
  if (c == ';' && digits_ > 0) {
    state_ = state::extension;
    return std::nullopt;
  }
  const int digit = hex_digit(c);
  if (digit < 0 || ++digits_ > size_digits_max)
    return malformed("a size is no number");
  left_ = left_ * 16 + static_cast<std::uint64_t>(digit);
  return std::nullopt;
}

} // namespace consort::gateway
