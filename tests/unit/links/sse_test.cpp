// SPDX-License-Identifier: Apache-2.0
#include "links/sse.hpp"

#include "links/limits.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace consort::links {
namespace {

const std::string sample_stream
    = "event: note\ndata: one\n\n: a comment\ndata: two\r\ndata:three\r\n\r\n"
      "id: 7\n\ndata: [DONE]\n\n";

std::vector<std::string> read_in_pieces(std::size_t piece) {
  std::vector<std::string> seen;
  sse_parser parser([&](const sse_event& event) {
    seen.push_back(event.name + "|" + event.data);
    return true;
  });
  for (std::size_t at = 0; at < sample_stream.size(); at += piece)
    EXPECT_TRUE(parser.feed(std::string_view(sample_stream).substr(at, piece)));
  return seen;
}

TEST(SseParser, ReadsTheSameEventsHoweverTheStreamIsCut) {
  const std::vector<std::string> expected{"note|one", "|two\nthree", "|[DONE]"};
  for (std::size_t piece = 1; piece <= sample_stream.size(); ++piece)
    EXPECT_EQ(read_in_pieces(piece), expected) << piece;
}

TEST(SseParser, PassesOverAByteOrderMarkAtTheBeginningAndNoOther) {
  const std::string mark = "\xef\xbb\xbf";
  const std::string stream = mark + "data: a\n\n" + mark + "data: b\n\ndata: " + mark + "c\n\n";
  for (std::size_t piece = 1; piece <= stream.size(); ++piece) {
    std::vector<std::string> seen;
    sse_parser parser([&](const sse_event& event) {
      seen.push_back(event.data);
      return true;
    });
    for (std::size_t at = 0; at < stream.size(); at += piece)
      EXPECT_TRUE(parser.feed(std::string_view(stream).substr(at, piece)));
    EXPECT_EQ(seen, (std::vector<std::string>{"a", mark + "c"})) << piece;
  }
}

TEST(SseParser, StopsWhenItsHandlerStops) {
  int seen = 0;
  sse_parser parser([&](const sse_event&) { return ++seen < 2; });
  EXPECT_FALSE(parser.feed("data: a\n\ndata: b\n\ndata: c\n\n"));
  EXPECT_FALSE(parser.feed("data: d\n\n"));
  EXPECT_EQ(seen, 2);
  EXPECT_FALSE(parser.too_long());
}

TEST(SseParser, RefusesALineBeyondItsLimit) {
  sse_parser parser([](const sse_event&) { return true; });
  EXPECT_TRUE(parser.feed(std::string(limits::sse_line_bytes_max, 'x')));
  EXPECT_FALSE(parser.feed("x"));
  EXPECT_TRUE(parser.too_long());
}

/// Lines of a sound length, and never the empty one that would end the event.
TEST(SseParser, RefusesAnEventBeyondItsLimit) {
  std::size_t whole = 0;
  sse_parser parser([&](const sse_event& event) { return (whole = event.data.size()) > 0; });
  const std::string half = "data: " + std::string(limits::sse_event_bytes_max / 2 - 1, 'x') + "\n";
  EXPECT_TRUE(parser.feed(half + half + "\n"));
  EXPECT_EQ(whole, limits::sse_event_bytes_max - 1) << "with the line end between them";
  EXPECT_TRUE(parser.feed(half + half));
  EXPECT_FALSE(parser.feed("data: 1\n"));
  EXPECT_TRUE(parser.too_long());
}

} // namespace
} // namespace consort::links
