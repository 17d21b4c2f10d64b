// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/cli/command_run.hpp"
#include "tests/unit/cli/test_server.hpp"

#include <CLI/CLI.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <stdexcept>

namespace consort::cli {
namespace {

using testing::HasSubstr;

TEST(App, HelpIsThereOnEveryCommandAndEndsWell) {
  for (const auto& command :
       {"run",      "submit",  "status", "nodes", "devices", "models",  "artifacts",
        "requests", "explain", "events", "drain", "cordon",  "undrain", "uncordon",
        "plan",     "compile", "model",  "bench", "sim",     "config"}) {
    const auto done = run_command({command, "--help"});
    EXPECT_EQ(done.code, exit_code::done) << command;
    EXPECT_THAT(done.out, HasSubstr(command));
    EXPECT_EQ(done.err, "");
  }
}

TEST(App, VersionIsOneLine) {
  const auto done = run_command({"--version"});
  EXPECT_EQ(done.code, exit_code::done);
  EXPECT_THAT(done.out, testing::MatchesRegex("consort [0-9.]+(.[0-9a-f]+(.dirty)?)?\n"));
}

/// Two builds of one version are told apart where they were made of a checkout.
TEST(App, VersionNamesTheCommitOfACheckout) {
  if (!std::filesystem::exists(CONSORT_SOURCE_DIR "/.git"))
    GTEST_SKIP() << "not built of a checkout";
  EXPECT_THAT(run_command({"--version"}).out, HasSubstr("+"));
}

TEST(App, WhatACommandThrowsIsOneLineAndNoAbort) {
  bare_context run;
  const auto app = make_app(run.env);
  app->add_subcommand("defect", "Throws")->callback([&run] {
    run.env.action = []() -> exit_code { throw std::runtime_error("the folder went away"); };
  });
  const std::array argv{"consort", "defect"};
  EXPECT_EQ(parse_and_run(*app, run.env, static_cast<int>(argv.size()), argv.data()),
            exit_code::failed);
  EXPECT_EQ(run.err.str(), "consort: the folder went away\n");
}

struct usage_case {
  std::vector<std::string> arguments;
  const char* expected;
};

class UsageError : public testing::TestWithParam<usage_case> {};

TEST_P(UsageError, IsOneLineThatSaysWhatToDo) {
  const auto done = run_command(GetParam().arguments);
  EXPECT_EQ(done.code, exit_code::usage);
  EXPECT_THAT(done.err, HasSubstr(GetParam().expected));
  EXPECT_THAT(done.err, HasSubstr("--help"));
  EXPECT_EQ(std::count(done.err.begin(), done.err.end(), '\n'), 1) << done.err;
  EXPECT_EQ(done.out, "");
}

INSTANTIATE_TEST_SUITE_P(
    Lines, UsageError,
    testing::Values(usage_case{{}, "a command is missing"},
                    usage_case{{"statsu"}, "did you mean status"},
                    usage_case{{"config", "chek"}, "did you mean check"},
                    usage_case{{"config"}, "a command is missing"},
                    usage_case{{"devices", "--no-such-flag"}, "--no-such-flag"},
                    usage_case{{"devices", "-o", "poem"}, "poem"}, usage_case{{"submit"}, "MODEL"},
                    usage_case{{"submit", "m", "p", "--wait", "soon"}, "not a duration"},
                    usage_case{{"bench", "-c", "5000"}, "--streams"},
                    usage_case{{"submit", "m", "p", "--max-tokens", "0"},
                               "not in range 1 to 1000000"},
                    usage_case{{"events", "-n", "5000"}, "-n,--last: "}));

TEST(App, EnvironmentNamesAreUpperSnakeOfTheFlag) {
  EXPECT_EQ(environment_name("api-key"), "CONSORT_API_KEY");
  EXPECT_EQ(environment_name("server"), "CONSORT_SERVER");
}

TEST(App, AFlagWinsOverTheEnvironmentWhichWinsOverTheDefault) {
  const auto from_environment = dead_url();
  const auto from_flag = dead_url();
  ASSERT_EQ(setenv("CONSORT_SERVER", from_environment.c_str(), 1), 0);
  const auto by_environment = run_command({"status"});
  const auto by_flag = run_command({"--server", from_flag, "status"});
  ASSERT_EQ(unsetenv("CONSORT_SERVER"), 0);
  EXPECT_THAT(by_environment.err, HasSubstr(from_environment));
  EXPECT_THAT(by_flag.err, HasSubstr(from_flag));
}

/// As the commands of `artifacts` do: all fill the same place.
TEST(App, TheEnvironmentOfACommandThatIsNotCalledDoesNotWin) {
  const auto folder_of = [](const auto&... words) {
    bare_context run;
    const auto app = make_app(run.env);
    std::string folder;
    for (const auto* name : {"one", "other"}) {
      auto* command = app->add_subcommand(name, "Says its folder");
      command->add_option("--data", folder, "A folder");
      command->callback([&run] { run.env.action = [] { return exit_code::done; }; });
    }
    const std::array argv{"consort", words...};
    EXPECT_EQ(parse_and_run(*app, run.env, static_cast<int>(argv.size()), argv.data()),
              exit_code::done);
    return folder;
  };
  ASSERT_EQ(setenv("CONSORT_DATA", "of the environment", 1), 0);
  EXPECT_EQ(folder_of("one"), "of the environment");
  EXPECT_EQ(folder_of("one", "--data", "of the flag"), "of the flag");
  ASSERT_EQ(unsetenv("CONSORT_DATA"), 0);
}

TEST(App, TheEnvironmentIsNoPartOfAConflictOfFlags) {
  struct outcome {
    exit_code code;
    std::string node;
    bool local;
  };
  const auto parsed = [](const auto&... words) {
    bare_context run;
    const auto app = make_app(run.env);
    outcome made{exit_code::done, {}, false};
    auto* command = app->add_subcommand("one", "Says what it was given");
    auto* node = command->add_option("--node", made.node, "A node");
    node->excludes(command->add_flag("--local", made.local, "This host"));
    command->callback([&run] { run.env.action = [] { return exit_code::done; }; });
    const std::array argv{"consort", words...};
    made.code = parse_and_run(*app, run.env, static_cast<int>(argv.size()), argv.data());
    return made;
  };
  ASSERT_EQ(setenv("CONSORT_NODE", "edge", 1), 0);
  const auto by_environment = parsed("one");
  const auto by_flag = parsed("one", "--local");
  ASSERT_EQ(unsetenv("CONSORT_NODE"), 0);
  EXPECT_EQ(by_environment.node, "edge");
  EXPECT_EQ(by_flag.code, exit_code::done);
  EXPECT_TRUE(by_flag.local);
  EXPECT_EQ(by_flag.node, "");
  EXPECT_EQ(parsed("one", "--local", "--node=edge").code, exit_code::usage);
}

TEST(App, GlobalFlagsMayFollowTheCommand) {
  const auto url = dead_url();
  const auto done = run_command({"status", "--server", url});
  EXPECT_EQ(done.code, exit_code::unreachable);
  EXPECT_THAT(done.err, HasSubstr(url));
  EXPECT_THAT(done.err, HasSubstr("consort up"));
}

} // namespace
} // namespace consort::cli
