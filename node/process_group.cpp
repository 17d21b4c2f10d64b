// SPDX-License-Identifier: Apache-2.0
#include "node/process_group.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>

namespace consort::node {

namespace {

struct fd_pair {
  unique_fd read;
  unique_fd write;
};

/// Moves a descriptor out of the way of 0 to 2, which it may have got when ours are closed.
unique_fd above_stdio(unique_fd fd) {
  return fd.get() > 2 ? std::move(fd) : unique_fd(::fcntl(fd.get(), F_DUPFD_CLOEXEC, 3));
}

std::optional<fd_pair> make_pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0)
    return std::nullopt;
  // Both are held before either is moved, so that neither takes the other's number.
  unique_fd read(ends[0]), write(ends[1]);
  fd_pair pair{above_stdio(std::move(read)), above_stdio(std::move(write))};
  if (pair.read.get() < 0 || pair.write.get() < 0)
    return std::nullopt;
  return pair;
}

error start_error(const std::string& what, int reason) {
  // Out of processes, memory or descriptors passes; a program that cannot be executed stays so.
  const bool passing = reason == EAGAIN || reason == ENOMEM || reason == EMFILE || reason == ENFILE;
  return {passing ? recovery::retry_later : recovery::refuse, "tool_start_failed",
          what + ": " + std::strerror(reason)};
}

/// Everything the forked child needs, made before the fork: afterwards only async-signal-safe
/// calls.
struct exec_plan {
  std::string program;
  std::vector<std::string> env_texts;
  std::vector<char*> argv, envp;
  const char* work_path = nullptr;
  std::array<std::pair<int, std::uint64_t>, 4> limits{};
  pid_t group = 0;
  pid_t parent = 0; ///< 0 = no parent-death signal.
  int null_fd = -1, out_fd = -1, err_fd = -1, report_fd = -1;
};

exec_plan plan_exec(const child_spec& spec, std::string program) {
  exec_plan plan;
  plan.program = std::move(program);
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    if (!spec.env.contains(std::string(text.substr(0, text.find('=')))))
      plan.env_texts.emplace_back(text);
  }
  for (const auto& [name, value] : spec.env)
    plan.env_texts.push_back(name + "=" + value);
  for (auto& text : plan.env_texts)
    plan.envp.push_back(text.data());
  plan.envp.push_back(nullptr);
  for (const auto& argument : spec.argv)
    plan.argv.push_back(const_cast<char*>(argument.c_str())); // NOLINT: execve's old signature.
  plan.argv.push_back(nullptr);
  plan.work_path = spec.work_path.empty() ? nullptr : spec.work_path.c_str();
  plan.limits = {{{RLIMIT_AS, spec.memory_bytes},
                  {RLIMIT_FSIZE, spec.file_bytes},
                  {RLIMIT_CPU, spec.cpu_s},
                  {RLIMIT_CORE, 1}}}; // One byte: no core file of any use.
  return plan;
}

/// Leads the group and outlives every other member of it. Signals are blocked by the parent.
[[noreturn]] void run_guard(int lifeline) {
  if (::setpgid(0, 0) != 0 || ::dup2(lifeline, 0) != 0)
    ::_exit(1);
  ::close_range(1, ~0U, 0);
  char byte = 0;
  while (::read(0, &byte, 1) < 0 && errno == EINTR) {
  }
  ::kill(0, SIGKILL);
  ::_exit(0);
}

void restore_signals() {
  struct sigaction plain {};
  plain.sa_handler = SIG_DFL;
  for (int number = 1; number < NSIG; ++number)
    ::sigaction(number, &plain, nullptr);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

bool prepare_tool(const exec_plan& plan) {
  if (::setpgid(0, plan.group) != 0)
    return false;
  if (plan.parent != 0 && (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || ::getppid() != plan.parent))
    return false;
  if (::dup2(plan.null_fd, 0) < 0 || ::dup2(plan.out_fd, 1) < 0 || ::dup2(plan.err_fd, 2) < 0)
    return false;
  ::close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
  if (plan.work_path != nullptr && ::chdir(plan.work_path) != 0)
    return false;
  for (const auto& [which, most] : plan.limits) {
    const struct rlimit bound { most, most };
    if (most != 0 && ::setrlimit(static_cast<__rlimit_resource>(which), &bound) != 0)
      return false;
  }
  return true;
}

[[noreturn]] void run_tool(const exec_plan& plan) {
  restore_signals();
  if (prepare_tool(plan))
    ::execve(plan.program.c_str(), plan.argv.data(), plan.envp.data());
  const int reason = errno;
  [[maybe_unused]] const auto sent = ::write(plan.report_fd, &reason, sizeof reason);
  ::_exit(127);
}

/// Blocks every signal for as long as it lives, so that no handler of ours runs in a forked child.
class signals_blocked {
public:
  signals_blocked() {
    sigset_t all;
    sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~signals_blocked() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  signals_blocked(const signals_blocked&) = delete;
  signals_blocked& operator=(const signals_blocked&) = delete;

private:
  sigset_t before_{};
};

std::optional<error> check_arguments(const child_spec& spec) {
  std::size_t bytes = 0;
  for (const auto& argument : spec.argv) {
    bytes += argument.size() + 1;
    if (argument.find('\0') != std::string::npos)
      return error{recovery::refuse, "tool_start_failed", "an argument holds a NUL byte"};
  }
  if (spec.argv.empty() || spec.argv.size() > limits::child_arguments_max
      || bytes > limits::child_argument_bytes_max)
    return error{recovery::refuse, "tool_start_failed",
                 "a command needs 1 to " + std::to_string(limits::child_arguments_max)
                     + " arguments of at most " + std::to_string(limits::child_argument_bytes_max)
                     + " bytes in all"};
  return std::nullopt;
}

} // namespace

unique_fd& unique_fd::operator=(unique_fd&& other) noexcept {
  if (this != &other) {
    reset();
    fd_ = std::exchange(other.fd_, -1);
  }
  return *this;
}

void unique_fd::reset() {
  if (fd_ >= 0)
    ::close(std::exchange(fd_, -1));
}

process_group::process_group(process_group&& other) noexcept
    : out(std::move(other.out)),
      err(std::move(other.err)),
      watch(std::move(other.watch)),
      guard_(std::exchange(other.guard_, 0)),
      tool_(std::exchange(other.tool_, 0)),
      lifeline_(std::move(other.lifeline_)) {}

process_group::~process_group() {
  if (tool_ != 0) {
    signal(SIGKILL);
    // A tool stuck inside a driver cannot be killed; then its zombie is init's once we end.
    struct pollfd ended {
      watch.get(), POLLIN, 0
    };
    ::poll(&ended, 1, static_cast<int>(limits::child_reap_us_max / 1000));
    [[maybe_unused]] const auto status = reap();
  }
  end();
}

void process_group::signal(int number) const {
  if (guard_ != 0)
    ::kill(-guard_, number);
}

void process_group::signal_tool(int number) const {
  if (tool_ != 0)
    ::kill(tool_, number);
}

std::optional<int> process_group::reap() {
  int status = 0;
  if (tool_ == 0 || ::waitpid(tool_, &status, WNOHANG) != tool_)
    return std::nullopt;
  tool_ = 0;
  return status;
}

void process_group::end() {
  if (guard_ == 0)
    return;
  signal(SIGKILL);
  // The guard only ever sleeps in read(): it dies at once.
  while (::waitpid(guard_, nullptr, 0) < 0 && errno == EINTR) {
  }
  guard_ = 0;
  lifeline_.reset();
}

std::optional<error> process_group::start_guard() {
  auto lifeline = make_pipe();
  if (!lifeline)
    return start_error("pipe", errno);
  const pid_t guard = ::fork();
  if (guard == 0)
    run_guard(lifeline->read.get());
  if (guard < 0)
    return start_error("fork", errno);
  ::setpgid(guard, guard); // Both sides do it, so that neither can be too early.
  guard_ = guard;
  lifeline_ = std::move(lifeline->write);
  return std::nullopt;
}

std::optional<error> process_group::start_tool(const child_spec& spec, bool die_with_thread) {
  auto program = find_program(spec.argv.front());
  if (program.empty())
    return error{recovery::refuse, "tool_missing", "no program " + spec.argv.front()};
  auto plan = plan_exec(spec, std::move(program));
  auto out_pipe = make_pipe(), err_pipe = make_pipe(), report = make_pipe();
  const unique_fd null = above_stdio(unique_fd(::open("/dev/null", O_RDONLY | O_CLOEXEC)));
  if (!out_pipe || !err_pipe || !report || null.get() < 0)
    return start_error("pipe", errno);
  plan.group = guard_;
  plan.parent = die_with_thread ? ::getpid() : 0;
  plan.null_fd = null.get();
  plan.out_fd = out_pipe->write.get();
  plan.err_fd = err_pipe->write.get();
  plan.report_fd = report->write.get();
  const pid_t tool = ::fork();
  if (tool == 0)
    run_tool(plan);
  if (tool < 0)
    return start_error("fork", errno);
  tool_ = tool;
  report->write.reset();
  watch = unique_fd(static_cast<int>(::syscall(SYS_pidfd_open, tool, 0)));
  const int watch_error = errno;
  int reason = 0;
  while (::read(report->read.get(), &reason, sizeof reason) < 0 && errno == EINTR) {
  }
  if (reason != 0)
    return start_error(plan.program, reason);
  if (watch.get() < 0)
    return start_error("pidfd_open", watch_error);
  out = std::move(out_pipe->read);
  err = std::move(err_pipe->read);
  ::fcntl(out.get(), F_SETFL, O_NONBLOCK);
  ::fcntl(err.get(), F_SETFL, O_NONBLOCK);
  return std::nullopt;
}

result<process_group> process_group::start(const child_spec& spec, bool die_with_thread) {
  if (auto wrong = check_arguments(spec))
    return *wrong;
  process_group group;
  const signals_blocked quiet;
  if (auto failed = group.start_guard())
    return *failed;
  if (auto failed = group.start_tool(spec, die_with_thread))
    return *failed;
  return group;
}

} // namespace consort::node
