// SPDX-License-Identifier: Apache-2.0
// `--watch`: what is drawn, what ends it and what does not.
#include "cli/interrupt.hpp"
#include "cli/list_command.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <ostream>
#include <sstream>

namespace consort::cli {
namespace {

using testing::HasSubstr;

constexpr std::chrono::milliseconds at_once{0};

/// One watch whose pictures are numbered and whose answers are given.
struct watch_run {
  explicit watch_run(std::vector<exit_code> with, bool terminal = false)
      : answers(std::move(with)),
        env{.in = in,
            .out = out,
            .err = err,
            .out_is_tty = terminal,
            .colour = false,
            .start = {},
            .options = {},
            .action = {}} {}

  exit_code run() {
    return repeat(
        env,
        [this](context& with) {
          const auto code = answers[calls++];
          (code == exit_code::done ? with.out : with.err) << "picture " << calls << "\n";
          return code;
        },
        at_once);
  }

  std::vector<exit_code> answers;
  std::size_t calls = 0;
  std::istringstream in;
  std::ostringstream out, err;
  context env;
};

TEST(Watch, OnAPipePicturesFollowEachOtherUntilOneFails) {
  watch_run watch({exit_code::done, exit_code::done, exit_code::refused});
  EXPECT_EQ(watch.run(), exit_code::refused);
  EXPECT_EQ(watch.out.str(), "picture 1\npicture 2\n");
  EXPECT_EQ(watch.err.str(), "picture 3\n");
}

TEST(Watch, AServerThatWasThereMayRestart) {
  watch_run watch({exit_code::done, exit_code::unreachable, exit_code::done, exit_code::failed});
  EXPECT_EQ(watch.run(), exit_code::failed);
  EXPECT_EQ(watch.calls, 4U);
}

TEST(Watch, AServerThatNeverAnsweredEndsIt) {
  watch_run watch({exit_code::unreachable});
  EXPECT_EQ(watch.run(), exit_code::unreachable);
}

TEST(Watch, OnATerminalPicturesAndErrorsAreDrawnInPlace) {
  watch_run watch({exit_code::done, exit_code::failed}, true);
  EXPECT_EQ(watch.run(), exit_code::failed);
  EXPECT_EQ(watch.out.str(), "\x1b[2J\x1b[Hpicture 1\x1b[K\n\x1b[J\x1b[Hpicture 2\x1b[K\n\x1b[J");
  EXPECT_EQ(watch.err.str(), "");
}

TEST(Watch, AReaderThatLeftEndsIt) {
  watch_run watch({exit_code::done});
  watch.out.setstate(std::ios::badbit);
  EXPECT_EQ(watch.run(), exit_code::done);
  EXPECT_EQ(watch.calls, 1U);
}

TEST(WatchDeathTest, AnInterruptEndsItWell) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  const auto interrupted = [](int signal) {
    watch_run watch({exit_code::done});
    repeat(
        watch.env,
        [signal](context&) {
          std::raise(signal);
          return exit_code::failed;
        },
        at_once);
  };
  EXPECT_EXIT(interrupted(SIGINT), testing::ExitedWithCode(0), "");
  EXPECT_EXIT(interrupted(SIGTERM), testing::ExitedWithCode(0), "");
}

TEST(WatchDeathTest, AfterwardsAnInterruptIsWhatItWas) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_EXIT(
      {
        { const interrupt_ends_well scope; }
        std::raise(SIGINT);
      },
      testing::KilledBySignal(SIGINT), "");
}

} // namespace
} // namespace consort::cli
