// SPDX-License-Identifier: Apache-2.0
#include "links/essential.hpp"
#include "links/log.hpp"
#include "links/task.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <gtest/gtest.h>
#include <spdlog/sinks/stdout_sinks.h>

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

/// Where a death test looks. Only in the process that dies: others capture what is logged.
void log_to_stderr() {
  log().sinks().push_back(std::make_shared<spdlog::sinks::stderr_sink_mt>());
}

TEST(Essential, LoopsMayReturn) {
  EXPECT_TRUE(run_loop(false));
}

TEST(EssentialDeathTest, LoopsThatThrowEndTheProcess) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        log_to_stderr();
        run_loop(true);
      },
      "a loop threw: no memory; the process ends");
  EXPECT_DEATH(
      {
        log_to_stderr();
        die_of("a part", std::make_exception_ptr(1));
      },
      "a part threw; the process ends");
}

} // namespace
} // namespace consort::links
