// SPDX-License-Identifier: Apache-2.0
#pragma once
/// The host process's end of its socket. A thread of its own reads commands and writes reports, so
/// that neither waits for the vendor's code; whatever is queued while a write is in progress leaves
/// with the next one, so the events of one engine step need few writes and none waits for a timer;
/// the first of a step is written by the vendor's own thread.
///
/// It decides when the process ends: at once when the agent is gone (whatever the vendor's code is
/// doing), when the agent breaks the protocol, when it stops reading for `stall_us`, or when a call
/// into the vendor's object that is to be quick has not returned for `call_us`.

#include "messages/codec.hpp"
#include "node/host/call_watch.hpp"
#include "node/host/host_main.hpp"

#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>

namespace consort::node {

class host_port {
public:
  host_port(int socket_fd, const host_bounds& bounds);
  host_port(const host_port&) = delete;
  host_port& operator=(const host_port&) = delete;

  /// Starts the thread, which is never joined: it ends with the process. Returns: false when the
  /// descriptor is no socket or the system is out of something.
  [[nodiscard]] bool start();
  /// The next command; waits for it. The one before is done with. One thread.
  [[nodiscard]] messages::host_command next();
  /// Queues a report; any thread. Waits when `unsent_bytes_max` are queued. A report that cannot be
  /// encoded is the vendor's doing and ends the process.
  void send(const messages::host_report& report);
  /// A call into the vendor's object that is to be quick begins; calls().end() once it returned.
  void begin_call(const char* name, call_watch::counts which);
  /// Looked at while a command that next() gave is not done with.
  [[nodiscard]] call_watch& calls() { return calls_; }
  /// Writes what is queued, then ends the process.
  [[noreturn]] void finish();

private:
  [[noreturn]] void run();
  void await_work();
  [[nodiscard]] bool look_at_call();
  void read_some();
  void take_frames();
  void write_some();
  void wake();
  [[nodiscard]] std::size_t write_now(const std::vector<char>& frame);

  const int fd_;
  int wake_fd_ = -1;
  const host_bounds bounds_;
  call_watch calls_;
  messages::frame_reader reader_; ///< Of the I/O thread, as are the next two.
  std::vector<char> leaving_;
  std::size_t left_ = 0; ///< Bytes of `leaving_` already written.

  std::mutex mutex_;
  std::condition_variable arrived_, room_;
  std::deque<std::pair<messages::host_command, std::size_t>> commands_; ///< With payload bytes.
  std::size_t command_bytes_ = 0;
  std::vector<char> queued_;
  bool woken_ = false;
  bool serving_ = false; ///< A command that next() gave is not done with.
  bool idle_ = true;     ///< The I/O thread has nothing left to write.
  std::chrono::steady_clock::time_point wrote_at_;
  bool finishing_ = false;
};

} // namespace consort::node
