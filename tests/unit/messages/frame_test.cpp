// SPDX-License-Identifier: Apache-2.0
// The frame on a byte stream: any split gives the same frames; a bad header is refused before its
// payload is there.
#include "messages/frame.hpp"

#include "messages/envelope.hpp"

#include <gmock/gmock.h>

#include <algorithm>
#include <array>

namespace consort::messages {
namespace {

using testing::HasSubstr;

std::vector<char> bytes_of(std::string_view text) {
  return {text.begin(), text.end()};
}

std::vector<char> header(std::uint32_t magic, std::uint16_t kind, std::uint16_t version,
                         std::uint32_t payload_bytes) {
  std::vector<char> out;
  const auto put = [&](std::uint64_t value, unsigned bytes) {
    for (unsigned at = 0; at < bytes; ++at)
      out.push_back(static_cast<char>((value >> (8 * at)) & 0xFFU));
  };
  put(magic, 4);
  put(kind, 2);
  put(version, 2);
  put(payload_bytes, 4);
  return out;
}

error refusal_of(const std::vector<char>& stream) {
  frame_reader reader;
  reader.feed(stream);
  const auto frame = reader.next();
  EXPECT_FALSE(frame.ok());
  return frame.ok() ? error{} : frame.failure();
}

std::vector<char> two_frames() {
  auto stream = *write_frame(frame_kind::event, bytes_of("first"));
  const auto second = *write_frame(frame_kind::host_report, bytes_of(""));
  stream.insert(stream.end(), second.begin(), second.end());
  return stream;
}

TEST(Frame, HasTheDocumentedHeader) {
  const auto stream = *write_frame(frame_kind::command, bytes_of("abc"));
  EXPECT_EQ(std::string(stream.begin(), stream.end()),
            std::string("CSRT\x04\0\x01\0\x03\0\0\0abc", 15));
}

TEST(Frame, AnySplitGivesTheSameFrames) {
  const auto stream = two_frames();
  for (std::size_t piece = 1; piece <= stream.size(); ++piece) {
    frame_reader reader;
    std::vector<frame> seen;
    for (std::size_t at = 0; at < stream.size(); at += piece) {
      const auto end = std::min(at + piece, stream.size());
      reader.feed(std::span<const char>(stream).subspan(at, end - at));
      for (auto next = reader.next(); next.ok() && *next; next = reader.next())
        seen.push_back(**next);
    }
    ASSERT_EQ(seen.size(), 2U) << piece;
    EXPECT_EQ(seen[0], (frame{frame_kind::event, bytes_of("first")}));
    EXPECT_EQ(seen[1], (frame{frame_kind::host_report, {}}));
    EXPECT_EQ(reader.buffered(), 0U);
  }
}

TEST(Frame, IsRefusedByItsHeaderAlone) {
  const auto event = static_cast<std::uint16_t>(frame_kind::event);
  EXPECT_EQ(refusal_of(header(0x50545448, event, 1, 0)).code, "bad_frame");
  EXPECT_THAT(refusal_of(header(frame_magic, 999, 1, 0)).message, HasSubstr("unknown kind 999"));
  EXPECT_EQ(refusal_of(header(frame_magic, event, 2, 0)).code, "frame_version");
  EXPECT_EQ(refusal_of(header(frame_magic, event, 1, 0xFFFFFFFF)).code, "frame_too_large");
  EXPECT_EQ(refusal_of(header(frame_magic, event, 1, limits::frame_bytes_max + 1)).code,
            "frame_too_large");
  const auto body = static_cast<std::uint16_t>(frame_kind::attempt_open);
  EXPECT_EQ(refusal_of(header(frame_magic, body, 1, limits::body_frame_bytes_max + 1)).code,
            "frame_too_large");
}

TEST(Frame, OfTheLargestSizePasses) {
  const auto stream
      = *write_frame(frame_kind::event, std::vector<char>(limits::frame_bytes_max, 'x'));
  frame_reader reader;
  reader.feed(stream);
  const auto frame = reader.next();
  ASSERT_TRUE(frame.ok());
  ASSERT_TRUE(frame->has_value());
  EXPECT_EQ((*frame)->payload.size(), limits::frame_bytes_max);
}

TEST(Frame, OverTheLimitIsNotWritten) {
  const auto written
      = write_frame(frame_kind::event, std::vector<char>(limits::frame_bytes_max + 1));
  ASSERT_FALSE(written.ok());
  EXPECT_EQ(written.failure().code, "frame_too_large");
  EXPECT_FALSE(write_frame(static_cast<frame_kind>(999), {}).ok());
}

TEST(Frame, ARefusalIsFinal) {
  frame_reader reader;
  reader.feed(bytes_of("GET / HTTP/1.1\r\n"));
  ASSERT_FALSE(reader.next().ok());
  reader.feed(two_frames());
  EXPECT_FALSE(reader.next().ok());
  EXPECT_EQ(reader.buffered(), 0U);
}

} // namespace
} // namespace consort::messages
