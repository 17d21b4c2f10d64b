// SPDX-License-Identifier: Apache-2.0
#pragma once
/// One tool in a process group of its own, and the guard that is its parent;
/// node/child_process.hpp says why. The object owns both processes and the read ends of the tool's
/// streams: destroying it kills them. Internal to child_process.cpp and host_process.cpp. Not
/// thread-safe.

#include "node/child_process.hpp"

#include <sys/types.h>

#include <optional>
#include <utility>

namespace consort::node {

/// Owns one file descriptor.
class unique_fd {
public:
  unique_fd() = default;
  explicit unique_fd(int fd) : fd_(fd) {}
  unique_fd(unique_fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  unique_fd& operator=(unique_fd&& other) noexcept;
  ~unique_fd() { reset(); }

  [[nodiscard]] int get() const { return fd_; }
  [[nodiscard]] int release() { return std::exchange(fd_, -1); }
  void reset();

private:
  int fd_ = -1;
};

/// How a tool is connected beside its output.
struct tool_wiring {
  int socket = -1;         ///< The tool finds it as `tool_socket_fd`; it stays the caller's.
  bool one_output = false; ///< What it prints as errors comes with the rest, and `err` is none.
};
inline constexpr int tool_socket_fd = 3;

class process_group {
public:
  [[nodiscard]] static result<process_group> start(const child_spec& spec, tool_wiring wiring = {});
  process_group(process_group&&) noexcept;
  process_group& operator=(process_group&&) = delete;
  /// KILLs all of it and reaps the guard, which takes limits::child_reap_us_max at most.
  ~process_group();

  /// To every member of the group; SIGKILL also to what has left it. Nothing once the tool has been
  /// reaped and the group ended.
  void signal(int number) const;
  /// To the tool alone; nothing once it was reaped.
  void signal_tool(int number) const;
  /// Collects the tool if it ended. Returns: the wait status; of a tool whose guard somebody killed
  /// that of SIGKILL, which it died of then.
  [[nodiscard]] std::optional<int> reap();
  /// KILLs what is left, and reaps the guard.
  void end();
  /// The tool's number, which names its group; 0 once it was reaped.
  [[nodiscard]] pid_t tool() const { return tool_; }

  unique_fd out, err; ///< Non-blocking read ends.
  unique_fd watch;    ///< Readable once the tool ended; our end of the guard's lifeline.

private:
  process_group() = default;
  [[nodiscard]] std::optional<error> launch(const child_spec& spec, tool_wiring wiring);
  void order(int number, bool alone) const;

  pid_t guard_ = 0;
  pid_t tool_ = 0; ///< Leads the group.
};

} // namespace consort::node
