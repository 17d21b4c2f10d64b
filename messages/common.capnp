# SPDX-License-Identifier: Apache-2.0
@0x88c9ae68dce1024c;
# The vocabulary: the wire form of scheduler/types.hpp, used inside the messages of the other files.
#
# Rules for every field: a default means absent or unknown, unless said otherwise. Ids and words are
# UTF-8 without control characters. Bounds of lengths, counts and numbers are messages/limits.hpp; a
# receiver refuses what breaks them. Durations and times are microseconds, sizes bytes, power
# milliwatts, energy millijoules, ratios per mille, money 1e-6 of the cluster's currency unit.

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("consort::messages::wire");

# --- identifiers ---

struct RequestId {
  # One inference; unique across gateways.
  gateway @0 :UInt64;   # Incarnation of the gateway process; never 0.
  sequence @1 :UInt64;  # Counts that gateway's requests.
}

struct AttemptId {
  request @0 :RequestId;
  number @1 :UInt32;  # Counts from 1.
}

struct Attribute {
  # An entry of a map from names to values, sorted by name; a name occurs once.
  name @0 :Text;
  value @1 :Text;
}

# --- errors ---

enum Recovery {
  # What the receiver may do about an error.
  retryElsewhere @0;  # The device or node failed; another may do it.
  retryLater @1;      # Nothing is wrong but time: full, loading, compiling.
  refuse @2;          # The request itself is at fault; it fails everywhere.
  bug @3;             # An invariant broke.
}

struct Error {
  action @0 :Recovery;
  code @1 :Text;     # Stable word for programs, e.g. `context_overflow`.
  message @2 :Text;  # One line for people; cut to 4 KiB by the sender.
}

# --- resources ---

enum ResourceType { gpu @0; npu @1; pim @2; cpu @3; remote @4; hybrid @5; }

enum FigureSource {
  # Where a capacity figure comes from; later ones are trusted over earlier ones.
  declared @0;
  measured @1;
  engine @2;
}

struct CapacityFigure {
  figure :union {
    unknown @0 :Void;
    value @1 :UInt64;
  }
  source @2 :FigureSource;
  ageUs @3 :Int64;  # Since it was read.
}

struct CapacityVector {
  # What an endpoint can hold at once.
  sequences @0 :CapacityFigure;         # Decoded together.
  kvTokens @1 :CapacityFigure;          # Of KV cache, over all sequences.
  stepTokens @2 :CapacityFigure;        # Per engine step.
  adapterSlots @3 :CapacityFigure;
  requestsPerMin @4 :CapacityFigure;    # Remote rate limit.
  tokensPerMin @5 :CapacityFigure;      # Remote rate limit.
  foreignSequences @6 :CapacityFigure;  # Load on the engine that is not ours.
  shapeBuckets @7 :List(UInt32);        # Compiled prompt lengths, tokens, ascending; empty = any.
}

enum ResumeSupport { none @0; text @1; tokens @2; }

struct RuntimeCapabilities {
  # What a runtime can do beside generating.
  resume @0 :ResumeSupport;
  cancel @1 :Bool;
  priority @2 :Bool;
  preempt @3 :Bool;
  tokenize @4 :Bool;
  streaming @5 :Bool = true;
  adapters @6 :Bool;
  embeddings @7 :Bool;
  structuredOutput @8 :Bool;
  refuses @9 :UInt32;  # What it does not answer: bits of scheduler/asks.hpp.
  contextTokens @10 :UInt32;  # That one request may have, answer included; 0 = unknown.
  promptTokens @11 :UInt32;  # Of these its prompt at most; 0 = no bound of its own.
}

struct SpeedSpec {
  # Spec-sheet speed that seeds the cost model until measurements replace it.
  prefillTokensPerS @0 :UInt64;
  decodeTokensPerS @1 :UInt64;          # One sequence alone.
  decodeBatchGainPm @2 :UInt32 = 1000;  # ITL(b) = ITL(1) * (1 + (b-1) * gain / 1000).
  loadUs @3 :Int64;                     # Typical load of a model or artifact.
  tdpMw @4 :UInt64;                     # Board power at full load.
  idleMw @5 :UInt64;
  costMicrosPerHour @6 :UInt64;
}

enum OlderEngines {
  # By how much of its compiler's version an older engine must agree with what is named: not at all
  # enough, the first two numbers, the first, nothing.
  none @0;
  minor @1;
  major @2;
  any @3;
}

struct BuildProfile {
  # What an artifact must be built for, and by what.
  name @0 :Text;             # Profile name in the plugin. A name: nothing of it is executed.
  target @1 :Text;           # Device model built for.
  compiler @2 :Text;
  compilerVersion @3 :Text;
  flags @4 :Text;            # Canonical extra flags.
  degree @5 :UInt32 = 1;     # Ranks.
  dtype @6 :Text;
  shapeBuckets @7 :List(UInt32);  # Prompt lengths, tokens.
  needsDevice @8 :Bool;      # The compiler occupies a target device while it runs.
  reads @9 :List(Text);      # Model formats that the compiler reads, words or patterns; empty = any.
                             # Only of a device's capability; no part of an artifact's identity.
  binds @10 :ArtifactKind;   # What its artifacts are good for. As `reads`, and `adapters` too.
  adapters @11 :Bool;        # They run with LoRA adapters.
  older @12 :OlderEngines;   # Which engines by older versions of the compiler it runs as well.
  memorySharePm @13 :UInt32; # As in MemoryRule, of what runs its artifacts.
}

struct MemoryRule {
  # What a server takes of each of its devices' memory, whatever the model.
  formats @0 :List(Text);    # That it runs as they are, words or patterns.
  sharePm @1 :UInt32;        # Per mille; 0 = what the model needs.
}

struct DeviceCapability {
  maxSequences @0 :UInt32 = 1;
  maxContextTokens @1 :UInt32;  # 0 = the model's own limit.
  dtypes @2 :List(Text);
  formats @3 :List(Text);       # Model formats run without an artifact.
  buildProfiles @4 :List(BuildProfile);  # Artifacts that it runs, in order of preference.
  optimizedFor @5 :List(Text);
  runtime @6 :RuntimeCapabilities;
  devicesMax @7 :UInt32 = 1;    # That one instance may span.
  nodesMax @8 :UInt32 = 1;      # Over which these devices may be spread.
  loadLimitUs @9 :Int64;        # Longest that its runtimes wait until a model is ready; 0 = unknown.
  adapterFormats @10 :List(Text);  # Those of `formats` that run with LoRA adapters.
  adaptersMax @11 :UInt32;      # Of one instance; 0 = as many as a model may have.
  caches @12 :List(BuildProfile);  # What its servers compile at their own start, and keep.
  prices @13 :List(TokenPrice);  # What is paid there by the token; each model once; empty = nothing is.
  memoryRules @14 :List(MemoryRule);  # Of those of `formats` whose servers take a share.
}

struct TokenPrice {
  # What a million tokens of a model cost, 1e-6 of the cluster's currency unit.
  model @0 :Text;               # As its server calls it; `*` = those that are not named.
  promptMicrosPerMtok @1 :UInt64;
  cachedMicrosPerMtok @2 :UInt64;  # Of prompt tokens that its cache had.
  completionMicrosPerMtok @3 :UInt64;
}

enum DeviceHealth { healthy @0; degraded @1; unhealthy @2; }

struct StagePlan {
  # Two devices that work on one request one after the other.
  prefill @0 :Text;             # Device id.
  decode @1 :Text;              # Device id.
  transferBytesPerS @2 :UInt64;  # Of the KV cache between them; 0 = takes no time.
  transferUs @3 :Int64;         # On top, each time, microseconds.
}

struct DeviceSpec {
  # A physical device, or a partition of one.
  id @0 :Text;                     # `<node>/<type><n>`.
  node @1 :Text;
  type @2 :ResourceType;
  vendor @3 :Text;
  model @4 :Text;                  # SKU.
  plugin @5 :Text;                 # Which claimed it.
  uuid @6 :Text;                   # Stable identity: UUID or PCI address, never an index.
  simulated @7 :Bool;
  parent @8 :Text;                 # Empty for a physical device.
  exclusiveSiblings @9 :List(Text);  # Partitions that cannot be in use together with this one.
  topologyGroup @10 :Text;         # NVLink island, NUMA node, RSD group.
  memoryBytes @11 :UInt64;         # For model and KV.
  capability @12 :DeviceCapability;
  spec @13 :SpeedSpec;
  tags @14 :List(Text);
  attributes @15 :List(Attribute);  # For people: cores, NUMA, caches, SIMD ...
  stages @16 :StagePlan;           # Who does its work; absent = it is a device by itself.
}

struct DeviceReading {
  # One telemetry reading.
  memoryUsedBytes :union { memoryUnknown @0 :Void; memory @1 :UInt64; }
  utilizationPm :union { utilizationUnknown @2 :Void; utilization @3 :UInt32; }
  powerMw :union { powerUnknown @4 :Void; power @5 :UInt64; }
  energyMj :union { energyUnknown @6 :Void; energy @7 :UInt64; }  # Counter.
  temperatureMc :union { temperatureUnknown @8 :Void; temperature @9 :Int32; }  # Millidegrees C.
  health @10 :DeviceHealth;
  engine @11 :EngineCounters;  # Absent until an engine ran.
  costMicros :union { costUnknown @12 :Void; cost @13 :UInt64; }  # Counter, since its agent started.
  healthReason @14 :Text;  # Why the health is what it is, or the figures are unknown; empty = all is well.
  # Counters, parts of `energyMj` since both are known: what attempts drew above idle power, and
  # all the rest. Where it is not known who drew what, neither grows.
  chargedMj :union { chargedUnknown @15 :Void; charged @16 :UInt64; }
  idleMj :union { idleUnknown @17 :Void; idle @18 :UInt64; }
}

struct EngineCounters {
  # What the engines on one device have done since its agent started. Counters never go back.
  tokens @0 :UInt64;  # Generated.
  steps @1 :UInt64;   # Decoded batches.
  cancelled @2 :UInt64;
  sequencesRunning @3 :UInt32;  # At this moment.
  stagesMissed @4 :UInt64;  # Requests that a server of a stage (encode, prefill) did not do its part of.
}

struct DeviceShare {
  device @0 :Text;
  whole @1 :Bool;
  memoryBytes @2 :UInt64;  # Ignored when whole.
}

enum AllocationState { reserving @0; granted @1; releasing @2; }

struct Allocation {
  # Shares of devices on one or more nodes, granted all or nothing.
  id @0 :UInt64;
  fence @1 :UInt64;              # Epoch of this grant; a node refuses an older one.
  shares @2 :List(DeviceShare);  # Leader's first.
  topology @3 :Text;             # Constraint: all shares in one topology group of this kind.
  ownerInstance @4 :UInt64;      # Exactly one of the two owners is not 0.
  ownerCompile @5 :UInt64;
  state @6 :AllocationState;
  master @7 :Text;               # host:port where ranks meet; empty on one node or until granted.
}

struct Parallelism {
  tp @0 :UInt32 = 1;
  pp @1 :UInt32 = 1;
  dp @2 :UInt32 = 1;
  ep @3 :UInt32 = 1;
}

enum LaunchKind { process @0; container @1; attach @2; }

enum OwnershipKind {
  managed @0;
  attached @1;  # A server that we did not start, like `shared`: never killed.
  shared @2;
}

# --- models and artifacts ---

struct ModelAdapter {
  # Low-rank weights that are added to a model's own, under a served name.
  name @0 :Text;
  source @1 :Text;   # Path, or `server:NAME` of one that only the server knows.
  content @2 :Text;  # SHA-256; empty when only a server knows it.
  rank @3 :UInt32;   # 0 = unknown.
}

struct ModelVariant {
  # One concrete form of a model.
  format @0 :Text;        # `gguf`, `safetensors` ...
  source @1 :Text;        # Path, `hf:` or `https:` reference; resolved by the node.
  content @2 :Text;       # SHA-256 of the weights, 64 lower-case hex digits.
  shape @3 :Text;         # Architecture fingerprint.
  quantization @4 :Text;
  equivalence @5 :Text;   # Variants of one class may serve the same request.
  tokenizer @6 :Text;     # SHA-256.
  chatTemplate @7 :Text;  # SHA-256.
  weightBytes @8 :UInt64;
  kvBytesPerToken @9 :UInt32;
  contextTokens @10 :UInt32;
  adapters @11 :List(ModelAdapter);  # Loaded with it, in order of name.
  tokenBytesMax @12 :UInt32;  # No token stands for more bytes of a text; 0 = unknown.
}

struct ModelSpec {
  name @0 :Text;
  aliases @1 :List(Text);
  variants @2 :List(ModelVariant);  # In order of preference.
  replicasMin @3 :UInt32;
  replicasMax @4 :UInt32;  # 0 = as many as devices.
  idleTtlUs @5 :Int64;     # Unload a replica idle this long; 0 = never.
  devicesPerInstance @6 :UInt32 = 1;
  policyText @7 :Text;     # Profile of its requests that name none; empty = the cluster's.
}

enum ArtifactKind {
  engineWeights @0;       # Good for one digest of weights.
  engineArchitecture @1;  # Good for any weights of one shape.
  cache @2;               # What a server compiles at its own start.
}

struct ArtifactKey {
  kind @0 :ArtifactKind;
  binds @1 :Text;  # Weights digest or architecture shape.
  profile @2 :BuildProfile;
}

struct ArtifactRecord {
  # A built artifact as a node's store holds it.
  key @0 :ArtifactKey;
  content @1 :Text;  # SHA-256 of the payload.
  node @2 :Text;
  sizeBytes @3 :UInt64;
  buildUs @4 :Int64;  # 0 when imported.
  quality @5 :List(Attribute);  # What calibration measured.
  held @6 :Bool;  # Pinned, or gone back to: nothing newer takes its place on its node by itself.
  own @7 :Text;  # The newest of its key, where its node went back to `content`; else empty.
}

enum ArtifactState { absent @0; building @1; ready @2; failed @3; }

# --- requests ---

enum RequestKind { chat @0; completion @1; embedding @2; }
enum PriorityClass { interactive @0; standard @1; batch @2; }
# Of an older gateway; a newer one names its profile in text.
enum PolicyName { latency @0; throughput @1; energy @2; cost @3; hybrid @4; }
enum RequestOutcome { finished @0; failed @1; cancelled @2; rejected @3; expired @4; }

struct RequestMeta {
  # What a gateway knows about a request without reading its meaning. No body, ever.
  id @0 :RequestId;
  externalId @1 :Text;       # X-Request-Id.
  kind @2 :RequestKind;
  model @3 :Text;
  tenant @4 :Text;           # Empty = the anonymous tenant.
  session @5 :Text;
  selector @6 :Text;         # `auto`, a type, an id or glob, ...
  priority @7 :PriorityClass;
  policy :union { clusterPolicy @8 :Void; policy @9 :PolicyName; }
  promptTokens @10 :UInt32;  # Estimated from bytes.
  maxTokens @11 :UInt32;     # Over one choice; 0 = unbounded by the client.
  choices @12 :UInt32 = 1;
  streaming @13 :Bool;
  resumable @14 :Bool;       # False for n > 1, logprobs, tools, grammars.
  deadlineUs :union { noDeadline @15 :Void; deadline @16 :Int64; }  # From submission.
  waitUs :union { defaultWait @17 :Void; wait @18 :Int64; }  # For load, compile or queue.
  prefixBlocks @19 :List(UInt64);  # Chained hashes of prompt blocks.
  policyText @20 :Text;      # Name of the profile, built-in or configured; goes before `policy`.
  labels @21 :List(Text);    # Of its data, e.g. `local-only`.
  hedge @22 :Bool;           # A second attempt may run beside one whose first token is late.
  # What is certain of the longest prompt of a completion: tokens that came as ids, bytes of text.
  # 0 = nothing is.
  promptIds @23 :UInt32;
  promptBytes @24 :UInt32;
  asks @25 :UInt32;          # Beside its kind and `choices`: bits of scheduler/asks.hpp.
}

struct Ticket {
  # Permission to run one attempt on one endpoint, once. The MAC seals every other field
  # (messages/ticket_seal.hpp).
  attempt @0 :AttemptId;
  instance @1 :UInt64;
  endpointRank @2 :UInt32;
  device @3 :Text;           # The leader's.
  node @4 :Text;
  nodeIncarnation @5 :UInt64;
  leaseEpoch @6 :UInt64;
  dataAddress @7 :Text;      # `host:port` of the node's data port; empty in one process.
  model @8 :Text;            # Resolved served name.
  variant @9 :Text;          # SHA-256 of the weights that the replica serves.
  expiresAt @10 :Int64;      # On the scheduler's clock.
  mac @11 :Text;
}

struct TokenUsage {
  promptTokens @0 :UInt32;
  completionTokens @1 :UInt32;
  cachedTokens @2 :UInt32;  # Part of the prompt served from the prefix cache.
}

struct AttemptMeasurement {
  # What one finished attempt measured, as the gateway saw it.
  usage @0 :TokenUsage;
  firstTokenUs @1 :Int64;   # Ticket opened -> first token.
  totalUs @2 :Int64;        # Ticket opened -> last token.
  batch @3 :UInt32;         # Sequences in the engine beside it, itself included.
  engineQueueUs @4 :Int64;  # Waited inside the engine.
  energyMj :union { energyUnknown @5 :Void; energy @6 :UInt64; }  # Drawn for it above idle power.
  costMicros :union { costUnknown @7 :Void; cost @8 :UInt64; }  # Paid for its tokens, if they are paid for.
}
