// SPDX-License-Identifier: Apache-2.0
#include "node/runtimes/host_process.hpp"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace consort::node {

namespace {

constexpr int child_socket_fd = 3;

error spawn_error(const char* what, int code) {
  return error{recovery::retry_elsewhere, "runtime_spawn_failed",
               std::string("cannot start a host process: ") + what + ": " + std::strerror(code)};
}

struct channel {
  unique_fd ours;
  unique_fd theirs;
};

/// The child's ends are moved above the descriptors they will be copied to, so that no copy can
/// overwrite the source of the next.
result<channel> make_channel(bool socket) {
  std::array<int, 2> fds{-1, -1};
  const int failed = socket ? ::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds.data())
                            : ::pipe2(fds.data(), O_CLOEXEC);
  if (failed != 0)
    return spawn_error(socket ? "socketpair" : "pipe", errno);
  channel ends{unique_fd(fds[0]), unique_fd(fds[1])};
  const int high = ::fcntl(ends.theirs.get(), F_DUPFD_CLOEXEC, child_socket_fd + 1);
  if (high < 0 || ::fcntl(ends.ours.get(), F_SETFL, O_NONBLOCK) != 0)
    return spawn_error("fcntl", errno);
  ends.theirs = unique_fd(high);
  return ends;
}

/// What the child finds: descriptors 0 to 3 and nothing else, default signals, its own group.
class spawn_plan {
public:
  spawn_plan(int socket, int log, const std::string& work_path) {
    posix_spawn_file_actions_init(&files_);
    posix_spawn_file_actions_addopen(&files_, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&files_, log, 1);
    posix_spawn_file_actions_adddup2(&files_, log, 2);
    posix_spawn_file_actions_adddup2(&files_, socket, child_socket_fd);
    posix_spawn_file_actions_addclosefrom_np(&files_, child_socket_fd + 1);
    if (!work_path.empty())
      posix_spawn_file_actions_addchdir_np(&files_, work_path.c_str());
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_init(&attributes_);
    posix_spawnattr_setsigmask(&attributes_, &none);
    posix_spawnattr_setsigdefault(&attributes_, &all);
    posix_spawnattr_setpgroup(&attributes_, 0);
    posix_spawnattr_setflags(&attributes_, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK
                                               | POSIX_SPAWN_SETSIGDEF);
  }
  ~spawn_plan() {
    posix_spawn_file_actions_destroy(&files_);
    posix_spawnattr_destroy(&attributes_);
  }
  spawn_plan(const spawn_plan&) = delete;
  spawn_plan& operator=(const spawn_plan&) = delete;

  /// Returns: an errno value, 0 when the child runs.
  int run(const c_abi_options& options, pid_t& pid) const {
    std::vector<std::string> words{options.executable, "host",         "--fd", "3",
                                   "--library",        options.library};
    std::vector<char*> argv;
    for (auto& word : words)
      argv.push_back(word.data());
    argv.push_back(nullptr);
    // Ours first, then the agent's: of two entries with one name, getenv takes the first.
    std::vector<std::string> extra = options.env;
    std::vector<char*> env;
    for (auto& entry : extra)
      env.push_back(entry.data());
    for (char** entry = environ; *entry != nullptr; ++entry)
      env.push_back(*entry);
    env.push_back(nullptr);
    return ::posix_spawn(&pid, options.executable.c_str(), &files_, &attributes_, argv.data(),
                         env.data());
  }

private:
  posix_spawn_file_actions_t files_;
  posix_spawnattr_t attributes_;
};

std::string in_words(int status) {
  if (WIFEXITED(status))
    return "exit status " + std::to_string(WEXITSTATUS(status));
  const int signal = WTERMSIG(status);
  return "signal " + std::to_string(signal) + " (" + ::strsignal(signal) + ")";
}

} // namespace

result<host_process::started> host_process::spawn(const c_abi_options& options) {
  auto wire = make_channel(true);
  if (!wire)
    return wire.failure();
  auto log = make_channel(false);
  if (!log)
    return log.failure();
  pid_t pid = -1;
  const spawn_plan plan(wire->theirs.get(), log->theirs.get(), options.work_path);
  if (const int failed = plan.run(options, pid); failed != 0)
    return spawn_error(options.executable.c_str(), failed);
  unique_fd watch(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  unique_fd exit(watch.get() < 0 ? -1 : ::fcntl(watch.get(), F_DUPFD_CLOEXEC, 0));
  const int watch_error = errno;
  // From here on the process is somebody's: an early return kills and reaps it.
  std::unique_ptr<host_process> process(new host_process(pid, std::move(watch)));
  if (exit.get() < 0)
    return spawn_error("pidfd_open", watch_error);
  const struct rlimit bound { options.memory_bytes, options.memory_bytes };
  // In time: the host allocates nothing of size before it is told to open.
  if (options.memory_bytes != 0 && ::prlimit(pid, RLIMIT_AS, &bound, nullptr) != 0)
    return spawn_error("prlimit", errno);
  return started{std::move(process), std::move(wire->ours), std::move(log->ours), std::move(exit)};
}

host_process::~host_process() {
  kill();
  reap();
}

void host_process::kill() {
  const std::lock_guard lock(mutex_);
  if (reaped_)
    return;
  // The number names the group until its leader is reaped, so it cannot hit a stranger.
  ::kill(-pid_, SIGKILL);
}

std::string host_process::reap() {
  const std::lock_guard lock(mutex_);
  if (reaped_)
    return ending_;
  // A vendor's helpers may have stayed behind in the group.
  ::kill(-pid_, SIGKILL);
  pollfd ended{watch_.get(), POLLIN, 0};
  ::poll(&ended, 1, static_cast<int>(limits::child_reap_us_max / 1'000));
  int status = 0;
  if (::waitpid(pid_, &status, WNOHANG) != pid_)
    return "it cannot be killed, it is stuck in the system";
  reaped_ = true;
  ending_ = in_words(status);
  return ending_;
}

} // namespace consort::node
