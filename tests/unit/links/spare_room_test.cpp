// SPDX-License-Identifier: Apache-2.0
// Goal: what links and streams keep of a buffer between two uses is up to their limit, no more.
#include "links/spare_room.hpp"

#include "gateway/limits.hpp"
#include "links/limits.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace consort::links {
namespace {

template <class Buffer>
void expect_kept_up_to(std::size_t bytes_max) {
  Buffer used;
  used.reserve(bytes_max);
  ASSERT_EQ(used.capacity(), bytes_max);
  used.resize(bytes_max, 'x');
  empty(used, bytes_max);
  EXPECT_TRUE(used.empty());
  EXPECT_EQ(used.capacity(), bytes_max) << "the next one needs no allocation";
  used.reserve(bytes_max + 1);
  used.push_back('x');
  empty(used, bytes_max);
  EXPECT_TRUE(used.empty());
  EXPECT_LE(used.capacity(), 64U) << "a burst leaves nothing behind";
}

TEST(SpareRoom, LinksKeepTheirQueueUpToItsLimit) {
  expect_kept_up_to<std::vector<char>>(limits::kept_bytes_max);
}

TEST(SpareRoom, StreamsKeepTheirPieceUpToItsLimit) {
  expect_kept_up_to<std::string>(gateway::limits::kept_bytes_max);
}

} // namespace
} // namespace consort::links
