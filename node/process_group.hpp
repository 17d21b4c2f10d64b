// SPDX-License-Identifier: Apache-2.0
#pragma once
/// One tool and its guard in a process group of their own; node/child_process.hpp says why. The
/// object owns both processes and the read ends of the tool's streams: destroying it kills the
/// group and reaps them. Internal to child_process.cpp. Not thread-safe.

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

class process_group {
public:
  /// `die_with_thread`: the tool also gets a parent-death signal, bound to the calling thread.
  [[nodiscard]] static result<process_group> start(const child_spec& spec, bool die_with_thread);
  process_group(process_group&&) noexcept;
  process_group& operator=(process_group&&) = delete;
  /// KILLs the group and reaps it, waiting at most limits::child_reap_us_max.
  ~process_group();

  /// To every member; nothing once the tool has been reaped and the group ended.
  void signal(int number) const;
  /// To the tool alone; nothing once it was reaped.
  void signal_tool(int number) const;
  /// Collects the tool if it ended. Returns: the wait status.
  [[nodiscard]] std::optional<int> reap();
  /// KILLs what is left of the group, guard included, and reaps the guard.
  void end();

  unique_fd out, err; ///< Non-blocking read ends.
  unique_fd watch;    ///< Readable once the tool ended (pidfd).

private:
  process_group() = default;
  [[nodiscard]] std::optional<error> start_guard();
  [[nodiscard]] std::optional<error> start_tool(const child_spec& spec, bool die_with_thread);

  pid_t guard_ = 0;
  pid_t tool_ = 0;
  unique_fd lifeline_; ///< Write end; its last copy closed = the guard kills the group.
};

} // namespace consort::node
