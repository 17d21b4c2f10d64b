// SPDX-License-Identifier: Apache-2.0
#include "node/process_group.hpp"

#include "node/process_guard.hpp"
#include "node/small_file.hpp"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
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

/// Moves a descriptor out of the way of those that the tool will find: 0 to 2, which it may have
/// got when ours are closed, and its socket.
unique_fd above_tools(unique_fd fd) {
  return fd.get() > tool_socket_fd
             ? std::move(fd)
             : unique_fd(::fcntl(fd.get(), F_DUPFD_CLOEXEC, tool_socket_fd + 1));
}

std::optional<fd_pair> make_pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0)
    return std::nullopt;
  // Both are held before either is moved, so that neither takes the other's number.
  unique_fd read(ends[0]), write(ends[1]);
  fd_pair pair{above_tools(std::move(read)), above_tools(std::move(write))};
  if (pair.read.get() < 0 || pair.write.get() < 0)
    return std::nullopt;
  return pair;
}

/// The guard's end is `write`.
std::optional<fd_pair> make_lifeline() {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0)
    return std::nullopt;
  unique_fd ours(ends[0]), theirs(ends[1]);
  fd_pair pair{above_tools(std::move(ours)), above_tools(std::move(theirs))};
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

constexpr std::size_t script_line_bytes_max = 256; ///< The kernel reads no more of it.

/// What is wrong with the interpreter that the first line of a script names; empty when it can be
/// executed, and of other programs. The kernel's word for it is that the script is missing.
std::string interpreter_fault(const std::string& program) {
  const auto head = read_file_head(program, script_line_bytes_max);
  if (!head || !head->starts_with("#!"))
    return {};
  const auto line = head->substr(2, head->find('\n') - 2);
  const auto begins = std::min(line.find_first_not_of(" \t"), line.size());
  auto name = line.substr(begins, line.find_first_of(" \t", begins) - begins);
  if (name.empty() || ::access(name.c_str(), X_OK) == 0)
    return {};
  const bool windows = name.back() == '\r';
  // It goes to terminals and logs.
  std::replace_if(
      name.begin(), name.end(), [](char c) { return c <= ' ' || c >= 0x7f; }, '?');
  return "its interpreter " + name + " is not there or no executable"
         + (windows ? ": its lines end as those of Windows do" : "") + " (its first line, #!)";
}

/// Everything the forked child needs, made before the fork: afterwards only async-signal-safe
/// calls.
struct exec_plan {
  std::string program;
  std::vector<std::string> env_texts;
  std::vector<char*> argv, envp;
  const char* work_path = nullptr;
  std::array<std::pair<int, std::uint64_t>, 4> limits{};
  int null_fd = -1, out_fd = -1, err_fd = -1, report_fd = -1, socket_fd = -1;
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

void restore_signals() {
  struct sigaction plain {};
  plain.sa_handler = SIG_DFL;
  for (int number = 1; number < NSIG; ++number)
    ::sigaction(number, &plain, nullptr);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

/// `guard` is its parent: a tool whose guard is killed goes with it.
bool prepare_tool(const exec_plan& plan, pid_t guard) {
  if (::setpgid(0, 0) != 0)
    return false;
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || ::getppid() != guard)
    return false;
  if (::dup2(plan.null_fd, 0) < 0 || ::dup2(plan.out_fd, 1) < 0 || ::dup2(plan.err_fd, 2) < 0)
    return false;
  ::close_range(tool_socket_fd, ~0U, CLOSE_RANGE_CLOEXEC);
  // A copy has no close-on-exec.
  if (plan.socket_fd >= 0 && ::dup2(plan.socket_fd, tool_socket_fd) < 0)
    return false;
  if (plan.work_path != nullptr && ::chdir(plan.work_path) != 0)
    return false;
  for (const auto& [which, most] : plan.limits) {
    const struct rlimit bound { most, most };
    if (most != 0 && ::setrlimit(static_cast<__rlimit_resource>(which), &bound) != 0)
      return false;
  }
  return true;
}

/// `given` is an exec_plan.
void run_tool(const void* given, pid_t guard) {
  const auto& plan = *static_cast<const exec_plan*>(given);
  restore_signals();
  if (prepare_tool(plan, guard))
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
      tool_(std::exchange(other.tool_, 0)) {}

process_group::~process_group() {
  end();
}

void process_group::order(int number, bool alone) const {
  const guard_order wanted{number, alone};
  if (tool_ != 0)
    ::send(watch.get(), &wanted, sizeof wanted, MSG_NOSIGNAL | MSG_DONTWAIT);
}

void process_group::signal(int number) const {
  order(number, false);
}

void process_group::signal_tool(int number) const {
  order(number, true);
}

std::optional<int> process_group::reap() {
  if (tool_ == 0)
    return std::nullopt;
  int status = SIGKILL;
  const auto got = ::recv(watch.get(), &status, sizeof status, MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR))
    return std::nullopt;
  tool_ = 0;
  return got == sizeof status ? status : SIGKILL;
}

void process_group::end() {
  if (guard_ == 0)
    return;
  ::shutdown(watch.get(), SHUT_WR); // Whoever else still has a copy of it: the guard hears it.
  while (::waitpid(guard_, nullptr, 0) < 0 && errno == EINTR) {
  }
  guard_ = tool_ = 0;
}

std::optional<error> process_group::launch(const child_spec& spec, tool_wiring wiring) {
  auto program = find_program(spec.argv.front());
  if (program.empty())
    return error{recovery::refuse, "tool_missing", "no program " + spec.argv.front()};
  auto plan = plan_exec(spec, std::move(program));
  auto out_pipe = make_pipe(), err_pipe = make_pipe(), report = make_pipe();
  auto lifeline = make_lifeline();
  const unique_fd null = above_tools(unique_fd(::open("/dev/null", O_RDONLY | O_CLOEXEC)));
  unique_fd socket;
  if (wiring.socket >= 0)
    socket = above_tools(unique_fd(::fcntl(wiring.socket, F_DUPFD_CLOEXEC, 0)));
  if (!out_pipe || !err_pipe || !report || !lifeline || null.get() < 0
      || (wiring.socket >= 0 && socket.get() < 0))
    return start_error("pipe", errno);
  plan.null_fd = null.get();
  plan.out_fd = out_pipe->write.get();
  plan.err_fd = wiring.one_output ? plan.out_fd : err_pipe->write.get();
  plan.socket_fd = socket.get();
  plan.report_fd = report->write.get();
  const pid_t guard = ::fork();
  if (guard == 0)
    run_guard({lifeline->write.get(), spec.leaves_daemons, run_tool, &plan});
  if (guard < 0)
    return start_error("fork", errno);
  guard_ = guard;
  watch = std::move(lifeline->read);
  lifeline->write.reset();
  report->write.reset();
  if (::recv(watch.get(), &tool_, sizeof tool_, 0) != sizeof tool_)
    return start_error("fork", EAGAIN); // It could not fork, and says no more.
  int reason = 0;
  while (::read(report->read.get(), &reason, sizeof reason) < 0 && errno == EINTR) {
  }
  if (reason == ENOENT || reason == EACCES)
    if (const auto fault = interpreter_fault(plan.program); !fault.empty())
      return error{recovery::refuse, "tool_start_failed", plan.program + ": " + fault};
  if (reason != 0)
    return start_error(plan.program, reason);
  out = std::move(out_pipe->read);
  ::fcntl(out.get(), F_SETFL, O_NONBLOCK);
  if (!wiring.one_output) {
    err = std::move(err_pipe->read);
    ::fcntl(err.get(), F_SETFL, O_NONBLOCK);
  }
  return std::nullopt;
}

result<process_group> process_group::start(const child_spec& spec, tool_wiring wiring) {
  if (auto wrong = check_arguments(spec))
    return *wrong;
  process_group group;
  const signals_blocked quiet;
  if (auto failed = group.launch(spec, wiring))
    return *failed;
  return group;
}

} // namespace consort::node
