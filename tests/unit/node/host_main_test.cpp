// SPDX-License-Identifier: Apache-2.0
/// The host process by itself: the test is its agent and speaks the protocol through a plain
/// blocking socket.

#include "messages/codec.hpp"
#include "node/host/host_main.hpp"
#include "node/runtimes/host_process.hpp"
#include "tests/unit/node/alive.hpp"
#include "tests/unit/node/attempt_recorder.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

namespace consort::node::test {
namespace {

using namespace messages; // NOLINT: the whole file speaks the protocol
using ::testing::HasSubstr;

struct HostMain : ::testing::Test {
  HostMain() {
    options.executable = CONSORT_HOST_TEST_MAIN;
    options.library = CONSORT_FAKE_RUNTIME;
  }

  void start() {
    auto started = host_process::spawn(options);
    ASSERT_TRUE(started.ok()) << started.failure().message;
    host = std::move(*started);
    ::fcntl(host.socket.get(), F_SETFL, 0);
    const timeval limit{patience.count(), 0};
    ::setsockopt(host.socket.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    ::setsockopt(host.socket.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  }
  void open(const std::string& config = "{}") {
    start();
    send(host_open{"", config});
    ASSERT_TRUE(std::holds_alternative<host_opened>(receive()));
  }
  void send_bytes(std::span<const char> bytes) {
    ASSERT_EQ(::send(host.socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(bytes.size()));
  }
  void send(const host_command& command) {
    const auto payload = encode(command);
    ASSERT_TRUE(payload.ok()) << payload.failure().message;
    send_bytes(*write_frame(frame_kind::host_command, *payload));
  }
  void submit(std::uint64_t request, const std::string& json) {
    send(host_submit{request, {request_kind::completion, json, {}}});
  }
  host_report receive() {
    for (;;) {
      auto frame = reader.next();
      EXPECT_TRUE(frame.ok());
      if (*frame)
        return decode_host_report((*frame)->payload).value();
      std::array<char, 65'536> buffer;
      const auto got = ::recv(host.socket.get(), buffer.data(), buffer.size(), 0);
      if (got <= 0) {
        ADD_FAILURE() << "the host said nothing more";
        return host_open_failed{};
      }
      reader.feed({buffer.data(), static_cast<std::size_t>(got)});
    }
  }
  /// Waits for the process to end by itself. Returns: how.
  std::string wait_exit() {
    const auto limit = std::chrono::milliseconds(patience).count();
    return ends_within_ms(static_cast<int>(limit)) ? host.process->reap() : "still running";
  }
  bool ends_within_ms(int limit) {
    pollfd ended{host.exit.get(), POLLIN, 0};
    return ::poll(&ended, 1, limit) == 1;
  }

  /// What an ended host has printed.
  std::string printed() {
    std::array<char, 4'096> text{};
    const auto got = ::read(host.log.get(), text.data(), text.size());
    return {text.data(), static_cast<std::size_t>(std::max<ssize_t>(got, 0))};
  }

  /// The number of the process that the library said it started.
  pid_t daemon() {
    pollfd said{host.log.get(), POLLIN, 0};
    const auto limit = std::chrono::milliseconds(patience).count();
    std::array<char, 64> text{};
    if (::poll(&said, 1, static_cast<int>(limit)) != 1
        || ::read(host.log.get(), text.data(), text.size() - 1) <= 0)
      ADD_FAILURE() << "the library said nothing";
    return std::atoi(text.data());
  }

  c_abi_options options;
  host_process::started host;
  frame_reader reader;
};

TEST_F(HostMain, OpensServesAndCloses) {
  start();
  send(host_open{"", "{}"});
  const auto opened = std::get<host_opened>(receive());
  EXPECT_EQ(opened.runtime, "fake");
  EXPECT_EQ(opened.version, "1.0.0");
  submit(9, R"({"tokens":0})");
  EXPECT_EQ(std::get<host_event>(receive()), (host_event{9, attempt_opened{7, 0}}));
  EXPECT_EQ(std::get<host_event>(receive()).happened,
            attempt_event(attempt_choice_done{0, "length"}));
  EXPECT_TRUE(is_terminal(std::get<host_event>(receive()).happened));
  send(host_read_stats{33});
  const auto stats = std::get<host_stats>(receive());
  EXPECT_EQ(stats.number, 33u);
  EXPECT_THAT(stats.json, HasSubstr("\"sequences_max\":4"));
  send(host_close{});
  EXPECT_EQ(wait_exit(), "exit status 0");
}

TEST_F(HostMain, EndsAtOnceWhenTheAgentIsGoneWhateverTheVendorDoes) {
  start();
  send(host_open{"", R"({"fault":"hang"})"});
  host.socket.reset();
  EXPECT_EQ(wait_exit(), "exit status 0");
  open(R"({})");
  submit(1, R"({"fault":"submit_hang"})");
  host.socket.reset();
  EXPECT_EQ(wait_exit(), "exit status 0");
}

/// A forked process plays the agent: it starts a host and kills itself.
TEST_F(HostMain, DiesWithItsAgent) {
  std::array<int, 2> told{};
  ASSERT_EQ(::pipe(told.data()), 0);
  const pid_t agent = ::fork();
  if (agent == 0) {
    open(R"({"fault":"daemon"})");
    std::array<pid_t, 2> started{host.process->pid(), daemon()};
    if (::write(told[1], started.data(), sizeof started) == sizeof started)
      ::kill(::getpid(), SIGKILL);
    ::_exit(1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(agent, &status, 0), agent);
  ASSERT_TRUE(WIFSIGNALED(status));
  std::array<pid_t, 2> started{};
  ASSERT_EQ(::read(told[0], started.data(), sizeof started), ssize_t{sizeof started});
  EXPECT_TRUE(gone_soon(std::to_string(started[0])));
  EXPECT_TRUE(gone_soon(std::to_string(started[1]))) << "the daemon";
  ::close(told[0]);
  ::close(told[1]);
}

TEST_F(HostMain, LeavesNothingThatTheLibraryStarted) {
  open(R"({"fault":"daemon"})");
  const auto crashed = std::to_string(daemon());
  host.process->kill();
  EXPECT_THAT(wait_exit(), HasSubstr("signal 9"));
  EXPECT_FALSE(alive(crashed));
  open(R"({"fault":"daemon"})");
  const auto closed = std::to_string(daemon());
  send(host_close{});
  EXPECT_EQ(wait_exit(), "exit status 0");
  EXPECT_FALSE(alive(closed));
}

TEST_F(HostMain, IsSetUpToCrashQuietly) {
  open();
  const auto read = [&](const std::string& name) {
    return read_file("/proc/" + std::to_string(host.process->pid()) + "/" + name);
  };
  EXPECT_EQ(read("oom_score_adj"), std::to_string(limits::host_oom_score_adj) + "\n");
  EXPECT_THAT(read("limits"), ::testing::ContainsRegex("Max core file size +0 +0"));
  EXPECT_EQ(::getpgid(host.process->pid()), host.process->pid());
}

TEST_F(HostMain, InheritsNothingButItsSocketAndItsOutput) {
  const int leak = ::open("/dev/null", O_RDONLY); // not close-on-exec, as a careless library has it
  open();
  const auto folder = "/proc/" + std::to_string(host.process->pid()) + "/fd/";
  EXPECT_NE(::access((folder + "3").c_str(), F_OK), -1);
  EXPECT_EQ(::access((folder + std::to_string(leak)).c_str(), F_OK) == 0 && leak > 5, false);
  ::close(leak);
}

TEST_F(HostMain, RefusesBytesThatAreNoProtocol) {
  start();
  send_bytes(std::string(64, 'x'));
  EXPECT_EQ(wait_exit(), "exit status 71");
  start();
  send_bytes(*write_frame(frame_kind::host_report, *encode(host_report{host_stats{1, "{}"}})));
  EXPECT_EQ(wait_exit(), "exit status 71");
  start();
  submit(1, "{}"); // before it was opened
  EXPECT_EQ(wait_exit(), "exit status 71");
}

TEST_F(HostMain, AFailedLoadIsAnsweredAndEndsIt) {
  start();
  send(host_open{"", R"({"fault":"bad_model"})"});
  const auto failed = std::get<host_open_failed>(receive()).failure;
  EXPECT_EQ(failed.code, "bad_model");
  EXPECT_EQ(failed.message, "engine of another target");
  EXPECT_EQ(wait_exit(), "exit status 0");
}

TEST_F(HostMain, AnAgentThatReadsLateGetsEverything) {
  options.env = {"TEST_UNSENT_BYTES=10000"};
  open();
  constexpr std::uint64_t tokens = 3'000;
  submit(1, R"({"tokens":3000,"text":")" + std::string(1'000, 'y') + "\"}");
  std::uint64_t got = 0;
  for (bool ended = false; !ended;) {
    const auto event = std::get<host_event>(receive()).happened;
    got += std::holds_alternative<attempt_tokens>(event);
    ended = is_terminal(event);
  }
  EXPECT_EQ(got, tokens);
}

TEST_F(HostMain, AnAgentThatStopsReadingIsGivenUp) {
  options.env = {"TEST_UNSENT_BYTES=10000", "TEST_STALL_US=50000"};
  open();
  submit(1, R"({"tokens":100000,"text":")" + std::string(1'000, 'y') + "\"}");
  EXPECT_EQ(wait_exit(), "exit status 72");
}

TEST_F(HostMain, ACallThatIsToBeQuickAndDoesNotReturnEndsIt) {
  options.env = {"TEST_CALL_US=100000"};
  open(R"({"fault":"hang_cancel"})");
  send(host_cancel{77});
  EXPECT_EQ(wait_exit(), "exit status 75");
  EXPECT_THAT(printed(),
              HasSubstr("consort host: the runtime's `cancel` has not returned for 100ms"));
  open(R"({"fault":"hang_stats"})");
  submit(1, R"({"tokens":1})");
  while (!is_terminal(std::get<host_event>(receive()).happened)) {
  }
  send(host_read_stats{1});
  EXPECT_EQ(wait_exit(), "exit status 75");
  EXPECT_THAT(printed(), HasSubstr("`stats` has not returned for 100ms"));
}

/// A load may take long, and so may `submit`: the agent has limits of its own for both.
TEST_F(HostMain, CallsThatMayTakeLongAreNotWatched) {
  options.env = {"TEST_CALL_US=4000"};
  start();
  send(host_open{"", R"({"fault":"hang"})"});
  EXPECT_FALSE(ends_within_ms(100));
  open();
  submit(1, R"({"fault":"submit_hang"})");
  EXPECT_FALSE(ends_within_ms(100));
}

TEST_F(HostMain, ADescriptorThatIsNoSocketIsAnError) {
  EXPECT_EQ(
      ::system(
          (std::string(CONSORT_HOST_TEST_MAIN) + " host --fd 0 --library x </dev/null").c_str()),
      host_exit_setup << 8);
}

} // namespace
} // namespace consort::node::test
