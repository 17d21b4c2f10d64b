// SPDX-License-Identifier: Apache-2.0
/// A stream gives the same frames and the same refusal however it is split, and a frame that was
/// read is written back to the bytes that it came from.

#include "messages/frame.hpp"

#include <algorithm>
#include <cstdlib>

namespace {

using namespace consort::messages;

/// What one way of splitting the stream gives.
struct outcome {
  std::vector<frame> frames;
  std::string refusal;
  friend bool operator==(const outcome&, const outcome&) = default;
};

outcome read_in_pieces(std::span<const char> stream, std::size_t piece) {
  outcome seen;
  frame_reader reader;
  for (std::size_t at = 0; at < stream.size() && seen.refusal.empty(); at += piece) {
    reader.feed(stream.subspan(at, std::min(piece, stream.size() - at)));
    for (;;) {
      auto next = reader.next();
      if (!next)
        seen.refusal = next.failure().code;
      if (!next || !*next)
        break;
      seen.frames.push_back(std::move(**next));
    }
  }
  return seen;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::span<const char> stream(reinterpret_cast<const char*>(data), size);
  const auto whole = read_in_pieces(stream, std::max<std::size_t>(size, 1));
  const std::size_t piece = size == 0 ? 1 : 1 + data[0] % 17;
  if (read_in_pieces(stream, piece) != whole)
    std::abort();
  auto expected = stream.begin();
  for (const auto& one : whole.frames) {
    const auto written = write_frame(one.kind, one.payload);
    if (!written || !std::equal(written->begin(), written->end(), expected))
      std::abort();
    expected += static_cast<std::ptrdiff_t>(written->size());
  }
  return 0;
}
