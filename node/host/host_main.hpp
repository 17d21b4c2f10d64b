// SPDX-License-Identifier: Apache-2.0
#pragma once
/// What `consort host --fd N --library PATH` runs: the process that holds one vendor shared object
/// and one loaded instance, so that a crash costs that instance's requests and nothing else. It
/// serves the host protocol (messages/host.capnp) over one AF_UNIX stream socket.
///
/// Threads: the calling thread makes every call into the vendor's object; a second one owns the
/// socket, so events leave while a call is in progress and the end of the agent is noticed even
/// while the vendor's code hangs. It also ends the process when a call that is to be quick does not
/// return (call_watch.hpp). The process never outlives its agent: end of stream on the socket
/// ends it at once, and so does the death of its parent, the guard. Standard output and error
/// belong to the vendor; the protocol never touches them.

#include "node/host/limits.hpp"

#include <string>

namespace consort::node {

/// How a host process ends; the agent turns it into words.
enum host_exit : int {
  host_exit_closed = 0,    ///< Asked to close, or the agent went away.
  host_exit_protocol = 71, ///< The agent sent what the protocol does not allow.
  host_exit_stalled = 72,  ///< The agent stopped reading events.
  host_exit_setup = 73,    ///< No stream socket at that descriptor, or out of threads.
  host_exit_vendor = 74,   ///< The vendor's object broke the C ABI; said so on standard error.
  host_exit_hung = 75,     ///< `cancel` or `stats` did not return; said so on standard error.
};

/// Bounds of a host; the defaults are the product's, tests lower them.
struct host_bounds {
  std::size_t unsent_bytes_max = limits::host_unsent_bytes_max;
  std::size_t calls_max = limits::host_calls_max;
  duration_us stall_us = limits::host_stall_us;
  duration_us call_us = limits::host_call_us;
};

/// Serves until closed, then ends the process without returning. To be the only work of its
/// process, since it changes limits, process group and signal dispositions. A library that cannot
/// be used is the answer to `open`. Returns: `host_exit_setup` when it could not begin.
[[nodiscard]] int host_main(int socket_fd, std::string library, host_bounds bounds = {});

} // namespace consort::node
