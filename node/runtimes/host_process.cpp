// SPDX-License-Identifier: Apache-2.0
#include "node/runtimes/host_process.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace consort::node {

namespace {

error spawn_error(const std::string& what) {
  return error{recovery::retry_elsewhere, "runtime_spawn_failed",
               "cannot start a host process: " + what};
}

error spawn_error(const char* call, int code) {
  return spawn_error(std::string(call) + ": " + std::strerror(code));
}

child_spec command_of(const c_abi_options& options) {
  child_spec spec;
  spec.argv = {options.executable, "host",         "--fd", std::to_string(tool_socket_fd),
               "--library",        options.library};
  for (const auto& entry : options.env) {
    const auto equals = std::min(entry.find('='), entry.size());
    spec.env.emplace(entry.substr(0, equals), entry.substr(std::min(equals + 1, entry.size())));
  }
  spec.work_path = options.work_path;
  return spec;
}

std::string in_words(int status) {
  if (WIFEXITED(status))
    return "exit status " + std::to_string(WEXITSTATUS(status));
  const int signal = WTERMSIG(status);
  return "signal " + std::to_string(signal) + " (" + ::strsignal(signal) + ")";
}

/// Waits until `fd` has something to read, for limits::child_reap_us_max at the most.
void await(int fd) {
  pollfd ready{fd, POLLIN, 0};
  while (::poll(&ready, 1, static_cast<int>(limits::child_reap_us_max / 1'000)) < 0
         && errno == EINTR) {
  }
}

} // namespace

result<host_process::started> host_process::spawn(const c_abi_options& options) {
  std::array<int, 2> ends{-1, -1};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0)
    return spawn_error("socketpair", errno);
  unique_fd ours(ends[0]);
  const unique_fd theirs(ends[1]);
  if (::fcntl(ours.get(), F_SETFL, O_NONBLOCK) != 0)
    return spawn_error("fcntl", errno);
  auto group = process_group::start(command_of(options), {theirs.get(), true});
  if (!group)
    return spawn_error(group.failure().message);
  const pid_t pid = group->tool();
  unique_fd log = std::move(group->out);
  // From here on the process is somebody's: an early return kills and reaps it. Its number is its
  // own until then, whether it runs or not.
  std::unique_ptr<host_process> process(new host_process(*std::move(group)));
  unique_fd exit(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (exit.get() < 0)
    return spawn_error("pidfd_open", errno);
  const struct rlimit bound { options.memory_bytes, options.memory_bytes };
  // In time: the host allocates nothing of size before it is told to open.
  if (options.memory_bytes != 0 && ::prlimit(pid, RLIMIT_AS, &bound, nullptr) != 0)
    return spawn_error("prlimit", errno);
  return started{std::move(process), std::move(ours), std::move(log), std::move(exit)};
}

host_process::~host_process() {
  reap();
}

void host_process::kill() {
  const std::lock_guard lock(mutex_);
  group_.signal(SIGKILL);
}

std::string host_process::reap() {
  const std::lock_guard lock(mutex_);
  if (group_.tool() == 0)
    return ending_;
  group_.signal(SIGKILL); // A vendor's helpers may have stayed behind.
  await(group_.watch.get());
  const auto status = group_.reap();
  if (!status)
    return "it cannot be killed, it is stuck in the system";
  group_.end();
  ending_ = in_words(*status);
  return ending_;
}

} // namespace consort::node
