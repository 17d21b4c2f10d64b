# SPDX-License-Identifier: Apache-2.0
@0xb689927132183616;
# What happened: the wire form of scheduler/event.hpp. Nodes and gateways send these to the
# scheduler, each as the body of an Envelope. Any may arrive late, twice, or about something
# unknown; the scheduler ignores what it cannot use. `life` is the incarnation of the node named.

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("consort::messages::wire");
using Common = import "common.capnp";

struct Event {
  union {
    nodeJoined @0 :NodeJoined;
    nodeLost @1 :NodeLost;
    leaseRenewed @2 :NodeLife;
    # A node's heartbeat: believe me alive for another lease period. Three in each period.
    drainChanged @3 :DrainChanged;
    deviceAdvertised @4 :DeviceAdvertised;
    deviceReported @5 :DeviceReported;
    deviceLost @6 :DeviceLost;
    modelDeclared @7 :Common.ModelSpec;
    # A gateway, for an operator: serve this model from now on.
    modelRemoved @8 :Text;
    # A gateway, for an operator: the name of the model to forget.
    requestSubmitted @9 :Common.RequestMeta;
    # A gateway asks for a ticket. Answered by commands about this request.
    requestCancelled @10 :RequestCancelled;
    attemptStarted @11 :Common.AttemptId;
    # A gateway: the endpoint accepted the ticket and work began.
    attemptProgressed @12 :AttemptProgressed;
    attemptFinished @13 :AttemptFinished;
    attemptFailed @14 :AttemptFailed;
    gatewayLost @15 :UInt64;
    # Made by the scheduler when a gateway's link closes; refused from a link. Its incarnation. A
    # hint: the gateway may come back with gatewayRestored.
    allocationReserved @16 :AllocationAnswer;
    allocationRefused @17 :AllocationAnswer;
    replicaLoaded @18 :ReplicaLoaded;
    replicaUnloaded @19 :ReplicaEnded;
    # Any of its nodes: the instance, or its rank of it, is gone, as was asked.
    replicaFailed @20 :ReplicaEnded;
    # Any of its nodes: a load failed, or a loaded instance or rank died. `failure` says why.
    artifactFound @21 :ArtifactFound;
    artifactLost @22 :ArtifactLost;
    compileProgressed @23 :CompileProgressed;
    compileFinished @24 :CompileFinished;
    compileFailed @25 :CompileFailed;
    compileRequested @26 :CompileRequested;
    tick @27 :Void;
    # Made by the scheduler when a deadline comes; refused from a link.
    requestRestored @28 :RequestRestored;
    gatewayRestored @29 :UInt64;
    # A gateway, after the last requestRestored: that was all. Its incarnation.
    replicaFound @30 :ReplicaFound;
    fetchFailed @31 :FetchFailed;
  }
}

struct NodeJoined {
  # A node, right after its hello was accepted. A new incarnation replaces the old one.
  node @0 :Text;
  life @1 :UInt64;
  dataAddress @2 :Text;  # `host:port` of its data port; empty in one process.
  toolchains @3 :List(Common.BuildProfile);  # What it can compile.
  attributes @4 :List(Common.Attribute);
  returning @5 :Bool;  # This process was greeted before, by this scheduler or an earlier one.
}

struct NodeLost {
  # The scheduler's link layer, or the node itself on a clean stop: first with `leaving`, then with
  # that and `processEnded`.
  node @0 :Text;
  life @1 :UInt64;
  processEnded @2 :Bool;  # Sure that the process is gone; otherwise the lease decides.
  reason @3 :Text;
  forGood @4 :Bool;  # It is not let in again as it is (its certificate is revoked).
  leaving @5 :Bool;  # Its agent stops. Until `processEnded` what runs there goes on, and nothing new starts.
}

struct NodeLife {
  node @0 :Text;
  life @1 :UInt64;
}

struct DrainChanged {
  # A gateway for an operator, or a node about itself: no new work there, or work again.
  target @0 :Text;  # Node or device id.
  draining @1 :Bool;
  reason @2 :Text;
  moveAfterUs @3 :Int64;  # What still runs there then is moved elsewhere; 0 = never.
  kind @4 :HoldKind;
}

enum HoldKind {
  any @0;  # A drain when set, both when lifted.
  drain @1;
  cordon @2;
}

struct DeviceAdvertised {
  # A node describes one device in full; again when anything about it changed.
  spec @0 :Common.DeviceSpec;
  life @1 :UInt64;
}

struct DeviceReported {
  # A node, every telemetry period: the device's own truth.
  device @0 :Text;
  life @1 :UInt64;
  reading @2 :Common.DeviceReading;
  running @3 :List(Common.AttemptId);  # What runs there, in order of id.
  endpoints @4 :List(EndpointReport);
}

struct EndpointReport {
  instance @0 :UInt64;
  capacity @1 :Common.CapacityVector;
}

struct DeviceLost {
  # A node: the device is gone, or unusable.
  device @0 :Text;
  life @1 :UInt64;
  reason @2 :Text;
}

struct RequestCancelled {
  # A gateway: the client left, or the gateway gave up. Ends the request.
  request @0 :Common.RequestId;
  reason @1 :Text;
}

struct AttemptProgressed {
  # A gateway, at most a few times a second per attempt: tokens arrived since the last report.
  attempt @0 :Common.AttemptId;
  completionTokens @1 :UInt32;  # So far, over all choices.
}

struct AttemptFinished {
  # A gateway: the attempt ended well. Ends the request.
  attempt @0 :Common.AttemptId;
  measured @1 :Common.AttemptMeasurement;
}

struct AttemptFailed {
  # A gateway: the attempt ended badly. `failure.action` decides between another and the end.
  attempt @0 :Common.AttemptId;
  failure @1 :Common.Error;
  emittedTokens @2 :UInt32;  # That the client already saw.
  deviceFault @3 :Bool;      # False for client errors and cancels.
  retryAfterUs @4 :Int64;    # How long who had no room asked to be left alone; 0 = not said.
  costMicros :union { costUnknown @5 :Void; cost @6 :UInt64; }  # As in `AttemptMeasurement`.
}

struct AllocationAnswer {
  # A node answers reserveAllocation: it holds its shares, or says why not (`refusal`).
  allocation @0 :UInt64;
  node @1 :Text;
  life @2 :UInt64;
  fence @3 :UInt64;
  refusal @4 :Common.Error;  # Absent when reserved.
  rendezvous @5 :Text;       # host:port that is free there, for ranks of other nodes; empty on one node.
}

struct ReplicaLoaded {
  # The leader's node: the instance takes requests.
  instance @0 :UInt64;
  life @1 :UInt64;
  endpoints @2 :List(Common.CapacityVector);  # One per data-parallel rank.
  runtime @3 :Common.RuntimeCapabilities;
  loadUs @4 :Int64;
}

struct ReplicaEnded {
  instance @0 :UInt64;
  life @1 :UInt64;
  failure @2 :Common.Error;  # Absent when unloaded.
}

struct ArtifactFound {
  # A node: its store holds this artifact, verified.
  record @0 :Common.ArtifactRecord;
  life @1 :UInt64;
}

struct ArtifactLost {
  # A node: its copy is gone, or was corrupt and discarded.
  key @0 :Common.ArtifactKey;
  content @1 :Text;
  node @2 :Text;
  life @3 :UInt64;
  reason @4 :Text;
}

struct CompileProgressed {
  # The building node, when the tool says so; at most one a second.
  compile @0 :UInt64;
  life @1 :UInt64;
  donePm @2 :UInt32;
}

struct CompileFinished {
  # The building node: built, validated and in its store.
  compile @0 :UInt64;
  life @1 :UInt64;
  record @2 :Common.ArtifactRecord;
}

struct CompileFailed {
  # The building node. Action `refuse` means deterministic: not to be tried again for this key.
  compile @0 :UInt64;
  life @1 :UInt64;
  failure @2 :Common.Error;
  retryAfterUs @3 :Int64;  # How long the server of weights asked to be left alone; 0 = not said.
}

struct CompileRequested {
  # A gateway, for an operator: build ahead.
  model @0 :Text;
  selector @1 :Text;  # Devices to build for.
}

struct RequestRestored {
  # A gateway with a fresh link, once for each request that it still has, after helloAnswer and
  # before anything else about that request.
  meta @0 :Common.RequestMeta;  # Deadline and wait: what is left of them.
  attempts @1 :UInt32;          # Number of the latest ticket that it got; 0 = none.
  emittedTokens @2 :UInt32;     # That the client saw, over all attempts.
  running @3 :Common.Ticket;    # Of the attempt that still streams; absent when none does. Its
                                # number is `attempts`, or less while a hedge runs beside it.
}

struct ReplicaFound {
  # A node with a fresh link, after its devices, once for each instance that it has loaded or holds a
  # rank of.
  instance @0 :UInt64;
  life @1 :UInt64;
  grant @2 :Common.Allocation;
  model @3 :Text;
  weights @4 :Text;   # SHA-256 of the variant.
  artifact @5 :Text;  # SHA-256; empty when it runs the weights themselves.
  endpoints @6 :List(Common.CapacityVector);  # One per data-parallel rank.
  runtime @7 :Common.RuntimeCapabilities;
  node @8 :Text;  # That tells; empty = the leader's.
  adapters @9 :List(Common.ModelAdapter);  # That it has loaded.
}

struct FetchFailed {
  # A node: the copy that fetchArtifact asked for did not arrive.
  key @0 :Common.ArtifactKey;
  content @1 :Text;
  node @2 :Text;
  life @3 :UInt64;
  failure @4 :Common.Error;
}
