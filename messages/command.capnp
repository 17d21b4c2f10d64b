# SPDX-License-Identifier: Apache-2.0
@0xd2c99f9c8c3e73d7;
# What to do: the wire form of scheduler/command.hpp. Only the scheduler sends these, each as the
# body of an Envelope, in the order in which they are to be carried out. Each is answered by an
# event, or by silence that a deadline of the scheduler notices.

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("consort::messages::wire");
using Common = import "common.capnp";

struct Command {
  union {
    # To nodes.
    grantLease @0 :GrantLease;
    fenceNode @1 :FenceNode;
    reserveAllocation @2 :ReserveAllocation;
    releaseAllocation @3 :ReleaseAllocation;
    loadReplica @4 :LoadReplica;
    unloadReplica @5 :UnloadReplica;
    revokeAttempt @6 :RevokeAttempt;
    startCompile @7 :StartCompile;
    cancelCompile @8 :CancelCompile;
    fetchArtifact @9 :FetchArtifact;
    deleteArtifact @10 :DeleteArtifact;
    # To the gateway whose request it is.
    grantTicket @11 :GrantTicket;
    dropAttempt @12 :DropAttempt;
    queueNotice @13 :QueueNotice;
    rejectRequest @14 :RejectRequest;
    # To every gateway: records and news.
    recordRequest @15 :RecordRequest;
    note @16 :Note;
  }
}

struct GrantLease {
  # Answer to nodeJoined and leaseRenewed: believed alive until then.
  node @0 :Text;
  life @1 :UInt64;
  leaseEpoch @2 :UInt64;  # Tickets of another epoch are refused by the node.
  until @3 :Int64;        # On the scheduler's clock.
}

struct FenceNode {
  # The node speaks under a dead incarnation or was declared lost: it drops all work and says hello
  # again under a new one.
  node @0 :Text;
  life @1 :UInt64;
  reason @2 :Text;
}

struct ReserveAllocation {
  # First phase: hold the shares of this node's devices. One command per node involved. Answered by
  # allocationReserved or allocationRefused.
  node @0 :Text;
  grant @1 :Common.Allocation;
}

struct ReleaseAllocation {
  # Give the shares back. Idempotent; no answer.
  node @0 :Text;
  allocation @1 :UInt64;
  fence @2 :UInt64;
}

struct LoadReplica {
  # Second phase, to each node of the allocation: start the instance, or this node's rank of it.
  # Answered by replicaLoaded (the leader, once all ranks met it) or replicaFailed (any).
  node @0 :Text;
  instance @1 :UInt64;
  grant @2 :Common.Allocation;
  model @3 :Text;
  variant @4 :Common.ModelVariant;
  artifact @5 :Common.ArtifactRecord;  # Absent when the device runs the weights themselves.
  ways @6 :Common.Parallelism;
  launch @7 :Common.LaunchKind;
  ownership @8 :Common.OwnershipKind;
  rank @9 :UInt32;       # Of this node among those of the allocation; 0 = it leads.
  ranks @10 :UInt32 = 1; # Nodes of the allocation.
  cache @11 :Common.ArtifactRecord;  # What its server compiled at an earlier start; absent = none.
}

struct UnloadReplica {
  # To each node of the allocation. Answered by replicaUnloaded.
  node @0 :Text;
  instance @1 :UInt64;
  reason @2 :Text;
}

struct RevokeAttempt {
  # Cancel an attempt that the scheduler no longer believes in. No answer.
  node @0 :Text;
  device @1 :Text;
  instance @2 :UInt64;
  attempt @3 :Common.AttemptId;
  reason @4 :Text;
}

struct StartCompile {
  # Build an artifact. The node maps the profile's name to a command line of its own; nothing here
  # is ever executed. Answered by compileProgressed, then compileFinished or compileFailed.
  node @0 :Text;
  compile @1 :UInt64;
  key @2 :Common.ArtifactKey;
  model @3 :Text;
  source @4 :Common.ModelVariant;
  grant @5 :Common.Allocation;  # Absent unless the profile needs a device.
}

struct CancelCompile {
  # Answered by compileFailed of code `cancelled`.
  node @0 :Text;
  compile @1 :UInt64;
}

struct FetchArtifact {
  # Pull an artifact from another node's store. Answered by artifactFound, or artifactLost.
  node @0 :Text;
  content @1 :Text;
  key @2 :Common.ArtifactKey;
  from @3 :Text;         # The node that holds it.
  fromAddress @4 :Text;  # Its data port.
}

struct DeleteArtifact {
  # Answered by artifactLost.
  node @0 :Text;
  content @1 :Text;
}

struct GrantTicket {
  # Run attempt N there. Answered by attemptStarted, or attemptFailed.
  granted @0 :Common.Ticket;
  resumed @1 :Bool;   # Earlier attempts already emitted tokens.
  queuedUs @2 :Int64;
  exact @3 :Bool;     # On a resume: same artifact digest as before, so the same text is promised.
  hedge @4 :Bool;     # Beside the attempt that runs: whichever brings a token first goes on, the
                      # gateway closes the other and tells of its tokens no more.
}

struct DropAttempt {
  # This attempt is void: drop its frames. Unless another runs beside it (grantTicket.hedge), wait
  # for the next ticket or an end.
  attempt @0 :Common.AttemptId;
  reason @1 :Text;
}

struct QueueNotice {
  # Why a request is waiting; sent when the reason changes.
  request @0 :Common.RequestId;
  state @1 :Text;      # `queued`, `loading`, `compiling`.
  position @2 :UInt32;
  etaUs :union { etaUnknown @3 :Void; eta @4 :Int64; }
  reason @5 :Text;     # One line for people.
}

struct RejectRequest {
  # The request ends without (further) service.
  request @0 :Common.RequestId;
  httpStatus @1 :UInt16;  # 400-599.
  reason @2 :Common.Error;
  retryAfterUs :union { noRetry @3 :Void; retryAfter @4 :Int64; }
  state @5 :Text;         # For 503: `loading`, `compiling`, `queued`.
  etaUs :union { etaUnknown @6 :Void; eta @7 :Int64; }
}

struct RecordRequest {
  # A request ended, whatever the way: exactly one per accepted request.
  request @0 :Common.RequestId;
  externalId @1 :Text;
  model @2 :Text;
  tenant @3 :Text;
  outcome @4 :Common.RequestOutcome;
  device @5 :Text;  # Of the last attempt.
  attempts @6 :UInt32;
  queuedUs @7 :Int64;
  totalUs @8 :Int64;
  usage @9 :Common.TokenUsage;
  code @10 :Text;   # Error code when it did not finish.
}

struct Note {
  # Something an operator wants to know, once.
  enum Severity { info @0; warning @1; error @2; }
  level @0 :Severity;
  subject @1 :Text;  # Node, device, model, artifact or request id.
  text @2 :Text;     # One line.
}
