# SPDX-License-Identifier: Apache-2.0
@0xfa8fe2093b2937e1;
# What the scheduler shows of itself: the wire form of scheduler/view.hpp. Sent only as the answer
# to a Query. Lists are ordered by id unless said otherwise.

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("consort::messages::wire");
using Common = import "common.capnp";

struct Snapshot {
  cluster @0 :Text;
  now @1 :Int64;  # The scheduler's clock.
  policy @2 :Text;
  nodes @3 :List(NodeView);
  devices @4 :List(DeviceView);
  replicas @5 :List(ReplicaView);
  models @6 :List(ModelView);
  artifacts @7 :List(ArtifactView);
  requests @8 :List(RequestView);  # Live ones, oldest first, up to a bound.
  queueDepth @9 :UInt32;
  queueDepthMax @10 :UInt32;
  counters @11 :CountersView;
  pools @12 :List(Common.Attribute);  # Selectors by the pools' names.
  requestsTotal @13 :UInt32;  # Live ones; of a RequestsWish those that it wishes for.
}

struct NodeView {
  node @0 :Text;
  life @1 :UInt64;
  alive @2 :Bool;
  draining @3 :Bool;
  leaseEpoch @4 :UInt64;
  leaseLeftUs @5 :Int64;  # Negative when it ran out.
  dataAddress @6 :Text;
  toolchains @7 :List(Common.BuildProfile);
  attributes @8 :List(Common.Attribute);
  suspect @9 :Bool;  # Its link dropped, and it was not heard since.
  cordoned @10 :Bool;
  running @11 :UInt32;  # Attempts on its devices.
  heldOffUs @12 :Int64;  # Up, but lost several times lately: takes no work for that long yet.
}

struct DeviceView {
  spec @0 :Common.DeviceSpec;
  reading @1 :Common.DeviceReading;
  alive @2 :Bool;
  draining @3 :Bool;
  breaker @4 :Text;    # `closed`, `open`, `half-open`.
  running @5 :UInt32;  # Attempts.
  loaded @6 :List(Text);  # Model names.
  cordoned @7 :Bool;
}

struct ReplicaView {
  instance @0 :UInt64;
  model @1 :Text;
  leader @2 :Text;
  devices @3 :List(Text);
  state @4 :Text;
  running @5 :UInt32;
  sequencesMax @6 :UInt32;
  kvTokensMax @7 :UInt64;
  kvTokensReserved @8 :UInt64;
  artifact @9 :Text;  # SHA-256; empty when it runs the weights themselves.
  prefillTokensPerS @10 :UInt64;  # As learned so far.
  decodeTokensPerS @11 :UInt64;
  # How far predictions of its first tokens were off, per mille of what was measured.
  predictions @12 :UInt32;  # How many were compared.
  firstErrorP50Pm @13 :UInt32;
  firstErrorP90Pm @14 :UInt32;
  energyUjPerToken @15 :UInt64;  # Written, above idle power, microjoules, as learned; 0 = unknown.
}

struct ModelView {
  spec @0 :Common.ModelSpec;
  replicasReady @1 :UInt32;
  replicasLoading @2 :UInt32;
  waiting @3 :UInt32;
  contextTokens @4 :UInt32;  # Of one request, the most that a ready replica tells; 0 = none.
}

struct ArtifactView {
  key @0 :Common.ArtifactKey;
  model @1 :Text;
  state @2 :Common.ArtifactState;
  content @3 :Text;
  sizeBytes @4 :UInt64;
  nodes @5 :List(Text);  # That hold it, or the one that builds it.
  donePm @6 :UInt32;
  etaUs :union { etaUnknown @7 :Void; eta @8 :Int64; }
  builds @9 :UInt32;
  lastError @10 :Text;
  quality @11 :List(Common.Attribute);
  own @12 :Text;  # The newest of its key; another than `content` after a rollback.
  replicas @13 :UInt32;  # Ready ones that run `own`.
}

struct RequestView {
  id @0 :Common.RequestId;
  externalId @1 :Text;
  model @2 :Text;
  state @3 :Text;  # `queued`, `loading`, `compiling`, `running`.
  device @4 :Text;
  attempts @5 :UInt32;
  ageUs @6 :Int64;
  # Of one that has not ended:
  tenant @7 :Text;    # Empty = the anonymous one.
  priority @8 :Text;  # `interactive`, `standard`, `batch`.
  deadlineLeftUs :union { noDeadline @9 :Void; deadlineLeft @10 :Int64; }
  number @11 :UInt64;  # Greater than those of all that came before it.
}

struct CountersView {
  # Since the scheduler started.
  submitted @0 :UInt64;
  finished @1 :UInt64;
  failed @2 :UInt64;
  cancelled @3 :UInt64;
  rejected @4 :UInt64;
  expired @5 :UInt64;
  attempts @6 :UInt64;
  retries @7 :UInt64;
  resumes @8 :UInt64;
  buildsStarted @9 :UInt64;
  buildsFailed @10 :UInt64;
  loads @11 :UInt64;
  decisions @12 :UInt64;
  buildsFinished @13 :UInt64;
  buildUsTotal @14 :UInt64;  # Time that finished builds took.
  preemptions @15 :UInt64;   # Attempts of batch work that made room for interactive work.
  hedges @16 :UInt64;        # Second attempts beside one that was late.
  hedgesWon @17 :UInt64;     # Of these, those that became their request's only attempt.
}

struct Explanation {
  request @0 :RequestView;
  decisions @1 :List(DecisionView);  # Oldest first.
  outcome @2 :Text;  # Once it ended.
  startsInUs :union { unknownStart @3 :Void; startsIn @4 :Int64; }  # Of one that waits.
  # Of a request that is not run: the HTTP status with which it would be refused at once; 0 = it
  # would not be. And when to come back then, microseconds.
  httpStatus @5 :UInt16;
  retryAfterUs :union { noRetryAfter @6 :Void; retryAfter @7 :Int64; }
}

struct DecisionView {
  attempt @0 :UInt32;  # The attempt it issued; 0 when it did not.
  at @1 :Int64;        # The scheduler's clock.
  policy @2 :Text;
  outcome @3 :Text;    # `ticket`, `queued`, `loading`, `compiling`, `rejected`.
  reason @4 :Text;
  winner @5 :Text;
  candidates @6 :List(CandidateView);  # Best first, up to a bound.
  candidatesTotal @7 :UInt32;
}

struct CandidateView {
  device @0 :Text;
  instance @1 :UInt64;   # 0 when nothing is loaded there yet.
  removedBy @2 :Text;    # Filter's name; empty = passed.
  reason @3 :Text;
  score @4 :Int64;       # Lower is better; valid when not removed.
  terms @5 :List(ScoreTerm);
}

struct ScoreTerm {
  name @0 :Text;
  value @1 :Int64;  # Micro-units of the policy's own measure.
}

struct RequestsWish {
  # Of the live requests those that all of it says, in order of number; an empty text says nothing.
  after @0 :UInt64;  # Behind that number.
  limit @1 :UInt32;  # At most so many, and no more than fit the frame.
  model @2 :Text;    # By any of its names.
  tenant @3 :Text;
  priority @4 :Text;  # Words of RequestView.
  state @5 :Text;
}

enum ViewPart { nodes @0; devices @1; replicas @2; models @3; artifacts @4; requests @5; }

struct ViewCursor {
  # A page of a snapshot begins behind this row of this list, and goes on with the lists after it.
  part @0 :ViewPart;
  name @1 :Text;      # Of nodes, devices and models; empty = their first row.
  number @2 :UInt64;  # Of the other lists; 0 = their first row.
}
