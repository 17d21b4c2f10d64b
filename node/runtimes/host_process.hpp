// SPDX-License-Identifier: Apache-2.0
#pragma once
/// One host process: spawned with a socket at descriptor 3 and its output in a pipe, killed with
/// its whole process group, reaped exactly once. Destroying it kills and reaps; nothing of it
/// outlives the object, neither process, zombie nor descriptor. Thread-safe.

#include "node/runtimes/c_abi_runtime.hpp"

#include <sys/types.h>

namespace consort::node {

class host_process {
public:
  /// Ends of a new host that belong to the caller, close-on-exec.
  struct started {
    std::unique_ptr<host_process> process;
    int socket_fd = -1; ///< Protocol, AF_UNIX stream, non-blocking.
    int log_fd = -1;    ///< Read end of its output and error, non-blocking.
    int exit_fd = -1;   ///< A pidfd: readable once the process has ended.
  };

  /// Runs `executable host --fd 3 --library L` in a process group of its own. It dies with the
  /// calling thread. Fails with `runtime_spawn_failed`, retry elsewhere.
  [[nodiscard]] static result<started> spawn(const c_abi_options& options);

  ~host_process();
  host_process(const host_process&) = delete;
  host_process& operator=(const host_process&) = delete;

  /// Ends the process group at once; no effect after the process was reaped.
  void kill();
  /// Waits for the end, which must be near: after kill(), or once `exit_fd` is readable. Returns:
  /// how it ended, in words (`exit status 71`, `signal 11 (Segmentation fault)`).
  std::string reap();
  [[nodiscard]] pid_t pid() const { return pid_; }

private:
  explicit host_process(pid_t pid) : pid_(pid) {}

  const pid_t pid_;
  std::mutex mutex_;
  bool reaped_ = false;
  std::string ending_;
};

} // namespace consort::node
