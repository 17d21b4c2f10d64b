// SPDX-License-Identifier: Apache-2.0
#include "links/sse.hpp"

#include "links/limits.hpp"

#include "cli/limits.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace consort::cli {
namespace {

const std::string stream = "event: note\ndata: one\n\n: a comment\ndata: two\r\ndata:three\r\n\r\n"
                           "id: 7\n\ndata: [DONE]\n\n";

std::vector<std::string> read(std::size_t piece) {
  std::vector<std::string> seen;
  links::sse_parser parser([&](const links::sse_event& event) {
    seen.push_back(event.name + "|" + event.data);
    return true;
  });
  for (std::size_t at = 0; at < stream.size(); at += piece)
    EXPECT_TRUE(parser.feed(std::string_view(stream).substr(at, piece)));
  return seen;
}

TEST(SseParser, ReadsTheSameEventsHoweverTheStreamIsCut) {
  const std::vector<std::string> expected{"note|one", "|two\nthree", "|[DONE]"};
  for (std::size_t piece = 1; piece <= stream.size(); ++piece)
    EXPECT_EQ(read(piece), expected) << piece;
}

TEST(SseParser, StopsWhenItsHandlerStops) {
  int seen = 0;
  links::sse_parser parser([&](const links::sse_event&) { return ++seen < 2; });
  EXPECT_FALSE(parser.feed("data: a\n\ndata: b\n\ndata: c\n\n"));
  EXPECT_FALSE(parser.feed("data: d\n\n"));
  EXPECT_EQ(seen, 2);
  EXPECT_FALSE(parser.line_too_long());
}

TEST(SseParser, RefusesALineBeyondItsLimit) {
  links::sse_parser parser([](const links::sse_event&) { return true; });
  EXPECT_TRUE(parser.feed(std::string(links::limits::sse_line_bytes_max, 'x')));
  EXPECT_FALSE(parser.feed("x"));
  EXPECT_TRUE(parser.line_too_long());
}

} // namespace
} // namespace consort::cli
