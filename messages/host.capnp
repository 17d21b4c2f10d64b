# SPDX-License-Identifier: Apache-2.0
@0xf545f6997800d30e;
# The socket between an agent and one of its host processes, which holds a vendor's shared object
# behind the C ABI (node/plugin_abi.h). Every message is one frame (messages/frame.hpp). Either end
# closes on anything that it does not understand: both come from the same build.

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("consort::messages::wire");
using Common = import "common.capnp";
using Attempts = import "attempt.capnp";

struct HostCommand {
  # Agent.
  union {
    open @0 :Open;
    submit @1 :Submit;
    cancel @2 :UInt64;
    # Number of the request to stop; its terminal event follows. Unknown ones are ignored.
    readStats @3 :UInt64;
    # Asks for counters; answered by `stats` of the same number.
    close @4 :Void;
    # Last message: stop all work and exit with status 0.
  }

  struct Open {
    # First message. Answered by `opened` or `openFailed`, once.
    library @0 :Text;     # Path; empty = as on the host's command line.
    configJson @1 :Data;  # Object handed to the runtime's `open`.
  }

  struct Submit {
    # Events follow under the same number, the last one terminal.
    request @0 :UInt64;  # Chosen by the agent, unique in the session.
    body @1 :Attempts.AttemptBody;
  }
}

struct HostReport {
  # Host process.
  union {
    opened @0 :Opened;
    openFailed @1 :Common.Error;
    event @2 :Event;
    stats @3 :Stats;
  }

  struct Opened {
    runtime @0 :Text;  # The runtime's own name and version.
    version @1 :Text;
  }

  struct Event {
    request @0 :UInt64;
    happened @1 :Attempts.AttemptEvent;
  }

  struct Stats {
    number @0 :UInt64;
    json @1 :Data;  # Object of counters, as the C ABI's `stats` wrote it.
  }
}
