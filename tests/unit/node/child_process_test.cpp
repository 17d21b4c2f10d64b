// SPDX-License-Identifier: Apache-2.0
#include "node/child_process.hpp"

#include "tests/unit/node/alive.hpp"

#include <sys/wait.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <optional>
#include <sstream>

namespace consort::node {
namespace {

using test::alive;
using test::gone_soon;
using test::read_file;
using test::temp_folder;

child_spec shell(const std::string& script) {
  child_spec spec;
  spec.argv = {"/bin/sh", "-c", script};
  return spec;
}

std::size_t open_descriptors() {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd"))
    ++count;
  return count;
}

TEST(ChildProcess, ReportsOutputAndExitCode) {
  const auto end = run_child(shell("echo out; echo err >&2; exit 3"));
  ASSERT_TRUE(end.ok()) << end.failure().message;
  EXPECT_EQ(end->code, 3);
  EXPECT_EQ(end->signal, 0);
  EXPECT_EQ(end->out.text, "out\n");
  EXPECT_EQ(end->err.text, "err\n");
  EXPECT_FALSE(end->ok());
  EXPECT_EQ(describe_exit(*end), "exited with 3");
}

TEST(ChildProcess, ReportsTheSignalThatKilledIt) {
  const auto end = run_child(shell("kill -SEGV $$"));
  ASSERT_TRUE(end.ok());
  EXPECT_EQ(end->signal, SIGSEGV);
}

TEST(ChildProcess, ArgumentsReachTheToolUntouched) {
  child_spec spec;
  spec.argv = {"printf", "%s|", "a b", "$HOME", "; rm -rf /", "*"};
  const auto end = run_child(spec);
  ASSERT_TRUE(end.ok());
  EXPECT_EQ(end->out.text, "a b|$HOME|; rm -rf /|*|");
}

TEST(ChildProcess, SetsEnvironmentAndWorkFolder) {
  const temp_folder folder;
  auto spec = shell("echo $CONSORT_TEST; pwd; read line || echo no input");
  spec.env = {{"CONSORT_TEST", "here"}};
  spec.work_path = folder.path();
  const auto end = run_child(spec);
  ASSERT_TRUE(end.ok());
  EXPECT_EQ(end->out.text,
            "here\n" + std::filesystem::canonical(folder.path()).string() + "\nno input\n");
}

TEST(ChildProcess, AMissingProgramIsAnErrorValue) {
  child_spec spec;
  spec.argv = {"no-such-tool-at-all"};
  const auto end = run_child(spec);
  ASSERT_FALSE(end.ok());
  EXPECT_EQ(end.failure().code, "tool_missing");
  EXPECT_NE(end.failure().message.find("no-such-tool-at-all"), std::string::npos);
}

TEST(ChildProcess, AProgramThatCannotBeExecutedIsAnErrorValue) {
  const temp_folder folder;
  const auto path = folder.write("tool", "not a program");
  std::filesystem::permissions(path, std::filesystem::perms::owner_all);
  child_spec spec;
  spec.argv = {path};
  const auto end = run_child(spec);
  ASSERT_FALSE(end.ok());
  EXPECT_EQ(end.failure().code, "tool_start_failed");
}

TEST(ChildProcess, AScriptWithoutItsInterpreterNamesThat) {
  const temp_folder folder;
  const auto message = [&](const std::string& first) {
    const auto path = folder.write("tool", first + "\nexit 0\n");
    std::filesystem::permissions(path, std::filesystem::perms::owner_all);
    child_spec spec;
    spec.argv = {path};
    const auto end = run_child(spec);
    return end.ok() ? "it ran" : end.failure().message;
  };
  const auto has = [](const std::string& text, const char* part) {
    return text.find(part) != std::string::npos;
  };
  EXPECT_TRUE(has(message("#! /no/such/interp -x"), "tool: its interpreter /no/such/interp is not"))
      << message("#! /no/such/interp -x");
  EXPECT_TRUE(has(message("#!/bin/sh\r"), "/bin/sh? is not there or no executable: its lines end"));
  EXPECT_TRUE(has(message("#!/no/\x1b[31m"), "its interpreter /no/?[31m is not"));
  EXPECT_EQ(message("#!/bin/sh"), "it ran");
}

TEST(ChildProcess, RefusesTooManyAndTooLongArguments) {
  child_spec spec;
  spec.argv.assign(limits::child_arguments_max + 1, "true");
  EXPECT_EQ(run_child(spec).failure().code, "tool_start_failed");
  spec.argv = {"true", std::string(limits::child_argument_bytes_max, 'x')};
  EXPECT_EQ(run_child(spec).failure().code, "tool_start_failed");
  spec.argv = {"true", std::string("a\0b", 3)};
  EXPECT_EQ(run_child(spec).failure().code, "tool_start_failed");
  spec.argv = {};
  EXPECT_EQ(run_child(spec).failure().code, "tool_start_failed");
}

TEST(ChildProcess, AFloodIsReadToItsEndButNotKept) {
  auto spec = shell("head -c 3000000 /dev/zero | tr '\\0' x; echo the end");
  const auto end = run_child(spec);
  ASSERT_TRUE(end.ok());
  EXPECT_EQ(end->code, 0);
  EXPECT_EQ(end->out.bytes_total, 3'000'008U);
  EXPECT_EQ(end->out.text.size(), limits::child_output_bytes_max);
  EXPECT_EQ(end->out.tail.size(), limits::child_tail_bytes_max);
  EXPECT_TRUE(end->out.tail.ends_with("xthe end\n"));
  EXPECT_TRUE(end->out.cut());
}

TEST(ChildProcess, AHundredMegabytesRunInNobodysTime) {
  auto spec = shell("head -c 100000000 /dev/zero");
  spec.timeout_us = 30 * limits::second_us; // It takes a tenth of a second alone.
  const auto end = run_child(spec);
  ASSERT_TRUE(end.ok());
  EXPECT_TRUE(end->ok());
  EXPECT_EQ(end->out.bytes_total, 100'000'000U);
}

TEST(ChildProcess, AToolThatHangsRunsOutOfTime) {
  auto spec = shell("sleep 60");
  spec.timeout_us = 50'000;
  const auto end = run_child(spec);
  ASSERT_TRUE(end.ok());
  EXPECT_TRUE(end->timed_out);
  EXPECT_EQ(describe_exit(*end), "ran out of time");
  EXPECT_EQ(describe_exit(*end, 2 * limits::second_us, "probe.timeout"),
            "ran out of time (2s, probe.timeout)");
  EXPECT_EQ(describe_exit(*end, 2 * limits::second_us, ""), "ran out of time (2s)");
  EXPECT_EQ(with_last_words("exited with 3", ""), "exited with 3 and printed nothing");
  EXPECT_EQ(with_last_words("exited with 3", "no driver"), "exited with 3: no driver");
  EXPECT_LT(end->took_us, 20 * limits::second_us);
}

TEST(ChildProcess, AToolThatIgnoresTermIsKilled) {
  auto spec = shell("trap '' TERM; echo deaf; while :; do sleep 60; done");
  spec.timeout_us = 200'000;
  spec.grace_us = 100'000;
  const auto end = run_child(spec);
  ASSERT_TRUE(end.ok());
  EXPECT_TRUE(end->timed_out);
  EXPECT_EQ(end->signal, SIGKILL);
  EXPECT_EQ(end->out.text, "deaf\n");
}

TEST(ChildProcess, GrandchildrenEndWithTheTool) {
  // The grandchild ignores TERM and holds the pipe open: neither may keep us waiting.
  const auto end = run_child(shell("(trap '' TERM; sleep 600) & echo $!"));
  ASSERT_TRUE(end.ok());
  EXPECT_EQ(end->code, 0);
  EXPECT_FALSE(end->timed_out);
  EXPECT_TRUE(gone_soon(end->out.text.substr(0, end->out.text.size() - 1)));
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);)
    lines.push_back(line);
  return lines;
}

TEST(ChildProcess, WhatMovesToAnotherSessionEndsWithTheTool) {
  const temp_folder folder;
  auto spec = shell("setsid sh -c 'echo $$ > a; sleep 600 & echo $! > b; : > up; wait' & "
                    "while [ ! -e up ]; do :; done; cat a b");
  spec.work_path = folder.path();
  const auto end = run_child(spec);
  ASSERT_TRUE(end.ok());
  EXPECT_EQ(end->code, 0);
  EXPECT_FALSE(end->timed_out);
  const auto pids = lines_of(end->out.text);
  ASSERT_EQ(pids.size(), 2U) << end->out.text;
  for (const auto& pid : pids)
    EXPECT_TRUE(gone_soon(pid)) << pid;
}

TEST(ChildProcess, AClientOfAnEngineLeavesItsDaemons) {
  const temp_folder folder;
  auto spec = shell("setsid sh -c 'echo $$ > a; : > up; exec sleep 600' & "
                    "sleep 600 & echo $!; while [ ! -e up ]; do :; done; cat a");
  spec.work_path = folder.path();
  spec.leaves_daemons = true;
  const auto end = run_child(spec);
  ASSERT_TRUE(end.ok());
  const auto pids = lines_of(end->out.text);
  ASSERT_EQ(pids.size(), 2U) << end->out.text;
  EXPECT_TRUE(gone_soon(pids[0])) << "it stayed in the group";
  EXPECT_TRUE(alive(pids[1]));
  ::kill(std::stoi(pids[1]), SIGKILL);
}

/// A server that runs for weeks may orphan many.
TEST(ChildProcess, OrphansThatEndedAreReapedWhileTheToolRuns) {
  const auto end = run_child(
      shell("for i in 1 2 3 4 5 6 7 8; do (: &); done; "
            "zombies() { cat /proc/[0-9]*/stat 2>/dev/null | grep -c \") Z $PPID \"; }; "
            "while [ $(zombies) -gt 0 ]; do :; done; echo reaped"));
  ASSERT_TRUE(end.ok());
  EXPECT_EQ(end->out.text, "reaped\n") << "they stay zombies";
}

TEST(ChildProcess, LimitsAddressSpace) {
  auto spec = shell("x=$(head -c 268435456 /dev/zero | tr '\\0' x); echo got ${#x}");
  spec.memory_bytes = 64ULL * 1024 * 1024;
  spec.timeout_us = 30 * limits::second_us;
  const auto end = run_child(spec);
  ASSERT_TRUE(end.ok());
  EXPECT_FALSE(end->ok());
  EXPECT_EQ(end->out.text.find("got"), std::string::npos);
}

TEST(ChildProcess, LimitsFileSize) {
  const temp_folder folder;
  auto spec = shell("exec head -c 1000000 /dev/zero > big");
  spec.work_path = folder.path();
  spec.file_bytes = 4096;
  const auto end = run_child(spec);
  ASSERT_TRUE(end.ok());
  EXPECT_FALSE(end->ok());
  EXPECT_LE(std::filesystem::file_size(folder / "big"), 4096U);
}

TEST(ChildProcess, LimitsProcessorTime) {
  auto spec = shell("while :; do :; done");
  spec.cpu_s = 1;
  spec.timeout_us = 30 * limits::second_us;
  const auto end = run_child(spec);
  ASSERT_TRUE(end.ok());
  EXPECT_NE(end->signal, 0);
  EXPECT_FALSE(end->timed_out);
}

TEST(ChildProcess, LeavesNoZombieAndNoDescriptor) {
  ASSERT_TRUE(run_child(shell("true")).ok());
  const auto before = open_descriptors();
  for (int i = 0; i < 20; ++i)
    ASSERT_TRUE(run_child(shell("(sleep 600) & exit 0")).ok());
  EXPECT_EQ(open_descriptors(), before);
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1) << "a child is left";
}

TEST(ChildProcess, TheToolInheritsNoDescriptor) {
  const temp_folder folder;
  // Deliberately without close-on-exec, as a careless library would open it.
  std::FILE* leaky = std::fopen((folder / "leak").c_str(), "w");
  const auto end = run_child(shell("ls /proc/self/fd | wc -l"));
  std::fclose(leaky);
  ASSERT_TRUE(end.ok());
  EXPECT_EQ(std::stoi(end->out.text), 4) << "0, 1, 2 and what ls opened";
}

TEST(BackgroundChild, DeliversLinesThenTheEnd) {
  boost::asio::io_context io;
  std::vector<std::string> lines;
  std::optional<child_exit> end;
  auto child = child_process::start(
      io, shell("printf '10%%\\r20%%\\nlast'"),
      [&](std::string_view line, bool) { lines.emplace_back(line); },
      [&](child_exit reported) { end = std::move(reported); });
  ASSERT_TRUE(child.ok());
  io.run();
  ASSERT_TRUE(end.has_value());
  EXPECT_TRUE(end->ok());
  EXPECT_EQ(lines, (std::vector<std::string>{"10%", "20%", "last"}));
}

TEST(BackgroundChild, LinesStayWholeOverManyReads) {
  boost::asio::io_context io;
  std::size_t whole = 0, others = 0;
  auto child = child_process::start(
      io, shell("yes 0123456789 | head -n 100000"),
      [&](std::string_view line, bool) { ++(line == "0123456789" ? whole : others); }, nullptr);
  ASSERT_TRUE(child.ok());
  io.run();
  EXPECT_EQ(whole, 100'000U);
  EXPECT_EQ(others, 0U);
}

TEST(BackgroundChild, CutsLongLines) {
  boost::asio::io_context io;
  std::size_t longest = 0;
  auto child = child_process::start(
      io, shell("head -c 100000 /dev/zero | tr '\\0' x"),
      [&](std::string_view line, bool) { longest = std::max(longest, line.size()); }, nullptr);
  ASSERT_TRUE(child.ok());
  io.run();
  EXPECT_EQ(longest, limits::child_line_bytes_max);
}

TEST(BackgroundChild, CancelEndsItAndReports) {
  boost::asio::io_context io;
  std::optional<child_exit> end;
  std::unique_ptr<child_process> child;
  auto started = child_process::start(
      io, shell("echo up; exec sleep 600"), [&](std::string_view, bool) { child->cancel(); },
      [&](child_exit reported) { end = std::move(reported); });
  ASSERT_TRUE(started.ok());
  child = *std::move(started);
  io.run();
  ASSERT_TRUE(end.has_value());
  EXPECT_EQ(end->signal, SIGTERM);
  EXPECT_FALSE(end->timed_out);
}

TEST(BackgroundChild, GetsASignalOfItsOwn) {
  boost::asio::io_context io;
  std::optional<child_exit> end;
  std::unique_ptr<child_process> child;
  auto started = child_process::start(
      io, shell("trap 'echo caught; exit 7' USR1; echo up; while :; do sleep 0.05; done"),
      [&](std::string_view line, bool) {
        if (line == "up")
          child->signal(SIGUSR1);
      },
      [&](child_exit reported) { end = std::move(reported); });
  ASSERT_TRUE(started.ok());
  child = *std::move(started);
  io.run();
  ASSERT_TRUE(end.has_value());
  EXPECT_EQ(end->code, 7);
  EXPECT_EQ(end->out.text, "up\ncaught\n");
}

/// Somebody who kills what he does not know leaves nothing running.
TEST(BackgroundChild, IsKilledWithItsGuard) {
  boost::asio::io_context io;
  std::optional<child_exit> end;
  std::string pid;
  auto child = child_process::start(
      io, shell("echo $$ $PPID; exec sleep 600"),
      [&](std::string_view line, bool) {
        pid = line.substr(0, line.find(' '));
        ::kill(std::stoi(std::string(line.substr(line.find(' ')))), SIGKILL);
      },
      [&](child_exit reported) { end = std::move(reported); });
  ASSERT_TRUE(child.ok());
  io.run();
  ASSERT_TRUE(end.has_value());
  EXPECT_EQ(end->signal, SIGKILL);
  EXPECT_FALSE(end->timed_out);
  EXPECT_TRUE(gone_soon(pid));
}

TEST(BackgroundChild, IsKilledAloneWhereThatIsWanted) {
  boost::asio::io_context io;
  std::optional<child_exit> end;
  std::unique_ptr<child_process> child;
  auto started = child_process::start(
      io, shell("(trap '' TERM; echo up; while :; do sleep 0.05; done) & wait"),
      [&](std::string_view, bool) { child->signal(SIGKILL); },
      [&](child_exit reported) { end = std::move(reported); });
  ASSERT_TRUE(started.ok());
  child = *std::move(started);
  io.run();
  ASSERT_TRUE(end.has_value());
  EXPECT_EQ(end->signal, SIGKILL);
}

TEST(BackgroundChild, DestroyingItKillsTheGroupAndSilencesHandlers) {
  boost::asio::io_context io;
  bool ended = false;
  std::string pid;
  std::unique_ptr<child_process> child;
  auto started = child_process::start(
      io, shell("echo $$; while :; do sleep 600; done"),
      [&](std::string_view line, bool) {
        pid = line;
        child.reset();
      },
      [&](child_exit) { ended = true; });
  ASSERT_TRUE(started.ok());
  child = *std::move(started);
  io.run();
  EXPECT_FALSE(ended);
  ASSERT_FALSE(pid.empty());
  EXPECT_TRUE(gone_soon(pid));
}

TEST(BackgroundChild, DestroyingTheContextKillsTheGroup) {
  std::string pid;
  {
    boost::asio::io_context io;
    auto child = child_process::start(
        io, shell("echo $$; exec sleep 600"),
        [&](std::string_view line, bool) {
          pid = line;
          io.stop();
        },
        nullptr);
    ASSERT_TRUE(child.ok());
    io.run();
  }
  ASSERT_FALSE(pid.empty());
  EXPECT_TRUE(gone_soon(pid));
}

/// Goal: no orphan after SIGKILL. A forked process plays the agent: it starts a tool with a
/// grandchild, both deaf to TERM, and kills itself.
TEST(BackgroundChild, TheGroupDiesWithItsOwner) {
  const temp_folder folder;
  const pid_t agent = ::fork();
  if (agent == 0) {
    boost::asio::io_context io;
    auto spec = shell("trap '' TERM; (sleep 600) & echo $! > grandchild; echo $$ > tool; "
                      "setsid sh -c 'echo $$ > daemon; : > up; exec sleep 600' & "
                      "while [ ! -e up ]; do :; done; echo up; wait");
    spec.work_path = folder.path();
    auto child = child_process::start(
        io, spec, [](std::string_view, bool) { ::kill(::getpid(), SIGKILL); }, nullptr);
    io.run();
    ::_exit(1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(agent, &status, 0), agent);
  ASSERT_TRUE(WIFSIGNALED(status));
  for (const auto* name : {"grandchild", "tool", "daemon"}) {
    auto pid = read_file(folder / name);
    ASSERT_FALSE(pid.empty());
    pid.pop_back();
    EXPECT_TRUE(gone_soon(pid)) << name;
  }
}

TEST(FindProgram, LooksInTheFolderThenInPath) {
  const temp_folder folder;
  const auto tool = folder.script("sh", "exit 0");
  EXPECT_EQ(find_program("sh", folder.path()), tool);
  EXPECT_TRUE(find_program("sh").ends_with("/sh"));
  EXPECT_EQ(find_program("./sh", folder.path()), folder.path() + "/./sh");
  EXPECT_EQ(find_program("sub/sh", folder.path()), "");
  EXPECT_EQ(find_program("", folder.path()), "");
}

TEST(FindProgram, AFileThatLostItsModeIsNamed) {
  const temp_folder folder;
  const auto tool = folder.write("fake-smi", "#!/bin/sh\n");
  EXPECT_EQ(find_program("fake-smi", folder.path()), "");
  EXPECT_EQ(no_executable("fake-smi", folder.path()),
            tool + " is there, but is no executable: chmod +x");
  EXPECT_EQ(missing_program("fake-smi", {folder.path(), {}}),
            tool + " is there, but is no executable: chmod +x");
  EXPECT_EQ(no_executable("fake-cc", folder.path()), "");
  EXPECT_EQ(missing_program("fake-cc", {folder.path(), {}}),
            "no program fake-cc in " + folder.path() + " or in PATH");
}

TEST(FindProgram, AVendorsOwnFoldersComeLast) {
  const temp_folder folder, vendor;
  const auto tool = vendor.script("fake-vendor-smi", "exit 0");
  vendor.script("sh", "exit 1");
  const tool_place place{folder.path(), {"/nonexistent", vendor.path()}};
  EXPECT_EQ(find_program("fake-vendor-smi", place.folder), "");
  EXPECT_EQ(find_program("fake-vendor-smi", place), tool);
  EXPECT_EQ(find_program("sh", place), find_program("sh")) << "PATH counts before";
  EXPECT_EQ(find_program("./fake-vendor-smi", place), "");
  EXPECT_EQ(find_program("", place), "");
  EXPECT_EQ(missing_program("fake-cc", place), "no program fake-cc in " + folder.path()
                                                   + ", in PATH, /nonexistent or in "
                                                   + vendor.path());
}

TEST(FindProgram, WhatIsRunFindsItsVendorsToolsToo) {
  const temp_folder vendor;
  vendor.script("fake-vendor-smi", "echo found");
  child_spec spec;
  spec.argv = {"sh", "-c", "fake-vendor-smi"};
  spec.timeout_us = 10 * limits::second_us;
  extend_path(spec, {vendor.path()});
  const auto end = run_child(spec);
  ASSERT_TRUE(end.ok()) << end.failure().message;
  EXPECT_EQ(end->out.text, "found\n");
  child_spec own;
  own.env["PATH"] = "/usr/bin";
  extend_path(own, {vendor.path()});
  EXPECT_EQ(own.env["PATH"], "/usr/bin") << "who says one means it";
}

TEST(FindProgram, AnEmptyPathGetsTheVendorsFoldersAlone) {
  const std::string before = std::getenv("PATH");
  ::setenv("PATH", "", 1);
  child_spec spec;
  extend_path(spec, {"/opt/a", "/opt/b"});
  ::setenv("PATH", before.c_str(), 1);
  EXPECT_EQ(spec.env["PATH"], "/opt/a:/opt/b") << "an empty entry is the folder it runs in";
}

} // namespace
} // namespace consort::node
