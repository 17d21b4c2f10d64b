# SPDX-License-Identifier: Apache-2.0
@0xbeb9305028a10407;
# The data port: a gateway opens one attempt with a ticket and a body, the node streams its events
# back. Closing the connection cancels. Wire form of messages/attempt_service.hpp.

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("consort::messages::wire");
using Common = import "common.capnp";

struct AttemptBody {
  kind @0 :Common.RequestKind;
  json @1 :Data;            # The client's OpenAI body, untouched. Bytes: the runtime judges them.
  resumeText @2 :Text;      # Emitted so far, of choice 0.
  resumeIds @3 :List(Int32);  # Emitted so far; empty when ids are unknown.
  resumeTokens @4 :UInt32;    # How many were emitted, where ids are unknown too; 0 = not said.
}

struct AttemptOpen {
  # Gateway, once, first. The node checks the ticket's seal, fences, expiry and single use.
  ticket @0 :Common.Ticket;
  body @1 :AttemptBody;
}

struct AttemptEvent {
  # Node, in order; the last one is `completed` or `aborted`, exactly once.
  union {
    opened @0 :Opened;
    tokens @1 :Tokens;
    choiceDone @2 :ChoiceDone;
    completed @3 :Completed;
    aborted @4 :Aborted;
  }

  struct Opened {
    # The engine has the prompt: how long it is in its own tokens.
    promptTokens @0 :UInt32;
    cachedTokens @1 :UInt32;
  }

  struct Tokens {
    # New text of one choice.
    choice @0 :UInt32;
    text @1 :Text;               # Whole UTF-8 characters.
    tokenIds @2 :List(Int32);    # May run ahead of the text.
    extraJson @3 :Text;          # JSON object of runtime fields to pass through.
  }

  struct ChoiceDone {
    choice @0 :UInt32;
    finishReason @1 :Text;  # `stop`, `length`, or a runtime's own word.
  }

  struct Completed {
    # All choices ended.
    usage @0 :Common.TokenUsage;
    batch @1 :UInt32;         # Most sequences decoded beside it, itself included.
    engineQueueUs @2 :Int64;  # Waited for a slot inside the engine.
    energyMj :union { energyUnknown @3 :Void; energy @4 :UInt64; }  # As in `Aborted`.
    costMicros :union { costUnknown @5 :Void; cost @6 :UInt64; }    # The same.
  }

  struct Aborted {
    # The attempt failed, was refused or was cancelled.
    failure @0 :Common.Error;
    deviceFault @1 :Bool;  # False = the request's own fault or a cancel.
    # Drawn by its devices for it above their idle power, as its node knows by now; 0 = it never
    # reached an engine.
    energyMj :union { energyUnknown @2 :Void; energy @3 :UInt64; }
    retryAfterUs @4 :Int64;  # How long who had no room asked to be left alone; 0 = not said.
    # Paid for its tokens, 1e-6 of the currency unit; unknown where they are not paid for, too.
    costMicros :union { costUnknown @5 :Void; cost @6 :UInt64; }
  }
}
