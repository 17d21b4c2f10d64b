// SPDX-License-Identifier: Apache-2.0
#include "links/essential.hpp"
#include "links/task.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <gtest/gtest.h>

#include <stdexcept>

namespace consort::links {
namespace {

task<void> loop_that_ends(bool throws) {
  if (throws)
    throw std::runtime_error("no memory");
  co_return;
}

bool run_loop(bool throws) {
  boost::asio::io_context io;
  boost::asio::co_spawn(io, loop_that_ends(throws), essential("a loop"));
  io.run();
  return true;
}

TEST(Essential, LoopsMayReturn) {
  EXPECT_TRUE(run_loop(false));
}

TEST(EssentialDeathTest, LoopsThatThrowEndTheProcess) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(run_loop(true), "a loop threw: no memory; the process ends");
  EXPECT_DEATH(die_of("a part", std::make_exception_ptr(1)), "a part threw; the process ends");
}

} // namespace
} // namespace consort::links
