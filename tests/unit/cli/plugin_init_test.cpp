// SPDX-License-Identifier: Apache-2.0
#include "cli/plugin_init.hpp"

#include "cli/limits.hpp"
#include "tests/unit/cli/command_run.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace consort::cli {
namespace {

using testing::HasSubstr;

command_run init(const std::string& timeout, const std::string& command) {
  bare_context run;
  plugin_init_flags flags;
  flags.name = "made";
  flags.directory = "/nonexistent";
  flags.from_command = command;
  flags.wraps_command = !command.empty();
  flags.timeout = timeout;
  const auto code = init_plugin(run.env, flags);
  return {code, run.out.str(), run.err.str()};
}

TEST(PluginInit, WaitsForACommandNoLongerThanItWasTold) {
  const auto late = init("300ms", "sleep 60 {port}");
  EXPECT_EQ(late.code, exit_code::failed);
  EXPECT_THAT(late.err, HasSubstr("it is given 300ms"));
  EXPECT_THAT(late.err, HasSubstr("sleep was no model server within 300ms, longer with --timeout"));
}

TEST(PluginInit, RefusesATimeThatIsNoneOrTooLong) {
  const auto hours = [](std::int64_t count) { return std::to_string(count) + "h"; };
  for (const auto& time : {std::string("0s"), std::string("soon"), hours(-1),
                           hours(limits::wrap_time_max.count() + 1)}) {
    const auto refused = init(time, "sleep 60 {port}");
    EXPECT_EQ(refused.code, exit_code::usage) << time;
    EXPECT_THAT(refused.err, HasSubstr("is not a duration such as 90s")) << time;
  }
  const auto most = init(hours(limits::wrap_time_max.count()), "false {port}");
  EXPECT_THAT(most.err, HasSubstr("exited with 1 and printed nothing")) << "it was started";
  const auto alone = init("1s", "");
  EXPECT_EQ(alone.code, exit_code::usage);
  EXPECT_THAT(alone.err, HasSubstr("--timeout is of --from-command only"));
}

} // namespace
} // namespace consort::cli
