// SPDX-License-Identifier: Apache-2.0
#pragma once
/// One host process: spawned with a socket at descriptor 3 and its output in a pipe, killed with
/// all that a vendor's library started in it, in whichever session, and reaped exactly once.
/// Destroying it kills and reaps; nothing of it outlives the object, neither process, zombie nor
/// descriptor, unless the process is stuck inside a driver and cannot be killed. Thread-safe.

#include "node/process_group.hpp"
#include "node/runtimes/c_abi_runtime.hpp"

#include <sys/types.h>

namespace consort::node {

class host_process {
public:
  /// Ends of a new host that belong to the caller, close-on-exec.
  struct started {
    std::unique_ptr<host_process> process;
    unique_fd socket; ///< Protocol, AF_UNIX stream, non-blocking.
    unique_fd log;    ///< Read end of its output and error, non-blocking.
    unique_fd exit;   ///< A pidfd: readable once the process has ended.
  };

  /// Runs `executable host --fd 3 --library L` in a process group of its own, under a guard
  /// (node/process_guard.hpp): it dies with this process. Fails with `runtime_spawn_failed`, retry
  /// elsewhere.
  [[nodiscard]] static result<started> spawn(const c_abi_options& options);

  ~host_process();
  host_process(const host_process&) = delete;
  host_process& operator=(const host_process&) = delete;

  /// Ends the process and what it started at once; no effect after the process was reaped.
  void kill();
  /// Collects the process, waiting at most limits::child_reap_us_max: to be called after kill(), or
  /// once `exit` is readable. Returns: how it ended, in words (`exit status 71`, `signal 11
  /// (Segmentation fault)`).
  std::string reap();
  [[nodiscard]] pid_t pid() const { return pid_; }

private:
  explicit host_process(process_group group) : pid_(group.tool()), group_(std::move(group)) {}

  const pid_t pid_; ///< May be another's once it was reaped.
  process_group group_;
  std::mutex mutex_;
  std::string ending_;
};

} // namespace consort::node
