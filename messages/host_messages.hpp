// SPDX-License-Identifier: Apache-2.0
#pragma once
/// What an agent and one of its host processes (`consort host`) say to each other over their
/// socket, each in a frame of its own (frame.hpp). Plain values; the wire form is host.capnp.

#include "messages/attempt_service.hpp"
#include "messages/frame.hpp" // First: its kinds have the names of types below.

namespace consort::messages {

// --- agent to host ---

/// First message: load the model. Answered by host_opened or host_open_failed, once.
struct host_open {
  std::string library;     ///< Path of the shared object; empty = as on the host's command line.
  std::string config_json; ///< Object handed to the runtime's `open`.
  friend bool operator==(const host_open&, const host_open&) = default;
};
/// Runs an attempt; events follow under the same number, the last one terminal.
struct host_submit {
  std::uint64_t request = 0; ///< Chosen by the agent, unique in the session.
  attempt_body body;
  friend bool operator==(const host_submit&, const host_submit&) = default;
};
/// Stops an attempt; its terminal event follows. Unknown numbers are ignored.
struct host_cancel {
  std::uint64_t request = 0;
  friend bool operator==(const host_cancel&, const host_cancel&) = default;
};
/// Asks for counters; answered by host_stats of the same number.
struct host_read_stats {
  std::uint64_t number = 0;
  friend bool operator==(const host_read_stats&, const host_read_stats&) = default;
};
/// Last message: stop all work and exit with status 0.
struct host_close {
  friend bool operator==(const host_close&, const host_close&) = default;
};

using host_command = std::variant<host_open, host_submit, host_cancel, host_read_stats, host_close>;

// --- host to agent ---

struct host_opened {
  std::string runtime; ///< The runtime's own name, e.g. `refnpu`.
  std::string version; ///< The runtime's own version.
  friend bool operator==(const host_opened&, const host_opened&) = default;
};
struct host_open_failed {
  error failure;
  friend bool operator==(const host_open_failed&, const host_open_failed&) = default;
};
struct host_event {
  std::uint64_t request = 0;
  attempt_event happened;
  friend bool operator==(const host_event&, const host_event&) = default;
};
struct host_stats {
  std::uint64_t number = 0;
  std::string json; ///< Object of counters as the C ABI's `stats` wrote it.
  friend bool operator==(const host_stats&, const host_stats&) = default;
};

using host_report = std::variant<host_opened, host_open_failed, host_event, host_stats>;

} // namespace consort::messages
