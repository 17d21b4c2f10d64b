// SPDX-License-Identifier: Apache-2.0
#include "node/process_guard.hpp"

#include "node/limits.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstring>

namespace consort::node {

namespace {

using guard_clock = std::chrono::steady_clock;

constexpr int lifeline_fd = 0;
constexpr int children_fd = 1;    ///< Readable when a child ended.
constexpr int hunt_pause_ms = 10; ///< Between two looks for what is left, unless something ends.
constexpr std::size_t entries_bytes = 4096;
constexpr std::size_t stat_bytes = 512; ///< Name and parent stand within it.

/// One entry as SYS_getdents64 writes it.
struct directory_entry {
  std::uint64_t inode;
  std::int64_t offset;
  unsigned short bytes;
  unsigned char type;
  char name[1];
};

/// The parent that a process' `stat` names: behind its name, which may hold anything, and its
/// state. 0 = it is gone.
pid_t parent_of(const char* process) {
  constexpr std::size_t digits_max = 20;
  std::array<char, 6 + digits_max + 6> path{'/', 'p', 'r', 'o', 'c', '/'};
  const auto digits = std::min(std::strlen(process), digits_max);
  std::memcpy(path.data() + 6, process, digits);
  std::memcpy(path.data() + 6 + digits, "/stat", 6);
  const int file = ::open(path.data(), O_RDONLY | O_CLOEXEC);
  if (file < 0)
    return 0;
  std::array<char, stat_bytes> text{};
  const auto got = ::read(file, text.data(), text.size() - 1);
  ::close(file);
  const char* at = got > 0 ? std::strrchr(text.data(), ')') : nullptr;
  if (at == nullptr || std::strlen(at) < 5)
    return 0;
  pid_t parent = 0;
  for (at += 4; *at >= '0' && *at <= '9'; ++at)
    parent = parent * 10 + (*at - '0');
  return parent;
}

/// Not every kernel lists a process' children: all of them are asked who their parent is.
void kill_children() {
  const pid_t self = ::getpid();
  const int folder = ::open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  alignas(directory_entry) std::array<char, entries_bytes> entries{};
  for (long got = 1; folder >= 0 && got > 0;) {
    got = ::syscall(SYS_getdents64, folder, entries.data(), entries.size());
    for (long at = 0; at < got;) {
      const auto* entry = reinterpret_cast<const directory_entry*>(entries.data() + at);
      at += entry->bytes;
      if (entry->name[0] < '0' || entry->name[0] > '9' || parent_of(entry->name) != self)
        continue;
      pid_t child = 0;
      for (const char* digit = entry->name; *digit != '\0'; ++digit)
        child = child * 10 + (*digit - '0');
      ::kill(child, SIGKILL);
    }
  }
  ::close(folder);
}

class guard {
public:
  explicit guard(const guard_duty& duty) : leaves_daemons_(duty.leaves_daemons) {
    const pid_t self = ::getpid();
    sigset_t children;
    sigemptyset(&children);
    sigaddset(&children, SIGCHLD);
    struct sigaction plain {};
    plain.sa_handler = SIG_DFL; // Where they are ignored, nobody hears of them.
    ::sigaction(SIGCHLD, &plain, nullptr);
    const int heard = ::signalfd(-1, &children, SFD_CLOEXEC | SFD_NONBLOCK);
    const int ended = ::fcntl(heard, F_DUPFD_CLOEXEC, children_fd + 1);
    if (ended < 0 || ::setpgid(0, 0) != 0
        || (!leaves_daemons_ && ::prctl(PR_SET_CHILD_SUBREAPER, 1) != 0))
      ::_exit(1);
    tool_ = ::fork();
    if (tool_ == 0)
      duty.become_tool(duty.plan, self);
    if (tool_ < 0 || ::dup2(duty.lifeline, lifeline_fd) < 0 || ::dup2(ended, children_fd) < 0)
      ::_exit(1); // The tool dies with its parent.
    ::close_range(children_fd + 1, ~0U, 0);
    ::setpgid(tool_, tool_); // Both sides do it, so that neither can be too early.
    say(tool_);
  }

  void run() {
    for (;;) {
      std::array<struct pollfd, 2> ready{{{lifeline_fd, POLLIN, 0}, {children_fd, POLLIN, 0}}};
      ::poll(ready.data(), ready.size(), -1);
      if (ready[1].revents != 0)
        collect();
      if (ready[0].revents != 0 && !obey())
        return hunt();
    }
  }

private:
  static void say(int word) {
    [[maybe_unused]] const auto sent = ::send(lifeline_fd, &word, sizeof word, MSG_NOSIGNAL);
  }

  /// Returns: false when nobody will order anything any more.
  bool obey() {
    guard_order order;
    const auto got = ::recv(lifeline_fd, &order, sizeof order, MSG_DONTWAIT);
    if (got < 0)
      return errno == EAGAIN || errno == EINTR;
    if (got == 0)
      return false;
    if (order.signal == SIGKILL && !order.alone)
      hunt();
    else if (!reaped_)
      ::kill(order.alone ? tool_ : -tool_, order.signal);
    return true;
  }

  /// What ended is reaped, but for the tool, whose number still names the group.
  void collect() {
    drain();
    while (!told_) {
      siginfo_t ended{};
      if (::waitid(P_ALL, 0, &ended, WEXITED | WNOHANG | WNOWAIT) != 0 || ended.si_pid == 0)
        return;
      if (ended.si_pid == tool_)
        tell(ended.si_code == CLD_EXITED ? ended.si_status << 8 : ended.si_status);
      else
        ::waitpid(ended.si_pid, nullptr, WNOHANG);
    }
  }

  void tell(int status) {
    if (!told_)
      say(status);
    told_ = true;
  }

  static void drain() {
    signalfd_siginfo one{};
    while (::read(children_fd, &one, sizeof one) > 0) {
    }
  }

  /// Reaps all that ended. Returns: whether nothing is left.
  bool collect_all() {
    drain();
    for (;;) {
      int status = 0;
      const pid_t who = ::waitpid(-1, &status, WNOHANG);
      if (who == tool_) {
        tell(status);
        reaped_ = true;
      }
      if (who == 0)
        return false;
      if (who < 0 && errno != EINTR)
        return true;
    }
  }

  /// Ends the group, then what left it: as parents die, their children become ours. What is stuck
  /// inside a driver cannot be killed, and is given up.
  void hunt() {
    if (!reaped_)
      ::kill(-tool_, SIGKILL);
    const auto until = guard_clock::now() + std::chrono::microseconds(limits::child_reap_us_max);
    while (!collect_all() && guard_clock::now() < until) {
      if (!leaves_daemons_)
        kill_children();
      struct pollfd ended {
        children_fd, POLLIN, 0
      };
      ::poll(&ended, 1, hunt_pause_ms);
    }
  }

  const bool leaves_daemons_;
  pid_t tool_ = 0;
  bool told_ = false;   ///< That the tool ended.
  bool reaped_ = false; ///< Its number may be another's.
};

} // namespace

void run_guard(const guard_duty& duty) {
  guard(duty).run();
  ::_exit(0);
}

} // namespace consort::node
